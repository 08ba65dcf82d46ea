/* sample_squares.c: the sum over the samples b of g_b squared, for the weight and bias of a linear
 * map, where g_b is the gradient that sample b alone gives them, a sum over its tokens t:
 *     dw[N,K] = sum_b (sum_t dy_t x_t^T)^2        db[N] = sum_b (sum_t dy_t)^2
 * (The same for layer norms and embeddings: layernorm.c, embedding.c. Who asks: fsam.pass.)
 *
 * A sample's gradient is as large as the weight, and here it never reaches memory: a tile of it
 * lies in registers while the sample's tokens pass by, then its square joins the tile's sum in the
 * first-level cache. A sample costs its tokens' share of one weight-gradient product and a square,
 * whatever the number of samples. Each element has a sum of its own, over tokens and then samples
 * in order, so that neither tiles, lanes nor threads change a bit. */
#include "kernels/simd/simd.h"

#if FSAM_PUBLIC

int fsam_linear_backward_squares(fsam_tensor *dw, fsam_tensor *db, const fsam_tensor *dy,
                                 const fsam_tensor *x, const fsam_batch *batch, int per_sample) {
  const char *op = "linear_backward_squares";
  FSAM_TRY(fsam__check_batch(op, batch));
  FSAM_TRY(fsam__expect(op, "dy", dy, -1, 2, per_sample ? batch->samples : batch->tokens, -1));
  if (dw) FSAM_TRY(fsam__expect(op, "x", x, dy->dtype, 2, dy->shape[0], -1));
  if (dw) FSAM_TRY(fsam__expect(op, "dw", dw, FSAM_F32, 2, dy->shape[1], x->shape[1]));
  FSAM_TRY(fsam__expect_optional(op, "db", db, FSAM_F32, 1, dy->shape[1], -1));
  return fsam__device_of(dy)->kernels->linear_backward_squares(dw, db, dy, x, batch, per_sample);
}

#endif

enum {
  ROWS = FSAM_LANES == 16 ? 12 : 6, /* of a tile in registers, of 32 or 16: rows of dw … */
  VECTORS = 2,                      /* … by vectors */
  COLUMNS = VECTORS * LANES,
  BLOCK = 16,       /* panels of ROWS that stay in the second-level cache */
  SLICE = 64,       /* columns of db that one thread takes at a time */
  SERIAL = 1 << 15, /* products below which one thread is faster */
};

/* Where samples begin: rows starts[b] … starts[b+1]-1 are sample b's; without starts, row b is. */
typedef struct cut {
  const int32_t *starts;
  int64_t samples;
} cut;

FSAM_INLINE int64_t first_row(const cut *c, int64_t b) { return c->starts ? c->starts[b] : b; }

/* -- panels: a few columns of a matrix, row after row, as f32 ---------------------------------- */

FSAM_INLINE float element(int dtype, const void *base, int64_t i) {
  if (dtype == FSAM_F32) return ((const float *)base)[i];
  const uint32_t bits = (uint32_t)((const uint16_t *)base)[i] << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Row t of all panels; those beyond the last column are 0. */
FSAM_INLINE void pack_row(int dtype, int width, float *to, const fsam_tensor *from, int64_t t) {
  const int64_t rows = from->shape[0], n = from->shape[1], at = t * from->row_stride;
  for (int64_t c = 0; c < n; c += width) {
    float *panel = to + c * rows + t * width;
    if (c + width <= n)
      for (int i = 0; i < width; i++) panel[i] = element(dtype, from->data, at + c + i);
    else
      for (int i = 0; i < width; i++)
        panel[i] = c + i < n ? element(dtype, from->data, at + c + i) : 0.0f;
  }
}

FSAM_INLINE void pack(int width, float *to, const fsam_tensor *from) {
  const int64_t rows = from->shape[0];
#pragma omp parallel for schedule(static) if (rows * from->shape[1] > SERIAL)
  for (int64_t t = 0; t < rows; t++) {
    if (from->dtype == FSAM_BF16)
      pack_row(FSAM_BF16, width, to, from, t);
    else
      pack_row(FSAM_F32, width, to, from, t);
  }
}

static int64_t panels(int64_t n, int64_t width) { return (n + width - 1) / width; }

/* -- weights ----------------------------------------------------------------------------------- */

/* sums[ROWS][COLUMNS] += the squares of the samples' gradients; y and x are panels. */
FSAM_INLINE void add_squares(float *sums, const float *y, const float *x, const cut *c) {
  for (int64_t b = 0; b < c->samples; b++) {
    int64_t t = first_row(c, b);
    const int64_t end = first_row(c, b + 1);
    if (t == end) continue;
    vf g[ROWS][VECTORS];
    for (int j = 0; j < VECTORS; j++) {
      const vf right = v_load(x + t * COLUMNS + j * LANES);
      for (int i = 0; i < ROWS; i++) g[i][j] = v_set(y[t * ROWS + i]) * right;
    }
    for (t++; t < end; t++) {
      vf right[VECTORS];
      for (int j = 0; j < VECTORS; j++) right[j] = v_load(x + t * COLUMNS + j * LANES);
      for (int i = 0; i < ROWS; i++) {
        const vf left = v_set(y[t * ROWS + i]);
        for (int j = 0; j < VECTORS; j++) g[i][j] = v_fma(left, right[j], g[i][j]);
      }
    }
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < VECTORS; j++) {
        float *sum = sums + i * COLUMNS + j * LANES;
        v_store(sum, v_load(sum) + g[i][j] * g[i][j]);
      }
  }
}

/* The tile of dw whose first element is (n, k). */
static void square_tile(fsam_tensor *dw, int64_t n, int64_t k, const float *y, const float *x,
                        const cut *c) {
  float sums[ROWS * COLUMNS] __attribute__((aligned(64))) = {0};
  const int64_t left = dw->shape[1] - k;
  const int rows = dw->shape[0] - n < ROWS ? (int)(dw->shape[0] - n) : ROWS;
  float *out = (float *)dw->data + n * dw->row_stride + k;
  for (int i = 0; dw->filled && i < rows; i++)
    for (int j = 0; j < COLUMNS; j += LANES)
      v_store(sums + i * COLUMNS + j, v_load_n(out + i * dw->row_stride + j, left - j));
  add_squares(sums, y, x, c);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < COLUMNS; j += LANES)
      v_store_n(out + i * dw->row_stride + j, v_load(sums + i * COLUMNS + j), left - j);
}

static int square_weights(fsam_tensor *dw, const fsam_tensor *dy, const fsam_tensor *x,
                          const cut *c) {
  const int64_t rows = dy->shape[0], N = dw->shape[0], K = dw->shape[1];
  const int64_t of_y = panels(N, ROWS), of_x = panels(K, COLUMNS);
  void *workspace;
  FSAM_TRY(fsam__workspace(&workspace, fsam__device_of(dy),
                           (size_t)(rows * (of_x * COLUMNS + of_y * ROWS)) * sizeof(float)));
  float *xs = workspace, *ys = xs + rows * of_x * COLUMNS;
  pack(COLUMNS, xs, x);
  pack(ROWS, ys, dy);
  /* The panels of a block of y stay in the second-level cache, one of x in the first. */
#pragma omp parallel for collapse(2) schedule(dynamic) if (rows * N * K > SERIAL)
  for (int64_t block = 0; block < of_y; block += BLOCK)
    for (int64_t q = 0; q < of_x; q++)
      for (int64_t p = block; p < of_y && p < block + BLOCK; p++)
        square_tile(dw, p * ROWS, q * COLUMNS, ys + p * ROWS * rows, xs + q * COLUMNS * rows, c);
  return FSAM_OK;
}

/* -- biases ------------------------------------------------------------------------------------ */

/* db[first …], at most SLICE columns. */
FSAM_INLINE void square_slice(int dtype, fsam_tensor *db, const fsam_tensor *dy, int64_t first,
                              const cut *c) {
  float *out = (float *)db->data + first;
  const int64_t n = dy->shape[1] - first;
  vf total[SLICE / LANES];
  for (int i = 0; i < SLICE / LANES; i++)
    total[i] = db->filled ? v_load_n(out + i * LANES, n - i * LANES) : v_set(0.0f);
  for (int64_t b = 0; b < c->samples; b++) {
    vf sum[SLICE / LANES] = {0};
    for (int64_t t = first_row(c, b); t < first_row(c, b + 1); t++) {
      const int64_t at = t * dy->row_stride + first;
      for (int i = 0; i < SLICE / LANES; i++)
        sum[i] += v_load_act(dtype, dy->data, at + i * LANES, n - i * LANES);
    }
    for (int i = 0; i < SLICE / LANES; i++) total[i] += sum[i] * sum[i];
  }
  for (int i = 0; i < SLICE / LANES; i++) v_store_n(out + i * LANES, total[i], n - i * LANES);
}

static void square_columns(fsam_tensor *db, const fsam_tensor *dy, const cut *c) {
  const int64_t columns = dy->shape[1];
#pragma omp parallel for schedule(static) if (dy->shape[0] * columns > SERIAL)
  for (int64_t first = 0; first < columns; first += SLICE) {
    if (dy->dtype == FSAM_BF16)
      square_slice(FSAM_BF16, db, dy, first, c);
    else
      square_slice(FSAM_F32, db, dy, first, c);
  }
}

/* -- kernels ----------------------------------------------------------------------------------- */

int FSAM_CPU(linear_backward_squares)(fsam_tensor *dw, fsam_tensor *db, const fsam_tensor *dy,
                                      const fsam_tensor *x, const fsam_batch *batch,
                                      int per_sample) {
  const cut c = {per_sample ? NULL : batch->starts, batch->samples};
  if (db) square_columns(db, dy, &c);
  return dw ? square_weights(dw, dy, x, &c) : FSAM_OK;
}
