/* layernorm_row.h: layer normalisation of one row (Ba et al. 2016), forward and backward, and sums
 * over rows that do not depend on the threads. Owns what layernorm.c and embedding.c share; leaves
 * to them where rows come from and where gradients go. */
#ifndef FSAM_LAYERNORM_ROW_H
#define FSAM_LAYERNORM_ROW_H

#include <math.h>

#include "kernels/simd/simd.h"

/* -- one row of n columns ---------------------------------------------------------------------- */

/* stats = mean and 1 / sqrt(variance + eps) of z[at … at + n - 1], in two sweeps over the row: it
 * is in the first-level cache, and the formula with one sweep cancels. */
FSAM_INLINE void normalize_stats(int dtype, float stats[2], const void *z, int64_t at, int64_t n,
                                 double eps) {
  vf16 sum = {0}, squares = {0};
  for (int64_t c = 0; c < n; c += WIDE)
    for (int p = 0; p < PARTS; p++)
      sum.part[p] += v_load_act(dtype, z, at + c + p * LANES, n - c - p * LANES);
  float mean = v_sum(sum) / (float)n;
  for (int64_t c = 0; c < n; c += WIDE)
    for (int p = 0; p < PARTS; p++) {
      int64_t left = n - c - p * LANES;
      vf d = v_load_act(dtype, z, at + c + p * LANES, left) - mean;
      if (left < LANES) d = v_select(v_iota() < (int32_t)left, d, v_set(0.0f));
      squares.part[p] += d * d;
    }
  stats[0] = mean;
  stats[1] = (float)(1.0 / sqrt((double)(v_sum(squares) / (float)n) + eps));
}

/* (z - mean) / deviation of the columns z[at … at + n - 1], at most LANES. */
FSAM_INLINE vf normalized(int dtype, const float stats[2], const void *z, int64_t at, int64_t n) {
  return (v_load_act(dtype, z, at, n) - stats[0]) * stats[1];
}

/* dz[n] (room for a multiple of WIDE) = the gradient of z, and the row's share of dgamma and dbeta
 * added to the sums of its block. With h = (z - mean) / deviation and g = dy gamma:
 *     dz = (g - mean(g) - h mean(g h)) / deviation
 * dz may be dy. */
FSAM_INLINE void normalize_backward(int dtype, float *dz, float *dgamma, float *dbeta, int dy_type,
                                    const void *dy, int64_t dy_at, const void *z, int64_t z_at,
                                    const float stats[2], const float *gamma, int64_t n) {
  vf16 sum = {0}, sum_h = {0};
  for (int64_t c = 0; c < n; c += WIDE)
    for (int p = 0; p < PARTS; p++) {
      int64_t i = c + p * LANES, left = n - i;
      vf d = v_load_act(dy_type, dy, dy_at + i, left); /* 0 beyond n, and so are all sums */
      vf h = normalized(dtype, stats, z, z_at + i, left);
      vf g = d * v_load_n(gamma + i, left);
      v_store(dgamma + i, v_load(dgamma + i) + d * h);
      v_store(dbeta + i, v_load(dbeta + i) + d);
      sum.part[p] += g;
      sum_h.part[p] += g * h;
    }
  float mean = v_sum(sum) / (float)n, mean_h = v_sum(sum_h) / (float)n;
  for (int64_t c = 0; c < n; c += LANES) {
    vf g = v_load_act(dy_type, dy, dy_at + c, n - c) * v_load_n(gamma + c, n - c);
    vf h = normalized(dtype, stats, z, z_at + c, n - c);
    v_store(dz + c, (g - mean - h * mean_h) * stats[1]);
  }
}

/* -- sums over rows ------------------------------------------------------------------------------
 * Rows are cut into blocks by their number alone; each block adds its rows in order into columns of
 * its own, and the blocks are added in order at the end. Or a block is a sample, the tail the last
 * one, and their squares are added. */

typedef struct row_blocks {
  int64_t rows, count, stride; /* rows of a block, blocks, and columns rounded up to WIDE */
  int64_t end;                 /* of all rows */
  const int32_t *starts;       /* of the samples, where these are the blocks; else NULL */
} row_blocks;

static inline row_blocks row_blocks_of(int64_t rows, int64_t columns) {
  row_blocks b = {.rows = (rows + 63) / 64, .end = rows};
  if (b.rows < 16) b.rows = 16;
  b.count = (rows + b.rows - 1) / b.rows;
  b.stride = (columns + WIDE - 1) / WIDE * WIDE;
  return b;
}

static inline row_blocks row_blocks_of_samples(const fsam_batch *batch, int64_t columns) {
  row_blocks b = {.count = batch->samples + 1, .end = batch->tokens, .starts = batch->starts};
  b.stride = (columns + WIDE - 1) / WIDE * WIDE;
  return b;
}

/* The first row of a block; block `count` would begin at the end. */
static inline int64_t row_blocks_first(const row_blocks *b, int64_t block) {
  if (b->starts) return block < b->count ? b->starts[block] : b->end;
  return block * b->rows < b->end ? block * b->rows : b->end;
}

/* out (NULL: nothing) = or += the sum of sums[0], sums[step], … of all blocks, or of their squares
 * where blocks are samples. */
static inline void row_blocks_sum(fsam_tensor *out, row_blocks b, const float *sums, int64_t step,
                                  int64_t n) {
  if (!out) return;
  float *columns = out->data;
  for (int64_t c = 0; c < n; c += LANES) {
    vf total = {0};
    for (int64_t i = 0; i < b.count; i++) {
      vf sum = v_load(sums + i * step + c);
      total += b.starts ? sum * sum : sum;
    }
    if (out->filled) total += v_load_n(columns + c, n - c);
    v_store_n(columns + c, total, n - c);
  }
}

#endif
