/* gather.c: y[B,H] = the first row of every sample of x[T,H], as f32, for the classification heads;
 * and its gradient. An empty sample has zeros in y and no row in dx. */
#include "kernels/simd/simd.h"

#if FSAM_PUBLIC

static int check(const char *op, const char *rows_name, const fsam_tensor *rows,
                 const char *picked_name, const fsam_tensor *picked, const fsam_batch *batch) {
  if (!batch) return fsam__fail(FSAM_EINVAL, "%s: batch is missing", op);
  FSAM_TRY(fsam__expect(op, rows_name, rows, -1, 2, batch->tokens, -1));
  return fsam__expect(op, picked_name, picked, FSAM_F32, 2, batch->samples, rows->shape[1]);
}

int fsam_gather_forward(fsam_tensor *y, const fsam_tensor *x, const fsam_batch *batch) {
  FSAM_TRY(check("gather_forward", "x", x, "y", y, batch));
  return fsam__device_of(y)->kernels->gather_forward(y, x, batch);
}

int fsam_gather_backward(fsam_tensor *dx, const fsam_tensor *dy, const fsam_batch *batch) {
  FSAM_TRY(check("gather_backward", "dx", dx, "dy", dy, batch));
  return fsam__device_of(dx)->kernels->gather_backward(dx, dy, batch);
}

#endif

FSAM_INLINE void pick_row(int dtype, float *y, const void *x, int64_t first, int64_t n) {
  for (int64_t c = 0; c < n; c += LANES)
    v_store_n(y + c, v_load_act(dtype, x, first + c, n - c), n - c);
}

FSAM_INLINE void add_row(int dtype, void *dx, int64_t first, const float *dy, int64_t n) {
  for (int64_t c = 0; c < n; c += LANES)
    v_store_act(dtype, dx, first + c,
                v_load_act(dtype, dx, first + c, n - c) + v_load_n(dy + c, n - c), n - c);
}

int FSAM_CPU(gather_forward)(fsam_tensor *y, const fsam_tensor *x, const fsam_batch *batch) {
  const int64_t n = y->shape[1];
  for (int64_t b = 0; b < batch->samples; b++) {
    float *row = (float *)y->data + b * y->row_stride;
    int64_t first = batch->starts[b] * x->row_stride;
    if (batch->starts[b] == batch->starts[b + 1])
      memset(row, 0, (size_t)n * sizeof *row);
    else if (x->dtype == FSAM_BF16)
      pick_row(FSAM_BF16, row, x->data, first, n);
    else
      pick_row(FSAM_F32, row, x->data, first, n);
  }
  return FSAM_OK;
}

int FSAM_CPU(gather_backward)(fsam_tensor *dx, const fsam_tensor *dy, const fsam_batch *batch) {
  const int64_t n = dx->shape[1], row_bytes = dx->row_stride * fsam__dtype_bytes(dx->dtype);
  const size_t bytes = (size_t)(n * fsam__dtype_bytes(dx->dtype));
  for (int64_t t = 0; !dx->filled && t < batch->tokens; t++)
    memset((char *)dx->data + t * row_bytes, 0, bytes);
  for (int64_t b = 0; b < batch->samples; b++) {
    const float *row = (const float *)dy->data + b * dy->row_stride;
    int64_t first = batch->starts[b] * dx->row_stride;
    if (batch->starts[b] == batch->starts[b + 1]) continue;
    if (dx->dtype == FSAM_BF16)
      add_row(FSAM_BF16, dx->data, first, row, n);
    else
      add_row(FSAM_F32, dx->data, first, row, n);
  }
  return FSAM_OK;
}
