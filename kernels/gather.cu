/* gather.cu: the first row of every sample, and its gradient (gather.c); R is the type of picked
 * rows. Bound by launching: forward and backward touch one row per sample; backward also writes the
 * zeros of a fresh dx. */
#include "kernels/cuda/common.cuh"

enum { THREADS = 128 };

template <typename T, typename R>
static __global__ void __launch_bounds__(THREADS)
    gather_forward_k(matrix<R> y, matrix<const T> x, fsam_batch batch, int64_t columns, bool wide) {
  const int64_t sample = blockIdx.x, row = batch.starts[sample];
  const bool empty = row == batch.starts[sample + 1];
  for (int64_t c = (int64_t)threadIdx.x * OCTET; c < columns; c += THREADS * OCTET) {
    float v[OCTET] = {0};
    if (!empty) load8(v, x.at(row, c), columns - c, wide);
    store8(y.at(sample, c), v, columns - c, wide);
  }
}

/* One block per row of the batch: the first row of a sample takes dy, the others zeros, unless dx
 * is added to. */
template <typename T, typename R>
static __global__ void __launch_bounds__(THREADS)
    gather_backward_k(matrix<T> dx, matrix<const R> dy, fsam_batch batch, int64_t columns,
                      bool wide) {
  const int64_t row = blockIdx.x;
  const int sample = batch.sample[row];
  const bool first = sample >= 0 && batch.starts[sample] == row;
  if (!first && dx.add) return;
  for (int64_t c = (int64_t)threadIdx.x * OCTET; c < columns; c += THREADS * OCTET) {
    float v[OCTET] = {0};
    if (first) load8(v, dy.at(sample, c), columns - c, wide);
    store_or_add8(dx.at(row, c), v, columns - c, wide, dx.add);
  }
}

template <typename T, typename R>
static int forward(fsam_tensor *y, const fsam_tensor *x, const fsam_batch *batch) {
  return FSAM_LAUNCH(fsam__device_of(y), (gather_forward_k<T, R>), dim3((unsigned)batch->samples),
                     THREADS, 0, matrix_of<R>(y), matrix_of<const T>(x), *batch, y->shape[1],
                     is_wide(y, x));
}

int gather_forward_cuda(fsam_tensor *y, const fsam_tensor *x, const fsam_batch *batch) {
  if (x->dtype == FSAM_F32) return forward<float, float>(y, x, batch);
  if (y->dtype == FSAM_F32) return forward<bf16, float>(y, x, batch);
  return forward<bf16, bf16>(y, x, batch);
}

template <typename T, typename R>
static int backward(fsam_tensor *dx, const fsam_tensor *dy, const fsam_batch *batch) {
  return FSAM_LAUNCH(fsam__device_of(dx), (gather_backward_k<T, R>), dim3((unsigned)batch->tokens),
                     THREADS, 0, matrix_of<T>(dx), matrix_of<const R>(dy), *batch, dx->shape[1],
                     is_wide(dx, dy));
}

int gather_backward_cuda(fsam_tensor *dx, const fsam_tensor *dy, const fsam_batch *batch) {
  if (dx->dtype == FSAM_F32) return backward<float, float>(dx, dy, batch);
  if (dy->dtype == FSAM_F32) return backward<bf16, float>(dx, dy, batch);
  return backward<bf16, bf16>(dx, dy, batch);
}
