/* cublaslt.cpp: cublaslt.cuh on the shim, for linear.cu, in plain loops. It checks the demands of
 * cublasLtMatmul on the product, and multiplies matrices that lie by columns. */
#include "kernels/vendor/cublaslt.cuh"
#include "spec/simt/simt.h"

namespace {

/* Element (i, j) of a stored matrix. */
float element(int type, const void *p, int64_t ld, int64_t i, int64_t j) {
  if (type == FSAM_BF16) return simt_from_bf16(((const uint16_t *)p)[j * ld + i]);
  return ((const float *)p)[j * ld + i];
}

void put(const cublaslt_product &p, int64_t i, int64_t j, float value) {
  if (p.kind.d_type == FSAM_BF16)
    ((uint16_t *)p.d)[j * p.kind.ldd + i] = (uint16_t)simt_bf16(value);
  else
    ((float *)p.d)[j * p.kind.ldd + i] = value;
}

bool is_aligned(const void *p, int bits) { return (uintptr_t)p % ((uintptr_t)1 << bits) == 0; }

/* The first demand of cublasLtMatmul that the product does not meet, or NULL. */
const char *refusal(const cublaslt_product &p) {
  const cublaslt_kind &k = p.kind;
  const int size = (int)fsam__dtype_bytes(k.type);
  if (k.m < 1 || k.n < 1 || k.k < 1) return "a size is not positive";
  if (k.lda < (k.a_transposed ? k.k : k.m)) return "lda is less than a's rows";
  if (k.ldb < (k.b_transposed ? k.n : k.k)) return "ldb is less than b's rows";
  if (k.ldd < k.m) return "ldd is less than d's rows";
  if (k.type == FSAM_F32 && k.d_type != FSAM_F32) return "f32 does not give bf16";
  if ((1 << k.align_a) < size || (1 << k.align_b) < size) return "elements are misaligned";
  if (!is_aligned(p.a, k.align_a) || !is_aligned(p.b, k.align_b) || !is_aligned(p.d, k.align_d))
    return "an address is less aligned than promised";
  if ((p.bias != NULL) != (k.align_bias >= 0)) return "the bias contradicts its alignment";
  if (p.bias && (p.add || !is_aligned(p.bias, k.align_bias))) return "the bias is not allowed";
  return NULL;
}

}  // namespace

namespace {

void multiply(const cublaslt_product &p, void *workspace) {
  const cublaslt_kind &k = p.kind;
  memset(workspace, 0xff, 4096); /* a library may write there */
  for (int64_t j = 0; j < k.n; j++)
    for (int64_t i = 0; i < k.m; i++) {
      float sum = 0;
      for (int64_t l = 0; l < k.k; l++)
        sum += element(k.type, p.a, k.lda, k.a_transposed ? l : i, k.a_transposed ? i : l) *
               element(k.type, p.b, k.ldb, k.b_transposed ? j : l, k.b_transposed ? l : j);
      if (p.bias) sum += element(k.d_type, p.bias, 0, i, 0);
      if (p.add) sum += element(k.d_type, p.d, k.ldd, i, j);
      put(p, i, j, sum);
    }
}

}  // namespace

int fsam__cublaslt_run(fsam_device *device, const cublaslt_product *given, void *workspace) {
  const cublaslt_product p = *given;
  const char *why = refusal(p);
  if (why) return fsam__fail(FSAM_EINTERNAL, "product: %s", why);
  return simt_do(device, [=] {
    multiply(p, workspace);
    return FSAM_OK;
  });
}

/* There is only one algorithm here: nothing to tune. */
int fsam__cublaslt_tuning_begin(fsam_device *, const char *) { return FSAM_OK; }

int fsam__cublaslt_tuning_text(fsam_device *, const char **text) {
  *text = "";
  return FSAM_OK;
}
