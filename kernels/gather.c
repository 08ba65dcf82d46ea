/* gather.c: y[B,H] = the first row of every sample of x[T,H], and its gradient: as f32 for the
 * classification heads, in x's own type for a layer whose other rows nothing reads. An empty sample
 * has zeros in y and no row in dx. */
#include "kernels/simd/simd.h"

#if FSAM_PUBLIC

static int check(const char *op, const char *rows_name, const fsam_tensor *rows,
                 const char *picked_name, const fsam_tensor *picked, const fsam_batch *batch) {
  if (!batch) return fsam__fail(FSAM_EINVAL, "%s: batch is missing", op);
  FSAM_TRY(fsam__expect(op, rows_name, rows, -1, 2, batch->tokens, -1));
  const int type = picked && picked->dtype == rows->dtype ? picked->dtype : FSAM_F32;
  return fsam__expect(op, picked_name, picked, type, 2, batch->samples, rows->shape[1]);
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

/* y = the row of x, each of its own type; n columns. */
FSAM_INLINE void pick_row(int to, void *y, int64_t y_at, int from, const void *x, int64_t x_at,
                          int64_t n) {
  for (int64_t c = 0; c < n; c += LANES)
    v_store_act(to, y, y_at + c, v_load_act(from, x, x_at + c, n - c), n - c);
}

FSAM_INLINE void add_row(int to, void *dx, int64_t dx_at, int from, const void *dy, int64_t dy_at,
                         int64_t n) {
  for (int64_t c = 0; c < n; c += LANES)
    v_store_act(to, dx, dx_at + c,
                v_load_act(to, dx, dx_at + c, n - c) + v_load_act(from, dy, dy_at + c, n - c),
                n - c);
}

int FSAM_CPU(gather_forward)(fsam_tensor *y, const fsam_tensor *x, const fsam_batch *batch) {
  const int64_t n = y->shape[1], row_bytes = n * fsam__dtype_bytes(y->dtype);
  for (int64_t b = 0; b < batch->samples; b++) {
    const int64_t to = b * y->row_stride, from = batch->starts[b] * x->row_stride;
    if (batch->starts[b] == batch->starts[b + 1])
      memset((char *)y->data + to * fsam__dtype_bytes(y->dtype), 0, (size_t)row_bytes);
    else if (x->dtype == FSAM_F32)
      pick_row(FSAM_F32, y->data, to, FSAM_F32, x->data, from, n);
    else if (y->dtype == FSAM_F32)
      pick_row(FSAM_F32, y->data, to, FSAM_BF16, x->data, from, n);
    else
      pick_row(FSAM_BF16, y->data, to, FSAM_BF16, x->data, from, n);
  }
  return FSAM_OK;
}

int FSAM_CPU(gather_backward)(fsam_tensor *dx, const fsam_tensor *dy, const fsam_batch *batch) {
  const int64_t n = dx->shape[1], row_bytes = dx->row_stride * fsam__dtype_bytes(dx->dtype);
  const size_t bytes = (size_t)(n * fsam__dtype_bytes(dx->dtype));
  for (int64_t t = 0; !dx->filled && t < batch->tokens; t++)
    memset((char *)dx->data + t * row_bytes, 0, bytes);
  for (int64_t b = 0; b < batch->samples; b++) {
    const int64_t to = batch->starts[b] * dx->row_stride, from = b * dy->row_stride;
    if (batch->starts[b] == batch->starts[b + 1]) continue;
    if (dx->dtype == FSAM_F32)
      add_row(FSAM_F32, dx->data, to, FSAM_F32, dy->data, from, n);
    else if (dy->dtype == FSAM_F32)
      add_row(FSAM_BF16, dx->data, to, FSAM_F32, dy->data, from, n);
    else
      add_row(FSAM_BF16, dx->data, to, FSAM_BF16, dy->data, from, n);
  }
  return FSAM_OK;
}
