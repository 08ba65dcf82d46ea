/* tanh.cu: y = tanh(x), and dx = dy (1 - y^2) (tanh.c). Bound by launching: the pooler and the
 * heads have one row per sample. */
#include "kernels/cuda/common.cuh"

enum { THREADS = 128 };

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    tanh_forward_k(T *y, const T *x, int64_t count, bool wide) {
  const int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * OCTET;
  if (at >= count) return;
  float v[OCTET];
  load8(v, x + at, count - at, wide);
  for (int i = 0; i < OCTET; i++) v[i] = tanhf(v[i]);
  store8(y + at, v, count - at, wide);
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    tanh_backward_k(T *dx, const T *dy, const T *y, int64_t count, bool add, bool wide) {
  const int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * OCTET;
  if (at >= count) return;
  float value[OCTET], gradient[OCTET];
  load8(value, y + at, count - at, wide);
  load8(gradient, dy + at, count - at, wide);
  for (int i = 0; i < OCTET; i++) gradient[i] *= 1 - value[i] * value[i];
  store_or_add8(dx + at, gradient, count - at, wide, add);
}

template <typename T>
static int forward(fsam_tensor *y, const fsam_tensor *x) {
  const int64_t n = fsam__elements(x);
  return FSAM_LAUNCH(fsam__device_of(y), tanh_forward_k<T>, octet_grid(n, THREADS), THREADS, 0,
                     (T *)y->data, (const T *)x->data, n, starts_wide(x) && starts_wide(y));
}

int tanh_forward_cuda(fsam_tensor *y, const fsam_tensor *x) {
  return x->dtype == FSAM_BF16 ? forward<bf16>(y, x) : forward<float>(y, x);
}

template <typename T>
static int backward(fsam_tensor *dx, const fsam_tensor *dy, const fsam_tensor *y) {
  const int64_t n = fsam__elements(y);
  const bool wide = starts_wide(dx) && starts_wide(dy) && starts_wide(y);
  return FSAM_LAUNCH(fsam__device_of(dx), tanh_backward_k<T>, octet_grid(n, THREADS), THREADS, 0,
                     (T *)dx->data, (const T *)dy->data, (const T *)y->data, n, dx->filled != 0,
                     wide);
}

int tanh_backward_cuda(fsam_tensor *dx, const fsam_tensor *dy, const fsam_tensor *y) {
  return y->dtype == FSAM_BF16 ? backward<bf16>(dx, dy, y) : backward<float>(dx, dy, y);
}
