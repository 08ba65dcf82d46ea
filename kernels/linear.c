/* linear.c: y[T,N] = x[T,K] w[N,K]^T + b[N] and its three gradients. Owns the bias gradient; leaves
 * to others: the products (vendor/matmul.h). Backward needs only x and w. A row of the tail has a
 * row of y, but adds nothing to any gradient, because its dy is zero. */
#include "kernels/vendor/matmul.h"
#include "kernels/simd/simd.h"

#if FSAM_PUBLIC

int fsam_linear_forward(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *w,
                        const fsam_tensor *b) {
  FSAM_TRY(fsam__expect("linear_forward", "x", x, -1, 2, -1, -1));
  FSAM_TRY(fsam__expect("linear_forward", "w", w, x->dtype, 2, -1, x->shape[1]));
  FSAM_TRY(fsam__expect("linear_forward", "y", y, x->dtype, 2, x->shape[0], w->shape[0]));
  FSAM_TRY(fsam__expect_optional("linear_forward", "b", b, FSAM_F32, 1, w->shape[0], -1));
  return fsam__device_of(y)->kernels->linear_forward(y, x, w, b);
}

int fsam_linear_backward_input(fsam_tensor *dx, const fsam_tensor *dy, const fsam_tensor *w) {
  FSAM_TRY(fsam__expect("linear_backward_input", "dy", dy, -1, 2, -1, -1));
  FSAM_TRY(fsam__expect("linear_backward_input", "w", w, dy->dtype, 2, dy->shape[1], -1));
  FSAM_TRY(
      fsam__expect("linear_backward_input", "dx", dx, dy->dtype, 2, dy->shape[0], w->shape[1]));
  return fsam__device_of(dx)->kernels->linear_backward_input(dx, dy, w);
}

int fsam_linear_backward_weight(fsam_tensor *dw, fsam_tensor *db, const fsam_tensor *dy,
                                const fsam_tensor *x) {
  FSAM_TRY(fsam__expect("linear_backward_weight", "dy", dy, -1, 2, -1, -1));
  FSAM_TRY(fsam__expect("linear_backward_weight", "x", x, dy->dtype, 2, dy->shape[0], -1));
  FSAM_TRY(fsam__expect_optional("linear_backward_weight", "dw", dw, FSAM_F32, 2, dy->shape[1],
                                 x->shape[1]));
  FSAM_TRY(
      fsam__expect_optional("linear_backward_weight", "db", db, FSAM_F32, 1, dy->shape[1], -1));
  return fsam__device_of(dy)->kernels->linear_backward_weight(dw, db, dy, x);
}

int fsam_linear_biases(fsam_device *device, const fsam_tensor *biases) {
  if (biases) FSAM_TRY(fsam__expect("linear_biases", "biases", biases, FSAM_F32, 1, -1, -1));
  return device->kernels->linear_biases(device, biases);
}

int fsam_tuning_begin(fsam_device *device, const char *known) {
  return device->kernels->tuning_begin(device, known);
}

int fsam_tuning_text(fsam_device *device, const char **text) {
  return device->kernels->tuning_text(device, text);
}

#endif

/* -- the bias gradient ------------------------------------------------------------------------- */

enum {
  SLICE = 64,      /* columns that one thread takes at a time: a cache line or more of a row */
  ROW_BLOCK = 64,  /* rows summed by themselves before they join the total: keeps rounding small */
  SERIAL = 1 << 15 /* elements below which one thread is faster */
};

/* db[0 … n) = column sums of dy[rows, n], n <= SLICE; added when `add`. */
FSAM_INLINE void sum_slice(int dtype, float *db, const void *dy, int64_t first, int64_t stride,
                           int64_t rows, int64_t n, bool add) {
  vf total[SLICE / LANES] = {0};
  for (int64_t r0 = 0; r0 < rows; r0 += ROW_BLOCK) {
    int64_t end = r0 + ROW_BLOCK < rows ? r0 + ROW_BLOCK : rows;
    vf sum[SLICE / LANES] = {0};
    for (int64_t r = r0; r < end; r++)
      for (int i = 0; i < SLICE / LANES; i++)
        sum[i] += v_load_act(dtype, dy, r * stride + first + i * LANES, n - i * LANES);
    for (int i = 0; i < SLICE / LANES; i++) total[i] += sum[i];
  }
  for (int i = 0; i < SLICE / LANES; i++) {
    if (add) total[i] += v_load_n(db + first + i * LANES, n - i * LANES);
    v_store_n(db + first + i * LANES, total[i], n - i * LANES);
  }
}

/* Each sum belongs to one thread: the bits do not depend on the number of threads. */
static void sum_columns(fsam_tensor *db, const fsam_tensor *dy) {
  const int64_t rows = dy->shape[0], columns = dy->shape[1], stride = dy->row_stride;
#pragma omp parallel for schedule(static) if (rows * columns > SERIAL)
  for (int64_t c = 0; c < columns; c += SLICE) {
    int64_t n = columns - c < SLICE ? columns - c : SLICE;
    if (dy->dtype == FSAM_BF16)
      sum_slice(FSAM_BF16, db->data, dy->data, c, stride, rows, n, db->filled);
    else if (n == SLICE) /* a constant: no test in the inner loop */
      sum_slice(FSAM_F32, db->data, dy->data, c, stride, rows, SLICE, db->filled);
    else
      sum_slice(FSAM_F32, db->data, dy->data, c, stride, rows, n, db->filled);
  }
}

/* -- kernels ----------------------------------------------------------------------------------- */

int FSAM_CPU(linear_forward)(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *w,
                             const fsam_tensor *b) {
  return fsam__matmul(y, x, false, w, true, b, false);
}

int FSAM_CPU(linear_backward_input)(fsam_tensor *dx, const fsam_tensor *dy, const fsam_tensor *w) {
  return fsam__matmul(dx, dy, false, w, false, NULL, dx->filled);
}

int FSAM_CPU(linear_backward_weight)(fsam_tensor *dw, fsam_tensor *db, const fsam_tensor *dy,
                                     const fsam_tensor *x) {
  if (db) sum_columns(db, dy);
  return dw ? fsam__matmul(dw, dy, true, x, false, NULL, dw->filled) : FSAM_OK;
}

int FSAM_CPU(linear_biases)(fsam_device *device, const fsam_tensor *biases) {
  (void)device, (void)biases;
  return FSAM_OK;
}

/* -- tuning: the CPU's libraries choose by themselves ------------------------------------------ */

int FSAM_CPU(tuning_begin)(fsam_device *device, const char *known) {
  (void)device, (void)known;
  return FSAM_OK;
}

int FSAM_CPU(tuning_text)(fsam_device *device, const char **text) {
  (void)device;
  *text = "";
  return FSAM_OK;
}

/* -- column sums: here they are added up where they are made ----------------------------------- */

int FSAM_CPU(column_sums_hold)(fsam_device *device, int hold) {
  (void)device, (void)hold;
  return FSAM_OK;
}

int FSAM_CPU(column_sums_flush)(fsam_device *device, int least) {
  (void)device, (void)least;
  return FSAM_OK;
}
