/* cublaslt_cuda.c: matrix products by cuBLASLt. At the first call of a product its algorithm is
 * chosen and kept, with the library's descriptors; a later call is a look-up and the launch. The
 * choice is the library's first candidate, which depends on the shape alone, or, after
 * fsam_tuning_begin, the fastest of its first few, timed once. Either way it takes only algorithms
 * whose bits do not change from call to call: where sums are split, their parts lie as f32 in the
 * workspace and are added in order. f32 is multiplied as f32; FSAM_TF32=1 in the environment allows
 * the matrix unit's 10 bits. */
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/vendor/cublaslt.cuh"
#include "kernels/vendor/tuning.h"

enum {
  SLOTS = 8192,
  MAX_ENTRIES = SLOTS / 2, /* with so many known products, all are dropped */
  CANDIDATES = 12,         /* algorithms that are timed … */
  REPEATS = 10             /* … so often */
};
static const float CLEARLY =
    0.98f; /* another algorithm must take less than this fraction of the first's time */

typedef struct entry {
  cublaslt_kind kind;
  cublasLtMatmulDesc_t how;
  cublasLtMatrixLayout_t a, b, d;
  cublasLtMatmulAlgo_t algorithm;
} entry;

typedef struct library {
  cublasLtHandle_t handle;
  int count;
  entry *slots[SLOTS]; /* open addressing, linear probing */
} library;

/* -- messages ---------------------------------------------------------------------------------- */

static const char *type_name(int type) { return type == FSAM_BF16 ? "bf16" : "f32"; }

/* The product by rows, as the caller of linear.cu knows it. */
static int refused(const cublaslt_kind *k, const char *what, int status) {
  return fsam__fail(
      FSAM_EINTERNAL,
      "linear: cuBLASLt cannot %s (%s): [%lld, %lld]%s times [%lld, %lld]%s, %s to %s", what,
      cublasLtGetStatusName((cublasStatus_t)status), (long long)(k->b_transposed ? k->k : k->n),
      (long long)(k->b_transposed ? k->n : k->k), k->b_transposed ? " transposed" : "",
      (long long)(k->a_transposed ? k->m : k->k), (long long)(k->a_transposed ? k->k : k->m),
      k->a_transposed ? " transposed" : "", type_name(k->type), type_name(k->d_type));
}

/* -- an entry ---------------------------------------------------------------------------------- */

static void entry_free(entry *e) {
  if (e->how) cublasLtMatmulDescDestroy(e->how);
  if (e->a) cublasLtMatrixLayoutDestroy(e->a);
  if (e->b) cublasLtMatrixLayoutDestroy(e->b);
  if (e->d) cublasLtMatrixLayoutDestroy(e->d);
  free(e);
}

static cudaDataType_t type_of(int type) { return type == FSAM_BF16 ? CUDA_R_16BF : CUDA_R_32F; }

static cublasComputeType_t compute_of(const cublaslt_kind *k) {
  const char *tf32 = getenv("FSAM_TF32");
  return k->type == FSAM_F32 && tf32 && !strcmp(tf32, "1") ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                           : CUBLAS_COMPUTE_32F;
}

static cublasStatus_t set(entry *e, cublasLtMatmulDescAttributes_t which, const void *value,
                          size_t bytes) {
  return cublasLtMatmulDescSetAttribute(e->how, which, value, bytes);
}

static cublasStatus_t describe_operation(entry *e, const void *bias) {
  const cublaslt_kind *k = &e->kind;
  const cublasOperation_t a = k->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t b = k->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasLtEpilogue_t biased = CUBLASLT_EPILOGUE_BIAS;
  cublasStatus_t s = cublasLtMatmulDescCreate(&e->how, compute_of(k), CUDA_R_32F);
  if (!s) s = set(e, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a);
  if (!s) s = set(e, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b);
  if (!s && bias) s = set(e, CUBLASLT_MATMUL_DESC_EPILOGUE, &biased, sizeof biased);
  if (!s && bias) s = set(e, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
  return s;
}

static cublasStatus_t describe_matrices(entry *e) {
  const cublaslt_kind *k = &e->kind;
  const uint64_t m = (uint64_t)k->m, n = (uint64_t)k->n, depth = (uint64_t)k->k;
  cublasStatus_t s = cublasLtMatrixLayoutCreate(
      &e->a, type_of(k->type), k->a_transposed ? depth : m, k->a_transposed ? m : depth, k->lda);
  if (!s)
    s = cublasLtMatrixLayoutCreate(&e->b, type_of(k->type), k->b_transposed ? n : depth,
                                   k->b_transposed ? depth : n, k->ldb);
  if (!s) s = cublasLtMatrixLayoutCreate(&e->d, type_of(k->d_type), m, n, k->ldd);
  return s;
}

/* What an algorithm may assume of the operands, and the memory that it may use. */
static cublasStatus_t make_preference(cublasLtMatmulPreference_t *out, const cublaslt_kind *k) {
  const uint64_t workspace = CUBLASLT_WORKSPACE;
  const uint32_t sums = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  const uint32_t align[] = {1u << k->align_a, 1u << k->align_b, 1u << k->align_d};
  const struct {
    cublasLtMatmulPreferenceAttributes_t which;
    const void *value;
    size_t bytes;
  } all[] = {
      {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
      {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &sums, sizeof sums},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &align[0], sizeof align[0]},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &align[1], sizeof align[1]},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &align[2], sizeof align[2]},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &align[2], sizeof align[2]},
  };
  cublasStatus_t s = cublasLtMatmulPreferenceCreate(out);
  for (size_t i = 0; !s && i < sizeof all / sizeof *all; i++)
    s = cublasLtMatmulPreferenceSetAttribute(*out, all[i].which, all[i].value, all[i].bytes);
  return s;
}

/* -- running ----------------------------------------------------------------------------------- */

static cublasStatus_t run(const library *l, const entry *e, const cublasLtMatmulAlgo_t *algorithm,
                          const cublaslt_product *p, void *d, void *workspace,
                          cudaStream_t stream) {
  const float one = 1, beta = p->add ? 1 : 0;
  return cublasLtMatmul(l->handle, e->how, &one, p->a, e->a, p->b, e->b, &beta, d, e->d, d, e->d,
                        algorithm, workspace, CUBLASLT_WORKSPACE, stream);
}

/* Milliseconds of an algorithm, without its first run; negative when it fails. */
static float time_of(const library *l, const entry *e, const cublasLtMatmulAlgo_t *algorithm,
                     const cublaslt_product *p, void *d, void *workspace, cudaStream_t stream,
                     const cudaEvent_t events[2]) {
  float milliseconds = -1;
  if (run(l, e, algorithm, p, d, workspace, stream)) return -1;
  cudaEventRecord(events[0], stream);
  for (int i = 0; i < REPEATS; i++)
    if (run(l, e, algorithm, p, d, workspace, stream)) return -1;
  cudaEventRecord(events[1], stream);
  if (cudaEventSynchronize(events[1]) != cudaSuccess) return -1;
  if (cudaEventElapsedTime(&milliseconds, events[0], events[1]) != cudaSuccess) return -1;
  return milliseconds;
}

/* The fastest of the candidates, timed on a copy of d; the first where there is no memory for it.
 */
static int fastest(const library *l, const entry *e, const cublasLtMatmulHeuristicResult_t *found,
                   int count, const cublaslt_product *p, void *workspace, cudaStream_t stream) {
  const size_t bytes = (size_t)(e->kind.ldd * e->kind.n * fsam__dtype_bytes(e->kind.d_type));
  cudaEvent_t events[2] = {NULL, NULL};
  void *d = NULL;
  int best = 0;
  float least = -1;
  if (cudaMalloc(&d, bytes) == cudaSuccess && cudaEventCreate(&events[0]) == cudaSuccess &&
      cudaEventCreate(&events[1]) == cudaSuccess) {
    cudaMemsetAsync(d, 0, bytes, stream);
    for (int i = 0; i < count; i++) {
      const float t =
          found[i].state ? -1 : time_of(l, e, &found[i].algo, p, d, workspace, stream, events);
      if (t < 0 || (least >= 0 && t >= CLEARLY * least)) continue;
      best = i;
      least = t;
    }
  }
  if (events[0]) cudaEventDestroy(events[0]);
  if (events[1]) cudaEventDestroy(events[1]);
  if (d) cudaFree(d);
  cudaGetLastError(); /* a failure of timing is no error of the product */
  return best;
}

/* -- algorithms as text ------------------------------------------------------------------------ */

/* Writes the key of a line, the kind: "m n k lda ldb ldd transposed types alignments". */
static void kind_text(char *out, size_t size, const cublaslt_kind *k) {
  snprintf(out, size, "%lld %lld %lld %lld %lld %lld %d %d %d %d %d %d %d %d", (long long)k->m,
           (long long)k->n, (long long)k->k, (long long)k->lda, (long long)k->ldb,
           (long long)k->ldd, k->a_transposed, k->b_transposed, k->type, k->d_type, k->align_a,
           k->align_b, k->align_d, k->align_bias);
}

/* The first line: algorithms are the library's and the GPU's. */
static void head_text(char *out, size_t size, const fsam_device *device) {
  snprintf(out, size, "cublaslt %zu, %s\n", cublasLtGetVersion(), device->text);
}

/* The algorithm that an earlier run chose, if the library still takes it. */
static int find_known(fsam_device *device, const library *l, entry *e) {
  char kind[TUNING_LINE];
  unsigned long long words[8];
  kind_text(kind, sizeof kind, &e->kind);
  const char *known = fsam__tuning_find(device, kind);
  if (!known || sscanf(known, "%llx %llx %llx %llx %llx %llx %llx %llx", &words[0], &words[1],
                       &words[2], &words[3], &words[4], &words[5], &words[6], &words[7]) != 8)
    return 0;
  for (int i = 0; i < 8; i++) e->algorithm.data[i] = words[i];
  cublasLtMatmulHeuristicResult_t result;
  return cublasLtMatmulAlgoCheck(l->handle, e->how, e->a, e->b, e->d, e->d, &e->algorithm,
                                 &result) == CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= CUBLASLT_WORKSPACE;
}

/* Keeps the entry's algorithm for the run's file. */
static int remember(fsam_device *device, const entry *e) {
  char kind[TUNING_LINE], words[8 * 17 + 1];
  kind_text(kind, sizeof kind, &e->kind);
  for (int w = 0, n = 0; w < 8; w++)
    n += snprintf(words + n, sizeof words - (size_t)n, "%s%llx", w ? " " : "",
                  (unsigned long long)e->algorithm.data[w]);
  return fsam__tuning_add(device, kind, words);
}

/* -- the cache --------------------------------------------------------------------------------- */

static void drop_all(library *l) {
  for (int i = 0; i < SLOTS; i++) {
    if (l->slots[i]) entry_free(l->slots[i]);
    l->slots[i] = NULL;
  }
  l->count = 0;
}

static void library_free(void *kept) {
  library *l = kept;
  drop_all(l);
  if (l->handle) cublasLtDestroy(l->handle);
  free(l);
}

/* The device's state, created at the first call. */
static int library_of(library **out, fsam_device *device) {
  void **slot;
  FSAM_TRY(fsam__device_slot(&slot, device, library_free));
  library *l = *slot;
  if (!l) {
    l = calloc(1, sizeof *l);
    if (!l) return fsam__fail(FSAM_ENOMEM, "linear: no memory for the products' cache");
    const cublasStatus_t s = cublasLtCreate(&l->handle);
    if (s) {
      free(l);
      return fsam__fail(FSAM_EINTERNAL, "linear: cuBLASLt cannot start (%s)",
                        cublasLtGetStatusName(s));
    }
    *slot = l;
  }
  *out = l;
  return FSAM_OK;
}

static unsigned slot_of(const cublaslt_kind *k) {
  const unsigned char *bytes = (const unsigned char *)k;
  uint64_t hash = 1469598103934665603u; /* FNV-1a */
  for (size_t i = 0; i < sizeof *k; i++) hash = (hash ^ bytes[i]) * 1099511628211u;
  return (unsigned)(hash >> 32) % SLOTS;
}

/* Chooses the entry's algorithm. Timing takes memory and waits, which a capture refuses: then the
 * product is timed when it comes again outside of one. */
static int choose(library *l, entry *e, const cublaslt_product *p, void *workspace,
                  fsam_device *device) {
  cublasLtMatmulHeuristicResult_t found[CANDIDATES];
  cublasLtMatmulPreference_t preference = NULL;
  const bool tuning = fsam__tuning_is_on(device);
  int count = 0;
  if (tuning && find_known(device, l, e)) return FSAM_OK;
  if (tuning) FSAM_TRY(fsam__not_recording(device, "time a product"));
  cublasStatus_t s = make_preference(&preference, &e->kind);
  if (!s)
    s = cublasLtMatmulAlgoGetHeuristic(l->handle, e->how, e->a, e->b, e->d, e->d, preference,
                                       tuning ? CANDIDATES : 1, found, &count);
  if (preference) cublasLtMatmulPreferenceDestroy(preference);
  if (!s && count == 0) s = CUBLAS_STATUS_NOT_SUPPORTED;
  if (s) return refused(&e->kind, "multiply this", s);
  const int best =
      tuning && count > 1 ? fastest(l, e, found, count, p, workspace, device->stream) : 0;
  if (found[best].state) return refused(&e->kind, "multiply this", found[best].state);
  e->algorithm = found[best].algo;
  return remember(device, e);
}

static int entry_new(entry **out, library *l, const cublaslt_product *p, void *workspace,
                     fsam_device *device) {
  entry *e = calloc(1, sizeof *e);
  if (!e) return fsam__fail(FSAM_ENOMEM, "linear: no memory for another product");
  e->kind = p->kind;
  cublasStatus_t s = describe_operation(e, p->bias);
  if (!s) s = describe_matrices(e);
  int rc = s ? refused(&p->kind, "describe this", s) : choose(l, e, p, workspace, device);
  if (rc < 0)
    entry_free(e);
  else
    *out = e;
  return rc;
}

int fsam__cublaslt_run(fsam_device *device, const cublaslt_product *p, void *workspace) {
  library *l = NULL;
  FSAM_TRY(library_of(&l, device));
  unsigned at = slot_of(&p->kind);
  while (l->slots[at] && memcmp(&l->slots[at]->kind, &p->kind, sizeof p->kind) != 0)
    at = (at + 1) % SLOTS;
  if (!l->slots[at]) {
    entry *made = NULL;
    FSAM_TRY(entry_new(&made, l, p, workspace, device));
    if (l->count >= MAX_ENTRIES) {
      drop_all(l);
      at = slot_of(&p->kind);
    }
    l->slots[at] = made;
    l->count++;
  }
  entry *e = l->slots[at];
  cublasStatus_t s = CUBLAS_STATUS_SUCCESS;
  if (p->bias) s = set(e, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias);
  if (!s) s = run(l, e, &e->algorithm, p, p->d, workspace, device->stream);
  fsam__queues_kernel(device, false);
  return s ? refused(&p->kind, "multiply", s) : FSAM_OK;
}

/* -- tuning ------------------------------------------------------------------------------------ */

int fsam__cublaslt_tuning_begin(fsam_device *device, const char *known) {
  library *l = NULL;
  char head[TUNING_LINE];
  FSAM_TRY(library_of(&l, device));
  head_text(head, sizeof head, device);
  drop_all(l);
  return fsam__tuning_begin(device, head, known);
}
