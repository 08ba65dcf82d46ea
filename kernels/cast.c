/* cast.c: copies that convert between f32 and bf16 (rounding to nearest even; a NaN stays a NaN),
 * or keep the type, i32 too. Either both tensors are dense, of any two shapes with as many
 * elements, or both are matrices of one shape with any row strides. fsam_tensor_copy
 * (engine/tensor.c) does the checks; vendor/matmul.c calls this kernel too. */
#include "kernels/simd/simd.h"

enum { GRAIN = 1 << 14 /* elements that one thread takes at a time */ };

static void convert(void *to, int to_type, const void *from, int from_type, int64_t n) {
  if (to_type == from_type) {
    memmove(to, from, (size_t)(n * fsam__dtype_bytes(to_type)));
  } else if (to_type == FSAM_BF16) {
    for (int64_t i = 0; i < n; i += LANES)
      v_store_bf16_n((uint16_t *)to + i, v_load_n((const float *)from + i, n - i), n - i);
  } else {
    for (int64_t i = 0; i < n; i += LANES)
      v_store_n((float *)to + i, v_load_bf16_n((const uint16_t *)from + i, n - i), n - i);
  }
}

static bool dense(const fsam_tensor *t) {
  return t->rank < 2 || t->shape[0] < 2 || t->row_stride * t->shape[0] == fsam__elements(t);
}

int FSAM_CPU(cast)(fsam_tensor *to, const fsam_tensor *from) {
  const bool flat = dense(to) && dense(from);
  const int64_t rows = flat ? 1 : to->shape[0], columns = fsam__elements(to) / (rows ? rows : 1);
  const int64_t to_bytes = fsam__dtype_bytes(to->dtype);
  const int64_t from_bytes = fsam__dtype_bytes(from->dtype);
  if (to->data == from->data && to->dtype == from->dtype) return FSAM_OK;
#pragma omp parallel for collapse(2) schedule(static) if (rows * columns > GRAIN)
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c += GRAIN)
      convert((char *)to->data + (r * to->row_stride + c) * to_bytes, to->dtype,
              (const char *)from->data + (r * from->row_stride + c) * from_bytes, from->dtype,
              columns - c < GRAIN ? columns - c : GRAIN);
  return FSAM_OK;
}
