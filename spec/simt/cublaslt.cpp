/* cublaslt.cpp: a stand-in for cuBLASLt (cublasLt.h), so that vendor/cublaslt_cuda.c runs
 * unchanged: in plain loops, on the streams of the fake runtime. It checks the demands of the
 * library on a product, and that an algorithm is used only where what it was chosen for holds: the
 * alignment of the addresses, the workspace. It offers three algorithms that differ in time alone,
 * of which the first is not the fastest, and one that it cannot run. */
#include "spec/simt/cublasLt.h"

#include <string.h>

#include "spec/simt/runtime.h"
#include "spec/simt/simt.h"

struct fake_cublas {};

struct fake_operation {
  cublasComputeType_t compute;
  cublasOperation_t a, b;
  cublasLtEpilogue_t epilogue;
  const void *bias;
};

struct fake_layout {
  cudaDataType_t type;
  int64_t rows, columns, ld;
};

struct fake_preference {
  uint64_t workspace;
  uint32_t sums, align[4]; /* of a, b, c, d, in bytes */
};

namespace {

/* An algorithm's words: its number from 1, the alignments of a, b and d, its workspace. */
enum { NUMBER, ALIGN_A, ALIGN_B, ALIGN_D, WORKSPACE };
enum { ALGORITHMS = 4, IMPOSSIBLE = 4 };
const double MILLISECONDS[ALGORITHMS] = {1, 0.5, 0.995, 0.1};

bool first_fails;

size_t size_of(cudaDataType_t type) { return type == CUDA_R_16BF ? 2 : 4; }

float element(cudaDataType_t type, const void *p, int64_t at) {
  return type == CUDA_R_16BF ? simt_from_bf16(((const uint16_t *)p)[at]) : ((const float *)p)[at];
}

/* Copies of what a call is given: its descriptors may be gone when the work is done. */
struct product {
  fake_operation how;
  fake_layout a, b, d;
  const void *from_a, *from_b;
  void *to;
  float alpha, beta;
  int64_t depth;
};

float sum_of(const product &p, int64_t i, int64_t j) {
  float sum = 0;
  for (int64_t l = 0; l < p.depth; l++)
    sum += element(p.a.type, p.from_a, p.how.a ? i * p.a.ld + l : l * p.a.ld + i) *
           element(p.b.type, p.from_b, p.how.b ? l * p.b.ld + j : j * p.b.ld + l);
  return sum;
}

void multiply(const product &p) {
  for (int64_t j = 0; j < p.d.columns; j++)
    for (int64_t i = 0; i < p.d.rows; i++) {
      const int64_t at = j * p.d.ld + i;
      float x = p.alpha * sum_of(p, i, j);
      if (p.how.epilogue == CUBLASLT_EPILOGUE_BIAS) x += element(p.d.type, p.how.bias, i);
      if (p.beta != 0) x += p.beta * element(p.d.type, p.to, at);
      if (p.d.type == CUDA_R_16BF)
        ((uint16_t *)p.to)[at] = (uint16_t)simt_bf16(x);
      else
        ((float *)p.to)[at] = x;
    }
}

bool is_aligned(const void *p, uint64_t bytes) { return bytes && (uintptr_t)p % bytes == 0; }

/* Do the matrices fit each other? f32 does not give bf16. */
bool fit(const fake_operation &how, const fake_layout &a, const fake_layout &b,
         const fake_layout &d) {
  const int64_t m = how.a ? a.columns : a.rows, k = how.a ? a.rows : a.columns;
  const int64_t n = how.b ? b.rows : b.columns, depth = how.b ? b.columns : b.rows;
  return m == d.rows && n == d.columns && k == depth && m > 0 && n > 0 && k > 0 &&
         a.type == b.type && (a.type == d.type || d.type == CUDA_R_32F) &&
         (how.compute == CUBLAS_COMPUTE_32F || a.type == CUDA_R_32F) && a.ld >= a.rows &&
         b.ld >= b.rows && d.ld >= d.rows;
}

template <typename T>
cublasStatus_t take(T *to, const void *value, size_t bytes) {
  if (bytes != sizeof *to) return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(to, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

const char *cublasLtGetStatusName(cublasStatus_t status) {
  static const char *const names[] = {"CUBLAS_STATUS_SUCCESS", "CUBLAS_STATUS_INVALID_VALUE",
                                      "CUBLAS_STATUS_NOT_SUPPORTED",
                                      "CUBLAS_STATUS_EXECUTION_FAILED"};
  return names[status];
}

size_t cublasLtGetVersion() { return 130000; }

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out) {
  *out = new fake_cublas();
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

/* -- descriptors ------------------------------------------------------------------------------- */

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  *out = new fake_operation{compute, CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, NULL};
  return scale == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  delete operation;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t bytes) {
  switch (which) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return take(&operation->a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return take(&operation->b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return take(&operation->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return take(&operation->bias, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType_t type,
                                          uint64_t rows, uint64_t columns, int64_t ld) {
  *out = new fake_layout{type, (int64_t)rows, (int64_t)columns, ld};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out) {
  *out = new fake_preference{0, ~0u, {256, 256, 256, 256}};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void *value, size_t bytes) {
  if (which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
    return take(&preference->workspace, value, bytes);
  if (which == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
    return take(&preference->sums, value, bytes);
  return take(&preference->align[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
}

/* -- algorithms -------------------------------------------------------------------------------- */

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results,
                                              int *count) {
  *count = 0;
  const uint32_t *align = preference->align;
  if (!fit(*operation, *a, *b, *d) || align[0] < size_of(a->type) || align[1] < size_of(b->type) ||
      align[3] < size_of(d->type))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (preference->sums != CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) /* bits would change */
    return CUBLAS_STATUS_NOT_SUPPORTED;
  for (int i = 0; i < wanted && i < ALGORITHMS; i++) {
    const bool fails = i + 1 == IMPOSSIBLE || (i == 0 && first_fails);
    results[i] = {{{(uint64_t)i + 1, align[0], align[1], align[3], preference->workspace}},
                  preference->workspace,
                  fails ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS};
    *count = i + 1;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algorithm,
                                       cublasLtMatmulHeuristicResult_t *result) {
  const uint64_t number = algorithm->data[NUMBER];
  if (number < 1 || number >= IMPOSSIBLE || !fit(*operation, *a, *b, *d))
    return CUBLAS_STATUS_INVALID_VALUE;
  *result = {*algorithm, algorithm->data[WORKSPACE], CUBLAS_STATUS_SUCCESS};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  const uint64_t *words = algorithm->data;
  const product p = {*operation,
                     *a_layout,
                     *b_layout,
                     *d_layout,
                     a,
                     b,
                     d,
                     *(const float *)alpha,
                     *(const float *)beta,
                     operation->a ? a_layout->rows : a_layout->columns};
  const bool biased = operation->epilogue == CUBLASLT_EPILOGUE_BIAS;
  if (words[NUMBER] < 1 || words[NUMBER] > ALGORITHMS || !fit(p.how, p.a, p.b, p.d) || c != d ||
      c_layout != d_layout || !is_aligned(a, words[ALIGN_A]) || !is_aligned(b, words[ALIGN_B]) ||
      !is_aligned(d, words[ALIGN_D]) || biased != (operation->bias != NULL) ||
      (biased && (p.beta != 0 || !is_aligned(operation->bias, size_of(p.d.type)))) ||
      workspace_bytes < words[WORKSPACE] || !is_aligned(workspace, 256))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (words[NUMBER] == IMPOSSIBLE) return CUBLAS_STATUS_NOT_SUPPORTED;
  const double milliseconds = MILLISECONDS[words[NUMBER] - 1];
  const cudaError_t error = simt_queue(stream, [=] {
    memset(workspace, 0xff, 4096); /* a library may write there */
    multiply(p);
    simt_spend(milliseconds);
    return FSAM_OK;
  });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

/* -- for specs --------------------------------------------------------------------------------- */

/* Is the first algorithm one that cannot be run, from now on? */
extern "C" __attribute__((visibility("default"))) void fsam_simt_first_algorithm(int works) {
  first_fails = !works;
}
