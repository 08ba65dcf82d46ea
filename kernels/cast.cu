/* cast.cu: copies that convert, f32 and bf16 either way, and same to same (cast.c says what may be
 * asked). Bound by memory: an octet of each thread is read and written once. */
#include "common.cuh"

enum { THREADS = 128 };

struct cast_shape {
  int64_t rows, columns, to_stride, from_stride;
  bool wide;
};

template <typename To, typename From>
static __global__ void __launch_bounds__(THREADS)
    cast_k(To *to, const From *from, cast_shape shape) {
  const int64_t octets = divide_up(shape.columns, OCTET);
  const int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  const int64_t row = index / octets, column = index % octets * OCTET;
  if (row >= shape.rows) return;
  float v[OCTET];
  load8(v, from + row * shape.from_stride + column, shape.columns - column, shape.wide);
  store8(to + row * shape.to_stride + column, v, shape.columns - column, shape.wide);
}

template <typename To, typename From>
static int run(fsam_tensor *to, const fsam_tensor *from, const cast_shape &shape) {
  const int64_t octets = shape.rows * divide_up(shape.columns, OCTET);
  return FSAM_LAUNCH(fsam__device_of(to), (cast_k<To, From>),
                     dim3((unsigned)divide_up(octets, THREADS)), THREADS, 0, (To *)to->data,
                     (const From *)from->data, shape);
}

static bool dense(const fsam_tensor *t) {
  return t->rank < 2 || t->shape[0] < 2 || t->row_stride * t->shape[0] == fsam__elements(t);
}

int cast_cuda(fsam_tensor *to, const fsam_tensor *from) {
  const bool flat = dense(to) && dense(from);
  const int64_t count = fsam__elements(to);
  if (!count || (to->data == from->data && to->dtype == from->dtype)) return FSAM_OK;
  cast_shape shape = {1, count, count, count, false};
  if (!flat) shape = {to->shape[0], count / to->shape[0], to->row_stride, from->row_stride, false};
  const uintptr_t ends = (uintptr_t)to->data | (uintptr_t)from->data;
  shape.wide = flat ? ends % 16 == 0 : is_wide(to, from);
  const bool to_bf16 = to->dtype == FSAM_BF16, from_bf16 = from->dtype == FSAM_BF16;
  if (to_bf16 && from_bf16) return run<bf16, bf16>(to, from, shape);
  if (to_bf16) return run<bf16, float>(to, from, shape);
  if (from_bf16) return run<float, bf16>(to, from, shape);
  return run<float, float>(to, from, shape); /* i32 too: bits go through as they are */
}
