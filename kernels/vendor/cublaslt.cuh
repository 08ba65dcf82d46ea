/* cublaslt.cuh: products of layers' matrices on a GPU, as cuBLASLt sees them: its matrices lie
 * column after column. linear.cu describes the product (ours lie row after row) and
 * cublaslt_cuda.c runs it. spec/simt/cublaslt.cpp stands in for the library, so that both run
 * without a GPU. */
#ifndef FSAM_CUBLASLT_CUH
#define FSAM_CUBLASLT_CUH

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The key by which an algorithm is chosen. A cache compares its bytes: no padding. */
typedef struct cublaslt_kind {
  int64_t m, n, k;       /* all > 0 */
  int64_t lda, ldb, ldd; /* elements from one column to the next */
  int8_t a_transposed, b_transposed;
  int8_t type, d_type; /* FSAM_F32 or FSAM_BF16: of a and b; of d and bias */
  /* log2 of the addresses' alignment in bytes, at most 8; bias: -1 without one */
  int8_t align_a, align_b, align_d, align_bias;
} cublaslt_kind;

/* d[m,n] = op(a)[m,k] op(b)[k,n] + bias[m]: element (i, j) of a stored matrix is at j ld + i; a is
 * stored as [m,k], or as [k,m] where it is transposed, b as [k,n] or [n,k]. Sums are f32. */
typedef struct cublaslt_product {
  cublaslt_kind kind;
  const void *a, *b, *bias; /* bias NULL without one */
  void *d;
  int add; /* 1: d += …, then without a bias */
} cublaslt_product;

enum { CUBLASLT_WORKSPACE = 32 << 20 }; /* bytes, for the parts of split sums */

/* Queues the product; `workspace` is device memory of that size. FSAM_EINTERNAL names the product
 * when the library refuses it. */
int fsam__cublaslt_run(fsam_device *device, const cublaslt_product *p, void *workspace);

/* fsam_tuning_begin of fsam.h: from now on new products are timed (tuning.h keeps the choices). */
int fsam__cublaslt_tuning_begin(fsam_device *device, const char *known);

#ifdef __cplusplus
}
#endif
#endif
