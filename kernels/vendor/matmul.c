/* matmul.c: matrix products for linear.c. Owns what the libraries lack: sums without terms, and
 * bf16 through f32 where the library cannot multiply bf16 or the processor does so slower than f32
 * (somewhat slower than f32, as exact as native bf16). The library's state lies in a slot of the
 * device. */
#include "kernels/vendor/matmul.h"

#include <omp.h>
#include <stdlib.h>

_Static_assert(sizeof(matmul_product) == 7 * 8, "a product is compared as bytes: no padding");

static void free_library(void *library) { fsam__matmul_library_free(library); }

/* The device's library, started at the first product. */
static int library_of(matmul_library **out, fsam_device *device) {
  void **slot;
  FSAM_TRY(fsam__device_slot(&slot, device, free_library));
  if (!*slot) {
    matmul_library *library;
    FSAM_TRY(fsam__matmul_library_new(&library));
    *slot = library;
  }
  *out = *slot;
  return FSAM_OK;
}

/* -- sums without terms ------------------------------------------------------------------------ */

/* k = 0, an empty batch: each row of c is the bias, or zeros. */
static int no_terms(fsam_tensor *c, const fsam_tensor *bias, bool accumulate) {
  if (accumulate) return FSAM_OK;
  fsam_tensor row = *c, terms = *c;
  row.shape[0] = terms.shape[0] = 1;
  terms.dtype = FSAM_F32;
  terms.data = bias ? bias->data : calloc((size_t)c->shape[1], sizeof(float));
  if (!terms.data) return fsam__fail(FSAM_ENOMEM, "linear: no memory for a row of zeros");
  int rc = FSAM_OK;
  for (int64_t i = 0; rc == FSAM_OK && i < c->shape[0]; i++) {
    row.data = (char *)c->data + i * c->row_stride * fsam__dtype_bytes(c->dtype);
    rc = fsam__device_of(c)->kernels->cast(&row, &terms);
  }
  if (!bias) free(terms.data);
  return rc;
}

/* -- bf16 through f32 -------------------------------------------------------------------------- */

/* A dense f32 matrix of t's shape at *scratch, which it advances by a multiple of 64 bytes. */
static fsam_tensor wide(const fsam_tensor *t, float **scratch) {
  fsam_tensor f = *t;
  f.dtype = FSAM_F32;
  f.data = *scratch;
  f.row_stride = t->shape[1];
  *scratch += (fsam__elements(t) + 15) / 16 * 16;
  return f;
}

static int through_f32(matmul_library *library, matmul_product p, fsam_tensor *c,
                       const fsam_tensor *a, const fsam_tensor *b, const float *bias) {
  fsam_device *device = fsam__device_of(c);
  const bool rounded = c->dtype == FSAM_BF16;
  int64_t elements = fsam__elements(a) + fsam__elements(b) + fsam__elements(c) + 3 * 16;
  void *workspace;
  FSAM_TRY(fsam__workspace(&workspace, device, (size_t)elements * sizeof(float)));
  float *scratch = workspace;
  fsam_tensor wide_a = wide(a, &scratch), wide_b = wide(b, &scratch);
  fsam_tensor wide_c = rounded ? wide(c, &scratch) : *c;
  FSAM_TRY(device->kernels->cast(&wide_a, a));
  FSAM_TRY(device->kernels->cast(&wide_b, b));
  if (rounded && p.accumulate) FSAM_TRY(device->kernels->cast(&wide_c, c));
  p.type = p.c_type = FSAM_F32;
  p.a_stride = wide_a.row_stride;
  p.b_stride = wide_b.row_stride;
  p.c_stride = wide_c.row_stride;
  int done =
      fsam__matmul_library_multiply(library, &p, wide_c.data, wide_a.data, wide_b.data, bias);
  if (done == 0) return fsam__fail(FSAM_EINTERNAL, "linear: the matrix library has no f32 product");
  if (done < 0) return done;
  return rounded ? device->kernels->cast(c, &wide_c) : FSAM_OK;
}

/* -- the product ------------------------------------------------------------------------------- */

int fsam__matmul(fsam_tensor *c, const fsam_tensor *a, bool a_transposed, const fsam_tensor *b,
                 bool b_transposed, const fsam_tensor *bias, bool accumulate) {
  const matmul_product p = {.m = c->shape[0],
                            .n = c->shape[1],
                            .k = a->shape[a_transposed ? 0 : 1],
                            .a_stride = a->row_stride,
                            .b_stride = b->row_stride,
                            .c_stride = c->row_stride,
                            .a_transposed = a_transposed,
                            .b_transposed = b_transposed,
                            .type = (int8_t)a->dtype,
                            .c_type = (int8_t)c->dtype,
                            .biased = bias != NULL,
                            .accumulate = accumulate,
                            .threads = (int16_t)omp_get_max_threads()};
  const float *bias_data = bias ? bias->data : NULL;
  matmul_library *library;
  if (p.m == 0 || p.n == 0) return FSAM_OK;
  if (p.k == 0) return no_terms(c, bias, accumulate);
  FSAM_TRY(library_of(&library, fsam__device_of(c)));
  if (p.type == FSAM_BF16 && !*fsam_bf16_unit()) return through_f32(library, p, c, a, b, bias_data);
  int done = fsam__matmul_library_multiply(library, &p, c->data, a->data, b->data, bias_data);
  if (done < 0) return done;
  return done ? FSAM_OK : through_f32(library, p, c, a, b, bias_data);
}
