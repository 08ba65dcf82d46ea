/* layernorm.c: z[T,H] = residual + dropout(x + b);  y[T,H] = h gamma + beta, where h is z with the
 * mean 0 and the variance 1 in each row (Ba et al. 2016, biased variance). h is computed from the
 * stored z, which is rounded where activations are bf16. z and stats[T,2] (mean, 1 / deviation) are
 * kept for backward, which draws the dropout bits again.
 *
 * The _squares form of backward sums within each sample and adds the squares of these sums.
 *
 * z may be x or the residual; dx or dresidual may be dy. Rows of the tail are not dropped forward
 * and get zeros backward. */
#include <omp.h>

#include "kernels/simd/drop.h"
#include "kernels/simd/layernorm_row.h"

#if FSAM_PUBLIC

static int check(const char *op, const fsam_tensor *z, const fsam_tensor *stats,
                 const fsam_tensor *gamma, const fsam_batch *batch, const fsam_dropout *dropout) {
  FSAM_TRY(fsam__check_dropout(op, dropout, batch));
  FSAM_TRY(fsam__check_batch(op, batch));
  FSAM_TRY(fsam__expect(op, "z", z, -1, 2, batch->tokens, -1));
  FSAM_TRY(fsam__expect(op, "stats", stats, FSAM_F32, 2, batch->tokens, 2));
  return fsam__expect(op, "gamma", gamma, FSAM_F32, 1, z->shape[1], -1);
}

int fsam_layernorm_forward(fsam_tensor *y, fsam_tensor *z, fsam_tensor *stats, const fsam_tensor *x,
                           const fsam_tensor *b, const fsam_tensor *residual,
                           const fsam_tensor *gamma, const fsam_tensor *beta, double eps,
                           const fsam_batch *batch, const fsam_dropout *dropout) {
  const char *op = "layernorm_forward";
  FSAM_TRY(check(op, z, stats, gamma, batch, dropout));
  const int type = z->dtype;
  const int64_t rows = z->shape[0], n = z->shape[1];
  FSAM_TRY(fsam__expect(op, "y", y, type, 2, rows, n));
  FSAM_TRY(fsam__expect(op, "x", x, type, 2, rows, n));
  FSAM_TRY(fsam__expect_optional(op, "b", b, FSAM_F32, 1, n, -1));
  FSAM_TRY(fsam__expect_optional(op, "residual", residual, type, 2, rows, n));
  FSAM_TRY(fsam__expect(op, "beta", beta, FSAM_F32, 1, n, -1));
  return fsam__device_of(y)->kernels->layernorm_forward(y, z, stats, x, b, residual, gamma, beta,
                                                        eps, batch, dropout);
}

/* Of both kinds of backward. */
static int check_backward(const char *op, const fsam_tensor *dx, const fsam_tensor *dresidual,
                          const fsam_tensor *db, const fsam_tensor *dgamma,
                          const fsam_tensor *dbeta, const fsam_tensor *dy, const fsam_tensor *z,
                          const fsam_tensor *stats, const fsam_tensor *gamma,
                          const fsam_batch *batch, const fsam_dropout *dropout) {
  FSAM_TRY(check(op, z, stats, gamma, batch, dropout));
  const int type = z->dtype;
  const int64_t rows = z->shape[0], n = z->shape[1];
  FSAM_TRY(fsam__expect(op, "dy", dy, type, 2, rows, n));
  FSAM_TRY(fsam__expect_optional(op, "dx", dx, type, 2, rows, n));
  FSAM_TRY(fsam__expect_optional(op, "dresidual", dresidual, type, 2, rows, n));
  FSAM_TRY(fsam__expect_optional(op, "db", db, FSAM_F32, 1, n, -1));
  FSAM_TRY(fsam__expect_optional(op, "dgamma", dgamma, FSAM_F32, 1, n, -1));
  return fsam__expect_optional(op, "dbeta", dbeta, FSAM_F32, 1, n, -1);
}

int fsam_layernorm_backward(fsam_tensor *dx, fsam_tensor *dresidual, fsam_tensor *db,
                            fsam_tensor *dgamma, fsam_tensor *dbeta, const fsam_tensor *dy,
                            const fsam_tensor *z, const fsam_tensor *stats,
                            const fsam_tensor *gamma, const fsam_batch *batch,
                            const fsam_dropout *dropout) {
  FSAM_TRY(check_backward("layernorm_backward", dx, dresidual, db, dgamma, dbeta, dy, z, stats,
                          gamma, batch, dropout));
  return fsam__device_of(dy)->kernels->layernorm_backward(dx, dresidual, db, dgamma, dbeta, dy, z,
                                                          stats, gamma, batch, dropout);
}

int fsam_layernorm_backward_squares(fsam_tensor *dx, fsam_tensor *dresidual, fsam_tensor *db,
                                    fsam_tensor *dgamma, fsam_tensor *dbeta, const fsam_tensor *dy,
                                    const fsam_tensor *z, const fsam_tensor *stats,
                                    const fsam_tensor *gamma, const fsam_batch *batch,
                                    const fsam_dropout *dropout) {
  FSAM_TRY(check_backward("layernorm_backward_squares", dx, dresidual, db, dgamma, dbeta, dy, z,
                          stats, gamma, batch, dropout));
  return fsam__device_of(dy)->kernels->layernorm_backward_squares(
      dx, dresidual, db, dgamma, dbeta, dy, z, stats, gamma, batch, dropout);
}

#endif

#define SERIAL (1 << 13) /* elements below which one thread is faster */

/* -- forward ----------------------------------------------------------------------------------- */

typedef struct forward {
  fsam_tensor *y, *z, *stats;
  const fsam_tensor *x, *b, *residual, *gamma, *beta;
  const fsam_batch *batch;
  drop_site site;
  double eps;
} forward;

/* Row r of z. */
FSAM_INLINE void add_row(int dtype, const forward *a, int64_t r, int64_t n) {
  const int32_t sample = a->batch->sample[r];
  const bool drops = a->site.threshold && sample >= 0;
  const float *b = a->b ? a->b->data : NULL;
  const int64_t x_at = r * a->x->row_stride, z_at = r * a->z->row_stride;
  const int64_t residual_at = a->residual ? r * a->residual->row_stride : 0;
  uint16_t bits[DROP_BATCH];
  for (int64_t first = 0; first < n; first += DROP_BATCH) {
    int64_t end = first + DROP_BATCH < n ? first + DROP_BATCH : n;
    if (drops)
      drop_bits_row(bits, &a->site, (uint32_t)a->batch->ordinals[sample],
                    (uint32_t)(r - a->batch->starts[sample]), first);
    for (int64_t c = first; c < end; c += LANES) {
      vf v = v_load_act(dtype, a->x->data, x_at + c, n - c);
      if (b) v += v_load_n(b + c, n - c);
      if (drops) v = drop(&a->site, bits + (c - first), v);
      if (a->residual) v += v_load_act(dtype, a->residual->data, residual_at + c, n - c);
      v_store_act(dtype, a->z->data, z_at + c, v, n - c);
    }
  }
}

FSAM_INLINE void forward_row(int dtype, const forward *a, int64_t r) {
  const int64_t n = a->z->shape[1], z_at = r * a->z->row_stride, y_at = r * a->y->row_stride;
  const float *gamma = a->gamma->data, *beta = a->beta->data;
  float *stats = (float *)a->stats->data + r * a->stats->row_stride;
  add_row(dtype, a, r, n);
  normalize_stats(dtype, stats, a->z->data, z_at, n, a->eps);
  for (int64_t c = 0; c < n; c += LANES) {
    vf h = normalized(dtype, stats, a->z->data, z_at + c, n - c);
    vf y = h * v_load_n(gamma + c, n - c) + v_load_n(beta + c, n - c);
    v_store_act(dtype, a->y->data, y_at + c, y, n - c);
  }
}

int FSAM_CPU(layernorm_forward)(fsam_tensor *y, fsam_tensor *z, fsam_tensor *stats,
                                const fsam_tensor *x, const fsam_tensor *b,
                                const fsam_tensor *residual, const fsam_tensor *gamma,
                                const fsam_tensor *beta, double eps, const fsam_batch *batch,
                                const fsam_dropout *dropout) {
  const drop_site site = drop_site_in(drop_site_of(dropout), batch);
  const forward a = {y, z, stats, x, b, residual, gamma, beta, batch, site, eps};
  const int64_t rows = z->shape[0];
  const bool bf16 = z->dtype == FSAM_BF16;
#pragma omp parallel for schedule(static) if (rows * z->shape[1] > SERIAL)
  for (int64_t r = 0; r < rows; r++) {
    if (bf16)
      forward_row(FSAM_BF16, &a, r);
    else
      forward_row(FSAM_F32, &a, r);
  }
  return FSAM_OK;
}

/* -- backward ---------------------------------------------------------------------------------- */

typedef struct backward {
  fsam_tensor *dx, *dresidual;
  const fsam_tensor *dy, *z, *stats, *gamma;
  const fsam_batch *batch;
  drop_site site;
} backward;

/* out[at + c …] = v, or added to it. */
FSAM_INLINE void give(int dtype, fsam_tensor *out, int64_t r, int64_t c, vf v, int64_t n) {
  int64_t at = r * out->row_stride + c;
  if (out->filled) v += v_load_act(dtype, out->data, at, n);
  v_store_act(dtype, out->data, at, v, n);
}

/* From dz[n] of row r to dx and dresidual; adds its share of db. sample < 0: dz is 0 everywhere. */
FSAM_INLINE void spread_row(int dtype, const backward *a, int64_t r, const float *dz, float *db,
                            int64_t n, int32_t sample) {
  const bool drops = a->site.threshold && sample >= 0;
  uint16_t bits[DROP_BATCH];
  for (int64_t first = 0; first < n; first += DROP_BATCH) {
    int64_t end = first + DROP_BATCH < n ? first + DROP_BATCH : n;
    if (drops)
      drop_bits_row(bits, &a->site, (uint32_t)a->batch->ordinals[sample],
                    (uint32_t)(r - a->batch->starts[sample]), first);
    for (int64_t c = first; c < end; c += LANES) {
      vf v = v_load(dz + c);
      if (a->dresidual) give(dtype, a->dresidual, r, c, v, n - c);
      if (drops) v = drop(&a->site, bits + (c - first), v);
      v_store(db + c, v_load(db + c) + v);
      if (a->dx) give(dtype, a->dx, r, c, v, n - c);
    }
  }
}

FSAM_INLINE void backward_row(int dtype, const backward *a, int64_t r, float *dz, float *sums,
                              int64_t stride) {
  const int64_t n = a->z->shape[1];
  const int32_t sample = a->batch->sample[r];
  const float *stats = (const float *)a->stats->data + r * a->stats->row_stride;
  if (sample < 0)
    memset(dz, 0, (size_t)stride * sizeof *dz);
  else
    normalize_backward(dtype, dz, sums + stride, sums + 2 * stride, dtype, a->dy->data,
                       r * a->dy->row_stride, a->z->data, r * a->z->row_stride, stats,
                       a->gamma->data, n);
  spread_row(dtype, a, r, dz, sums, n, sample);
}

/* Sums of the rows' shares by blocks: the gradients of db, dgamma, dbeta, or their squares. */
static int run_backward(const backward *a, fsam_tensor *db, fsam_tensor *dgamma, fsam_tensor *dbeta,
                        row_blocks blocks) {
  const fsam_tensor *z = a->z;
  const int64_t rows = z->shape[0], n = z->shape[1];
  const bool bf16 = z->dtype == FSAM_BF16;
  const int64_t step = 3 * blocks.stride; /* a block's sums for db, dgamma, dbeta */
  void *workspace;
  FSAM_TRY(fsam__workspace(
      &workspace, fsam__device_of(z),
      (size_t)(blocks.count * step + omp_get_max_threads() * blocks.stride) * sizeof(float)));
  float *sums = workspace, *scratch = sums + blocks.count * step;
#pragma omp parallel for schedule(static) if (rows * n > SERIAL)
  for (int64_t block = 0; block < blocks.count; block++) {
    float *own = sums + block * step, *dz = scratch + omp_get_thread_num() * blocks.stride;
    memset(own, 0, (size_t)step * sizeof *own);
    const int64_t end = row_blocks_first(&blocks, block + 1);
    for (int64_t r = row_blocks_first(&blocks, block); r < end; r++) {
      if (bf16)
        backward_row(FSAM_BF16, a, r, dz, own, blocks.stride);
      else
        backward_row(FSAM_F32, a, r, dz, own, blocks.stride);
    }
  }
  row_blocks_sum(db, blocks, sums, step, n);
  row_blocks_sum(dgamma, blocks, sums + blocks.stride, step, n);
  row_blocks_sum(dbeta, blocks, sums + 2 * blocks.stride, step, n);
  return FSAM_OK;
}

int FSAM_CPU(layernorm_backward)(fsam_tensor *dx, fsam_tensor *dresidual, fsam_tensor *db,
                                 fsam_tensor *dgamma, fsam_tensor *dbeta, const fsam_tensor *dy,
                                 const fsam_tensor *z, const fsam_tensor *stats,
                                 const fsam_tensor *gamma, const fsam_batch *batch,
                                 const fsam_dropout *dropout) {
  const drop_site site = drop_site_in(drop_site_of(dropout), batch);
  const backward a = {dx, dresidual, dy, z, stats, gamma, batch, site};
  return run_backward(&a, db, dgamma, dbeta, row_blocks_of(z->shape[0], z->shape[1]));
}

int FSAM_CPU(layernorm_backward_squares)(fsam_tensor *dx, fsam_tensor *dresidual, fsam_tensor *db,
                                         fsam_tensor *dgamma, fsam_tensor *dbeta,
                                         const fsam_tensor *dy, const fsam_tensor *z,
                                         const fsam_tensor *stats, const fsam_tensor *gamma,
                                         const fsam_batch *batch, const fsam_dropout *dropout) {
  const drop_site site = drop_site_in(drop_site_of(dropout), batch);
  const backward a = {dx, dresidual, dy, z, stats, gamma, batch, site};
  return run_backward(&a, db, dgamma, dbeta, row_blocks_of_samples(batch, z->shape[1]));
}
