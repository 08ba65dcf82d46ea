/* matmul.h: the one door to the matrix library, for linear.c. matmul.c owns the library's state of
 * a device and what the libraries lack; matmul_dnnl.c (oneDNN) or else matmul_blas.c (OpenBLAS)
 * multiplies. */
#ifndef FSAM_MATMUL_H
#define FSAM_MATMUL_H

#include "engine/engine.h"

/* c[m,n] = op(a)[m,k] op(b)[k,n] + bias[n]; with `accumulate` c += the product, without a bias.
 * Matrices of rank 2, f32 or bf16, any row stride; a and b of one type; bias
 * f32 or NULL. Sums are f32, rounded once into c. Sizes of 0 are fine. The caller checks shapes. */
int fsam__matmul(fsam_tensor *c, const fsam_tensor *a, bool a_transposed, const fsam_tensor *b,
                 bool b_transposed, const fsam_tensor *bias, bool accumulate);

/* -- what a library provides, for matmul.c ----------------------------------------------------- */

/* The product as a library sees it, all sizes > 0. A cache compares its bytes: no padding. */
typedef struct matmul_product {
  int64_t m, n, k;
  int64_t a_stride, b_stride, c_stride; /* elements from one stored row to the next */
  int8_t a_transposed, b_transposed;    /* 1: stored as [k,m], [n,k] */
  int8_t type, c_type;                  /* of a and b; of c */
  int8_t biased, accumulate;            /* 0 or 1 */
  int16_t threads;                      /* how many to use */
} matmul_product;

typedef struct matmul_library matmul_library;

int fsam__matmul_library_new(matmul_library **out);
void fsam__matmul_library_free(matmul_library *library);
/* 1 when done, 0 when the library cannot do these types on this processor, or an error. */
int fsam__matmul_library_multiply(matmul_library *library, const matmul_product *p, void *c,
                                  const void *a, const void *b, const float *bias);

#endif
