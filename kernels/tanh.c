/* tanh.c: y = tanh(x), for the pooler and the classification heads. Backward reads y, not x:
 * dx = dy (1 - y^2). Dense matrices, all of one type; dx may be dy. */
#include "kernels/simd/simd_math.h"

#if FSAM_PUBLIC

int fsam_tanh_forward(fsam_tensor *y, const fsam_tensor *x) {
  FSAM_TRY(fsam__expect("tanh_forward", "x", x, -1, 2, -1, -1));
  FSAM_TRY(fsam__expect("tanh_forward", "y", y, x->dtype, 2, x->shape[0], x->shape[1]));
  FSAM_TRY(fsam__expect_dense("tanh_forward", "x", x));
  FSAM_TRY(fsam__expect_dense("tanh_forward", "y", y));
  return fsam__device_of(y)->kernels->tanh_forward(y, x);
}

int fsam_tanh_backward(fsam_tensor *dx, const fsam_tensor *dy, const fsam_tensor *y) {
  FSAM_TRY(fsam__expect("tanh_backward", "y", y, -1, 2, -1, -1));
  FSAM_TRY(fsam__expect("tanh_backward", "dy", dy, y->dtype, 2, y->shape[0], y->shape[1]));
  FSAM_TRY(fsam__expect("tanh_backward", "dx", dx, y->dtype, 2, y->shape[0], y->shape[1]));
  FSAM_TRY(fsam__expect_dense("tanh_backward", "y", y));
  FSAM_TRY(fsam__expect_dense("tanh_backward", "dy", dy));
  FSAM_TRY(fsam__expect_dense("tanh_backward", "dx", dx));
  return fsam__device_of(dx)->kernels->tanh_backward(dx, dy, y);
}

#endif

enum { GRAIN = 4096 /* elements that one thread takes at a time */ };

FSAM_INLINE void forward_range(int dtype, void *y, const void *x, int64_t from, int64_t to) {
  for (int64_t i = from; i < to; i += LANES)
    v_store_act(dtype, y, i, v_tanh(v_load_act(dtype, x, i, to - i)), to - i);
}

FSAM_INLINE void backward_range(int dtype, void *dx, const void *dy, const void *y, bool add,
                                int64_t from, int64_t to) {
  for (int64_t i = from; i < to; i += LANES) {
    vf value = v_load_act(dtype, y, i, to - i);
    vf gradient = v_load_act(dtype, dy, i, to - i) * (1.0f - value * value);
    if (add) gradient += v_load_act(dtype, dx, i, to - i);
    v_store_act(dtype, dx, i, gradient, to - i);
  }
}

int FSAM_CPU(tanh_forward)(fsam_tensor *y, const fsam_tensor *x) {
  const int64_t n = fsam__elements(x);
#pragma omp parallel for schedule(static) if (n > GRAIN)
  for (int64_t i = 0; i < n; i += GRAIN) {
    int64_t end = i + GRAIN < n ? i + GRAIN : n;
    if (x->dtype == FSAM_BF16)
      forward_range(FSAM_BF16, y->data, x->data, i, end);
    else
      forward_range(FSAM_F32, y->data, x->data, i, end);
  }
  return FSAM_OK;
}

int FSAM_CPU(tanh_backward)(fsam_tensor *dx, const fsam_tensor *dy, const fsam_tensor *y) {
  const int64_t n = fsam__elements(y);
#pragma omp parallel for schedule(static) if (n > GRAIN)
  for (int64_t i = 0; i < n; i += GRAIN) {
    int64_t end = i + GRAIN < n ? i + GRAIN : n;
    if (y->dtype == FSAM_BF16)
      backward_range(FSAM_BF16, dx->data, dy->data, y->data, dx->filled, i, end);
    else
      backward_range(FSAM_F32, dx->data, dy->data, y->data, dx->filled, i, end);
  }
  return FSAM_OK;
}
