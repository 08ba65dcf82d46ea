/* cast.cu: copies that convert, f32 and bf16 either way, and same to same, of dense tensors
 * (cast.c). Bound by memory: each thread reads and writes one octet, once. */
#include "kernels/cuda/common.cuh"

enum { THREADS = 128 };

template <typename To, typename From>
static __global__ void __launch_bounds__(THREADS)
    cast_k(To *to, const From *from, int64_t count, bool wide) {
  const int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * OCTET;
  if (at >= count) return;
  float v[OCTET];
  load8(v, from + at, count - at, wide);
  store8(to + at, v, count - at, wide);
}

template <typename To, typename From>
static int run(fsam_tensor *to, const fsam_tensor *from) {
  const int64_t count = fsam__elements(to);
  return FSAM_LAUNCH(fsam__device_of(to), (cast_k<To, From>), octet_grid(count, THREADS), THREADS,
                     0, (To *)to->data, (const From *)from->data, count,
                     starts_wide(to) && starts_wide(from));
}

int cast_cuda(fsam_tensor *to, const fsam_tensor *from) {
  const bool to_bf16 = to->dtype == FSAM_BF16, from_bf16 = from->dtype == FSAM_BF16;
  if (to->data == from->data && to->dtype == from->dtype) return FSAM_OK;
  if (to_bf16 && from_bf16) return run<bf16, bf16>(to, from);
  if (to_bf16) return run<bf16, float>(to, from);
  if (from_bf16) return run<float, bf16>(to, from);
  return run<float, float>(to, from); /* i32 too: loads and stores keep the bits */
}
