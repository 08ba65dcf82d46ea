/* matmul_blas.c: matrix products by OpenBLAS, where oneDNN is absent. f32 only: matmul.c converts
 * bf16. Debian's libopenblas0-pthread has a thread pool of its own beside OpenMP's, which costs
 * some speed; libopenblas0-openmp shares ours. */
#include "kernels/vendor/matmul.h"

#include <cblas.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct matmul_library {
  int threads; /* OpenBLAS's present number */
};

int fsam__matmul_library_new(matmul_library **out) {
  *out = calloc(1, sizeof **out);
  return *out ? FSAM_OK : fsam__fail(FSAM_ENOMEM, "linear: no memory for OpenBLAS");
}

void fsam__matmul_library_free(matmul_library *library) { free(library); }

/* The rows of c become the bias, so that the product is added to it. */
static void put_bias(const matmul_product *p, float *c, const float *bias) {
  for (int64_t i = 0; i < p->m; i++) memcpy(c + i * p->c_stride, bias, (size_t)p->n * sizeof *c);
}

int fsam__matmul_library_multiply(matmul_library *library, const matmul_product *p, void *c,
                                  const void *a, const void *b, const float *bias) {
  if (p->type != FSAM_F32 || p->c_type != FSAM_F32) return 0;
  const int64_t sizes[] = {p->m, p->n, p->k, p->a_stride, p->b_stride, p->c_stride};
  for (int i = 0; i < 6; i++)
    if (sizes[i] > INT_MAX)
      return fsam__fail(FSAM_EINVAL, "linear: a size of %lld, more than OpenBLAS takes",
                        (long long)sizes[i]);
  if (library->threads != p->threads) {
    openblas_set_num_threads(p->threads);
    library->threads = p->threads;
  }
  if (bias) put_bias(p, c, bias);
  cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans,
              p->b_transposed ? CblasTrans : CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1, a,
              (int)p->a_stride, b, (int)p->b_stride, bias || p->accumulate ? 1 : 0, c,
              (int)p->c_stride);
  return 1;
}

/* OPENBLAS_CORETYPE in the environment chooses the core (SkylakeX for AVX-512). A library that is
 * older than the processor may take it for its oldest core, a quarter as fast: Debian 12's 0.3.21
 * takes Intel's Emerald Rapids for Prescott. */
void fsam_matrix_library(char *out, int64_t bytes) {
  snprintf(out, (size_t)bytes, "%s %s", openblas_get_config(), openblas_get_corename());
}
