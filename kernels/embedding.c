/* embedding.c: z[T,H] = word[id] + position[pos] + token_type[type];  y = dropout(h gamma + beta),
 * where h is z with the mean 0 and the variance 1 in each row. z and stats[T,2] are kept for
 * backward.
 *
 * Backward adds the rows of dz into the tables' gradients. There each thread owns columns and takes
 * the tokens in order, so that the sums do not depend on the number of threads. Threads that owned
 * rows of a table would idle at a table of 2 rows; owning columns serves one of 50,000 as well. */
#include <omp.h>

#include "kernels/simd/drop.h"
#include "kernels/simd/layernorm_row.h"

#if FSAM_PUBLIC

int fsam_embedding_forward(fsam_tensor *y, fsam_tensor *z, fsam_tensor *stats,
                           const fsam_tensor *word, const fsam_tensor *position,
                           const fsam_tensor *token_type, const fsam_tensor *gamma,
                           const fsam_tensor *beta, double eps, const fsam_batch *batch,
                           const fsam_dropout *dropout) {
  const char *op = "embedding_forward";
  FSAM_TRY(fsam__check_dropout(op, dropout, batch));
  FSAM_TRY(fsam__check_batch(op, batch));
  FSAM_TRY(fsam__expect(op, "z", z, -1, 2, batch->tokens, -1));
  const int type = z->dtype;
  const int64_t n = z->shape[1];
  FSAM_TRY(fsam__expect(op, "y", y, type, 2, batch->tokens, n));
  FSAM_TRY(fsam__expect(op, "stats", stats, FSAM_F32, 2, batch->tokens, 2));
  FSAM_TRY(fsam__expect(op, "word", word, type, 2, -1, n));
  FSAM_TRY(fsam__expect(op, "position", position, type, 2, -1, n));
  FSAM_TRY(fsam__expect_optional(op, "token_type", token_type, type, 2, -1, n));
  FSAM_TRY(fsam__expect(op, "gamma", gamma, FSAM_F32, 1, n, -1));
  FSAM_TRY(fsam__expect(op, "beta", beta, FSAM_F32, 1, n, -1));
  return fsam__device_of(y)->kernels->embedding_forward(y, z, stats, word, position, token_type,
                                                        gamma, beta, eps, batch, dropout);
}

/* Of both kinds of backward. */
static int check_backward(const char *op, const fsam_tensor *dword, const fsam_tensor *dposition,
                          const fsam_tensor *dtoken_type, const fsam_tensor *dgamma,
                          const fsam_tensor *dbeta, const fsam_tensor *dy, const fsam_tensor *z,
                          const fsam_tensor *stats, const fsam_tensor *gamma,
                          const fsam_batch *batch, const fsam_dropout *dropout) {
  FSAM_TRY(fsam__check_dropout(op, dropout, batch));
  FSAM_TRY(fsam__check_batch(op, batch));
  FSAM_TRY(fsam__expect(op, "z", z, -1, 2, batch->tokens, -1));
  const int64_t n = z->shape[1];
  FSAM_TRY(fsam__expect(op, "dy", dy, z->dtype, 2, batch->tokens, n));
  FSAM_TRY(fsam__expect(op, "stats", stats, FSAM_F32, 2, batch->tokens, 2));
  FSAM_TRY(fsam__expect(op, "gamma", gamma, FSAM_F32, 1, n, -1));
  FSAM_TRY(fsam__expect_optional(op, "dword", dword, FSAM_F32, 2, -1, n));
  FSAM_TRY(fsam__expect_dense(op, "dword", dword));
  FSAM_TRY(fsam__expect_optional(op, "dposition", dposition, FSAM_F32, 2, -1, n));
  FSAM_TRY(fsam__expect_dense(op, "dposition", dposition));
  FSAM_TRY(fsam__expect_optional(op, "dtoken_type", dtoken_type, FSAM_F32, 2, -1, n));
  FSAM_TRY(fsam__expect_dense(op, "dtoken_type", dtoken_type));
  FSAM_TRY(fsam__expect_optional(op, "dgamma", dgamma, FSAM_F32, 1, n, -1));
  return fsam__expect_optional(op, "dbeta", dbeta, FSAM_F32, 1, n, -1);
}

int fsam_embedding_backward(fsam_tensor *dword, fsam_tensor *dposition, fsam_tensor *dtoken_type,
                            fsam_tensor *dgamma, fsam_tensor *dbeta, const fsam_tensor *dy,
                            const fsam_tensor *z, const fsam_tensor *stats,
                            const fsam_tensor *gamma, const fsam_batch *batch,
                            const fsam_dropout *dropout) {
  FSAM_TRY(check_backward("embedding_backward", dword, dposition, dtoken_type, dgamma, dbeta, dy, z,
                          stats, gamma, batch, dropout));
  return fsam__device_of(dy)->kernels->embedding_backward(
      dword, dposition, dtoken_type, dgamma, dbeta, dy, z, stats, gamma, batch, dropout);
}

int fsam_embedding_backward_squares(fsam_tensor *dword, fsam_tensor *dposition,
                                    fsam_tensor *dtoken_type, fsam_tensor *dgamma,
                                    fsam_tensor *dbeta, const fsam_tensor *dy,
                                    const fsam_tensor *z, const fsam_tensor *stats,
                                    const fsam_tensor *gamma, const fsam_batch *batch,
                                    const fsam_dropout *dropout) {
  FSAM_TRY(check_backward("embedding_backward_squares", dword, dposition, dtoken_type, dgamma,
                          dbeta, dy, z, stats, gamma, batch, dropout));
  return fsam__device_of(dy)->kernels->embedding_backward_squares(
      dword, dposition, dtoken_type, dgamma, dbeta, dy, z, stats, gamma, batch, dropout);
}

#endif

#define SERIAL (1 << 13) /* elements below which one thread is faster */

/* Fails unless every index (the tail's too) names a row of the table. */
static int check_rows(const char *op, const char *what, const int32_t *indices, int64_t count,
                      const fsam_tensor *table) {
  if (!table) return FSAM_OK;
  if (!indices) return fsam__fail(FSAM_EINVAL, "%s: the batch has no %s", op, what);
  for (int64_t t = 0; t < count; t++)
    if (indices[t] < 0 || indices[t] >= table->shape[0])
      return fsam__fail(FSAM_EINVAL, "%s: %s[%lld] is %d, expected 0 to %lld (table %s)", op, what,
                        (long long)t, indices[t], (long long)table->shape[0] - 1, table->name);
  return FSAM_OK;
}

/* -- forward ----------------------------------------------------------------------------------- */

typedef struct forward {
  fsam_tensor *y, *z, *stats;
  const fsam_tensor *word, *position, *token_type, *gamma, *beta;
  const fsam_batch *batch;
  drop_site site;
  double eps;
} forward;

FSAM_INLINE void forward_row(int dtype, const forward *a, int64_t r) {
  const int64_t n = a->z->shape[1], z_at = r * a->z->row_stride, y_at = r * a->y->row_stride;
  const int64_t word_at = a->batch->ids[r] * a->word->row_stride;
  const int64_t position_at = a->batch->positions[r] * a->position->row_stride;
  const int64_t token_type_at =
      a->token_type ? a->batch->token_types[r] * a->token_type->row_stride : 0;
  const float *gamma = a->gamma->data, *beta = a->beta->data;
  float *stats = (float *)a->stats->data + r * a->stats->row_stride;
  for (int64_t c = 0; c < n; c += LANES) {
    vf v = v_load_act(dtype, a->word->data, word_at + c, n - c) +
           v_load_act(dtype, a->position->data, position_at + c, n - c);
    if (a->token_type) v += v_load_act(dtype, a->token_type->data, token_type_at + c, n - c);
    v_store_act(dtype, a->z->data, z_at + c, v, n - c);
  }
  normalize_stats(dtype, stats, a->z->data, z_at, n, a->eps);

  const int32_t sample = a->batch->sample[r];
  const bool drops = a->site.threshold && sample >= 0;
  uint16_t bits[DROP_BATCH];
  for (int64_t first = 0; first < n; first += DROP_BATCH) {
    int64_t end = first + DROP_BATCH < n ? first + DROP_BATCH : n;
    if (drops)
      drop_bits_row(bits, &a->site, (uint32_t)a->batch->ordinals[sample],
                    (uint32_t)(r - a->batch->starts[sample]), first);
    for (int64_t c = first; c < end; c += LANES) {
      vf h = normalized(dtype, stats, a->z->data, z_at + c, n - c);
      vf v = h * v_load_n(gamma + c, n - c) + v_load_n(beta + c, n - c);
      if (drops) v = drop(&a->site, bits + (c - first), v);
      v_store_act(dtype, a->y->data, y_at + c, v, n - c);
    }
  }
}

int FSAM_CPU(embedding_forward)(fsam_tensor *y, fsam_tensor *z, fsam_tensor *stats,
                                const fsam_tensor *word, const fsam_tensor *position,
                                const fsam_tensor *token_type, const fsam_tensor *gamma,
                                const fsam_tensor *beta, double eps, const fsam_batch *batch,
                                const fsam_dropout *dropout) {
  const drop_site site = drop_site_in(drop_site_of(dropout), batch);
  const forward a = {y, z, stats, word, position, token_type, gamma, beta, batch, site, eps};
  const char *op = "embedding_forward";
  const int64_t rows = batch->tokens;
  const bool bf16 = z->dtype == FSAM_BF16;
  FSAM_TRY(check_rows(op, "ids", batch->ids, rows, word));
  FSAM_TRY(check_rows(op, "positions", batch->positions, rows, position));
  FSAM_TRY(check_rows(op, "token_types", batch->token_types, rows, token_type));
#pragma omp parallel for schedule(static) if (rows * z->shape[1] > SERIAL)
  for (int64_t r = 0; r < rows; r++) {
    if (bf16)
      forward_row(FSAM_BF16, &a, r);
    else
      forward_row(FSAM_F32, &a, r);
  }
  return FSAM_OK;
}

/* -- backward: of the normalisation ------------------------------------------------------------ */

typedef struct backward {
  const fsam_tensor *dy, *z, *stats, *gamma;
  const fsam_batch *batch;
  drop_site site;
} backward;

/* Computes dz[stride] of row r of `sample`; adds to the sums of its block for dgamma and dbeta. */
FSAM_INLINE void backward_row(int dtype, const backward *a, int64_t r, int32_t sample, float *dz,
                              float *sums, int64_t stride) {
  const int64_t n = a->z->shape[1], dy_at = r * a->dy->row_stride;
  uint16_t bits[DROP_BATCH];
  for (int64_t first = 0; first < n; first += DROP_BATCH) {
    int64_t end = first + DROP_BATCH < n ? first + DROP_BATCH : n;
    if (a->site.threshold)
      drop_bits_row(bits, &a->site, (uint32_t)a->batch->ordinals[sample],
                    (uint32_t)(r - a->batch->starts[sample]), first);
    for (int64_t c = first; c < end; c += LANES) {
      vf v = v_load_act(dtype, a->dy->data, dy_at + c, n - c);
      v_store(dz + c, a->site.threshold ? drop(&a->site, bits + (c - first), v) : v);
    }
  }
  normalize_backward(dtype, dz, sums, sums + stride, FSAM_F32, dz, 0, a->z->data,
                     r * a->z->row_stride, (const float *)a->stats->data + r * a->stats->row_stride,
                     a->gamma->data, n);
}

/* -- backward: of the tables ------------------------------------------------------------------- */

/* A row of zeros is left alone. So the rows of tokens that no batch has had are never written, and
 * while its pages are only read, the system gives them one page of zeros for all: they take no
 * memory, and reading them costs less than clearing them would. */
static void zero_table(fsam_tensor *table) {
  const int64_t n = table->shape[1], rows = table->shape[0];
  float *data = table->data;
#pragma omp parallel for schedule(static) if (rows * n > SERIAL)
  for (int64_t r = 0; r < rows; r++)
    if (!v_all_zero(data + r * n, n)) memset(data + r * n, 0, (size_t)n * sizeof *data);
}

/* Adds row t of dz to row indices[t] of the table, for the columns first … end - 1. Neighbouring
 * tokens with the same index are summed first: whole samples share a token type. */
static void scatter(fsam_tensor *table, const int32_t *indices, const fsam_batch *batch,
                    const float *dz, int64_t stride, int64_t first, int64_t end) {
  for (int64_t t = 0, next; t < batch->tokens; t = next) {
    const int32_t sample = batch->sample[t];
    next = t + 1;
    if (sample < 0) continue;
    while (next < batch->tokens && indices[next] == indices[t] && batch->sample[next] == sample)
      next++;
    float *row = (float *)table->data + indices[t] * table->shape[1];
    for (int64_t c = first; c < end; c += LANES) {
      vf sum = {0};
      for (int64_t i = t; i < next; i++) sum += v_load(dz + i * stride + c);
      v_store_n(row + c, v_load_n(row + c, end - c) + sum, end - c);
    }
  }
}

/* Adds to row indices[t] of the table the square of what each sample gives it, for the columns
 * first … end - 1. A sample that has an index several times gives the sum of its tokens' rows; the
 * first of them fetches the others'. */
static void scatter_squares(fsam_tensor *table, const int32_t *indices, const fsam_batch *batch,
                            const float *dz, int64_t stride, int64_t first, int64_t end) {
  for (int64_t b = 0; b < batch->samples; b++)
    for (int64_t t = batch->starts[b], stop = batch->starts[b + 1]; t < stop; t++) {
      int64_t before = batch->starts[b];
      while (indices[before] != indices[t]) before++;
      if (before < t) continue;
      float *row = (float *)table->data + indices[t] * table->shape[1];
      for (int64_t c = first; c < end; c += DROP_BATCH) {
        const int64_t left = end - c < DROP_BATCH ? end - c : DROP_BATCH;
        float sum[DROP_BATCH];
        memcpy(sum, dz + t * stride + c, (size_t)left * sizeof *sum);
        for (int64_t i = t + 1; i < stop; i++)
          if (indices[i] == indices[t])
            for (int64_t k = 0; k < left; k++) sum[k] += dz[i * stride + c + k];
        for (int64_t k = 0; k < left; k++) row[c + k] += sum[k] * sum[k];
      }
    }
}

static void backward_table(fsam_tensor *table, const int32_t *indices, const fsam_batch *batch,
                           const float *dz, int64_t stride, bool squares) {
  if (!table) return;
  if (!table->filled) zero_table(table);
  const int64_t n = table->shape[1], threads = omp_get_max_threads();
  const int64_t width = (n + threads * WIDE - 1) / (threads * WIDE) * WIDE;
#pragma omp parallel for schedule(static) if (batch->tokens * n > SERIAL)
  for (int64_t c = 0; c < n; c += width) {
    const int64_t end = c + width < n ? c + width : n;
    if (squares)
      scatter_squares(table, indices, batch, dz, stride, c, end);
    else
      scatter(table, indices, batch, dz, stride, c, end);
  }
}

typedef struct gradients {
  fsam_tensor *word, *position, *token_type, *gamma, *beta;
} gradients;

/* Of the tables and the norm, or of the squares of the samples' shares where blocks are samples. */
static int run_backward(const char *op, const gradients *d, const backward *a, row_blocks blocks) {
  const fsam_batch *batch = a->batch;
  const int64_t rows = a->z->shape[0], n = a->z->shape[1];
  FSAM_TRY(check_rows(op, "ids", batch->ids, rows, d->word));
  FSAM_TRY(check_rows(op, "positions", batch->positions, rows, d->position));
  FSAM_TRY(check_rows(op, "token_types", batch->token_types, rows, d->token_type));
  const bool bf16 = a->z->dtype == FSAM_BF16, squares = blocks.starts != NULL;
  const int64_t step = 2 * blocks.stride; /* a block's sums for dgamma and dbeta */
  void *workspace;
  FSAM_TRY(fsam__workspace(&workspace, fsam__device_of(a->z),
                           (size_t)(blocks.count * step + rows * blocks.stride) * sizeof(float)));
  float *sums = workspace, *dz = sums + blocks.count * step;
#pragma omp parallel for schedule(static) if (rows * n > SERIAL)
  for (int64_t block = 0; block < blocks.count; block++) {
    float *own = sums + block * step;
    memset(own, 0, (size_t)step * sizeof *own);
    const int64_t end = row_blocks_first(&blocks, block + 1);
    for (int64_t r = row_blocks_first(&blocks, block); r < end; r++) {
      int32_t sample = batch->sample[r];
      float *row = dz + r * blocks.stride;
      if (sample < 0)
        memset(row, 0, (size_t)blocks.stride * sizeof *row);
      else if (bf16)
        backward_row(FSAM_BF16, a, r, sample, row, own, blocks.stride);
      else
        backward_row(FSAM_F32, a, r, sample, row, own, blocks.stride);
    }
  }
  row_blocks_sum(d->gamma, blocks, sums, step, n);
  row_blocks_sum(d->beta, blocks, sums + blocks.stride, step, n);
  backward_table(d->word, batch->ids, batch, dz, blocks.stride, squares);
  backward_table(d->position, batch->positions, batch, dz, blocks.stride, squares);
  backward_table(d->token_type, batch->token_types, batch, dz, blocks.stride, squares);
  return FSAM_OK;
}

int FSAM_CPU(embedding_backward)(fsam_tensor *dword, fsam_tensor *dposition,
                                 fsam_tensor *dtoken_type, fsam_tensor *dgamma, fsam_tensor *dbeta,
                                 const fsam_tensor *dy, const fsam_tensor *z,
                                 const fsam_tensor *stats, const fsam_tensor *gamma,
                                 const fsam_batch *batch, const fsam_dropout *dropout) {
  const gradients d = {dword, dposition, dtoken_type, dgamma, dbeta};
  const backward a = {dy, z, stats, gamma, batch, drop_site_in(drop_site_of(dropout), batch)};
  return run_backward("embedding_backward", &d, &a, row_blocks_of(z->shape[0], z->shape[1]));
}

int FSAM_CPU(embedding_backward_squares)(fsam_tensor *dword, fsam_tensor *dposition,
                                         fsam_tensor *dtoken_type, fsam_tensor *dgamma,
                                         fsam_tensor *dbeta, const fsam_tensor *dy,
                                         const fsam_tensor *z, const fsam_tensor *stats,
                                         const fsam_tensor *gamma, const fsam_batch *batch,
                                         const fsam_dropout *dropout) {
  const gradients d = {dword, dposition, dtoken_type, dgamma, dbeta};
  const backward a = {dy, z, stats, gamma, batch, drop_site_in(drop_site_of(dropout), batch)};
  return run_backward("embedding_backward_squares", &d, &a,
                      row_blocks_of_samples(batch, z->shape[1]));
}
