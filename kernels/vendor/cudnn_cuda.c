/* cudnn_cuda.c: cuDNN, opened at the first use: nothing links it. Each thing that attention needs
 * of its graph API has one type and one function here (cudnn_cuda.h). */
#if __has_include(<cudnn_graph.h>) /* else cudnn_attention_cuda.c says so */
#define _GNU_SOURCE
#include "kernels/vendor/cudnn_cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before 9.18, backward over packed samples needs its workspace zeroed, and recorded in a CUDA
 * graph it may read memory that is not its own. */
enum { OLDEST = 91800, MAX_CANDIDATES = 16, MAX_NOTES = 16, ALIGNMENT = 16 };
#define INSTEAD "use the other kernels (FSAM_ATTENTION=own, --attention-dropout-rng own)"

/* -- the library ------------------------------------------------------------------------------- */

#define FUNCTIONS(X)                                                                       \
  X(GetVersion)                                                                            \
  X(GetErrorString)                                                                        \
  X(GetLastErrorString)                                                                    \
  X(Create) X(Destroy) X(SetStream) X(BackendCreateDescriptor) X(BackendDestroyDescriptor) \
      X(BackendFinalize) X(BackendSetAttribute) X(BackendGetAttribute) X(BackendExecute)

static struct cudnn {
  bool tried, usable;
  int version;
#define POINTER(name) __typeof__(cudnn##name) *name;
  FUNCTIONS(POINTER)
#undef POINTER
} cudnn;

static void *open_library(void) {
  static const char *const names[] = {"libcudnn.so.9", "libcudnn.so",
                                      "/usr/local/cuda/lib64/libcudnn.so.9"};
  void *library = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names && !library; i++)
    library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  return library;
}

int cudnn_open(void) {
  if (!cudnn.tried) {
    void *library = open_library();
    bool complete = library != NULL;
    cudnn.tried = true;
#define FIND(name)                                         \
  if (complete) {                                          \
    *(void **)&cudnn.name = dlsym(library, "cudnn" #name); \
    complete = cudnn.name != NULL;                         \
  }
    FUNCTIONS(FIND)
#undef FIND
    cudnn.version = complete ? (int)cudnn.GetVersion() : 0;
    cudnn.usable = cudnn.version >= OLDEST;
  }
  if (cudnn.usable) return FSAM_OK;
  if (cudnn.version)
    return fsam__fail(FSAM_ENODEV,
                      "attention: cuDNN 9.18 or newer is needed, here is %d.%d; update it, "
                      "or " INSTEAD,
                      cudnn.version / 10000, cudnn.version / 100 % 100);
  return fsam__fail(
      FSAM_ENODEV,
      "attention: cuDNN 9.18 or newer (libcudnn.so.9) was not found; install it, or name its "
      "folder in LD_LIBRARY_PATH, or " INSTEAD);
}

int cudnn_version(void) { return cudnn.usable ? cudnn.version : 0; }

/* `what` follows "cuDNN cannot" in the message. */
static int refused(const char *what, cudnnStatus_t status) {
  char more[256] = "";
  cudnn.GetLastErrorString(more, sizeof more);
  for (char *c = more; *c; c++)
    if (*c == '\n') *c = ' ';
  return fsam__fail(FSAM_EINTERNAL, "attention: cuDNN %d.%d cannot %s (%s%s%.200s); " INSTEAD,
                    cudnn.version / 10000, cudnn.version / 100 % 100, what,
                    cudnn.GetErrorString(status), *more ? ": " : "", more);
}

int cudnn_handle_new(cudnnHandle_t *out, cudaStream_t stream) {
  *out = NULL;
  cudnnStatus_t s = cudnn.Create(out);
  if (!s) s = cudnn.SetStream(*out, stream);
  if (!s) return FSAM_OK;
  cudnn_handle_free(*out);
  *out = NULL;
  return refused("start", s);
}

void cudnn_handle_free(cudnnHandle_t handle) {
  if (handle) cudnn.Destroy(handle);
}

/* -- descriptors ------------------------------------------------------------------------------- */

static void note(cudnn_graph *g, cudnnStatus_t status, const char *failed) {
  if (g->status || !status) return;
  g->status = status;
  g->failed = failed;
}

static cudnnBackendDescriptor_t make(cudnn_graph *g, cudnnBackendDescriptorType_t type) {
  if (g->count == CUDNN_MAX_DESCRIPTORS)
    note(g, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "hold so large a graph");
  if (g->status) return NULL;
  note(g, cudnn.BackendCreateDescriptor(type, &g->all[g->count]), "make a descriptor");
  return g->status ? NULL : g->all[g->count++];
}

static void set(cudnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t which,
                cudnnBackendAttributeType_t type, int64_t count, const void *values) {
  if (!g->status)
    note(g, cudnn.BackendSetAttribute(d, which, type, count, values), "describe this");
}

static void set_part(cudnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t which,
                     cudnnBackendDescriptor_t part) {
  if (part) set(g, d, which, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part);
}

static void set_type(cudnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t which,
                     cudnnDataType_t type) {
  set(g, d, which, CUDNN_TYPE_DATA_TYPE, 1, &type);
}

static void finish(cudnn_graph *g, cudnnBackendDescriptor_t d, const char *failed) {
  if (!g->status) note(g, cudnn.BackendFinalize(d), failed);
}

void cudnn_graph_free(cudnn_graph *g) {
  while (g->count > 0) cudnn.BackendDestroyDescriptor(g->all[--g->count]);
}

/* -- tensors ----------------------------------------------------------------------------------- */

static cudnn_tensor tensor(cudnn_graph *g, int64_t name, cudnnDataType_t type, cudnn_shape shape,
                           cudnn_tensor starts, bool inner, bool number) {
  cudnnBackendDescriptor_t t = make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  const int64_t alignment = ALIGNMENT;
  set_type(g, t, CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  set(g, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, shape.size);
  set(g, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, shape.stride);
  set(g, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &name);
  set(g, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  set(g, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &inner);
  set(g, t, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &number);
  set_part(g, t, CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, starts);
  finish(g, t, "take this tensor");
  return t;
}

cudnn_tensor cudnn_outer(cudnn_graph *g, int name, cudnnDataType_t type, cudnn_shape shape,
                         cudnn_tensor starts) {
  return tensor(g, name, type, shape, starts, false, false);
}

cudnn_tensor cudnn_number(cudnn_graph *g, int name) {
  return tensor(g, name, CUDNN_DATA_FLOAT, (cudnn_shape){{1, 1, 1, 1}, {1, 1, 1, 1}}, NULL, false,
                true);
}

/* Inner tensors need names, too: numbers above all others. */
cudnn_tensor cudnn_inner(cudnn_graph *g, cudnnDataType_t type, cudnn_shape shape,
                         cudnn_tensor starts) {
  return tensor(g, 1000 + g->count, type, shape, starts, true, false);
}

/* -- operations -------------------------------------------------------------------------------- */

static void add_operation(cudnn_graph *g, cudnnBackendDescriptor_t operation) {
  finish(g, operation, "take this operation");
  if (g->operation_count == CUDNN_MAX_OPERATIONS)
    note(g, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "hold so large a graph");
  if (!g->status) g->operations[g->operation_count++] = operation;
}

void cudnn_multiply(cudnn_graph *g, cudnn_tensor y, cudnn_tensor a, cudnn_tensor b, cudnn_tensor m,
                    cudnn_tensor n, cudnn_tensor k) {
  cudnnBackendDescriptor_t how = make(g, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  set_type(g, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT);
  finish(g, how, "multiply so");
  cudnnBackendDescriptor_t o = make(g, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  set_part(g, o, CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
  set_part(g, o, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
  set_part(g, o, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
  set_part(g, o, CUDNN_ATTR_OPERATION_MATMUL_CDESC, y);
  set_part(g, o, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, m);
  set_part(g, o, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, n);
  set_part(g, o, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, k);
  add_operation(g, o);
}

static cudnnDataType_t computed_in(cudnnPointwiseMode_t mode) {
  if (mode == CUDNN_POINTWISE_GEN_INDEX) return CUDNN_DATA_INT32;
  if (mode >= CUDNN_POINTWISE_CMP_EQ && mode <= CUDNN_POINTWISE_LOGICAL_NOT)
    return CUDNN_DATA_BOOLEAN;
  return CUDNN_DATA_FLOAT;
}

static void pointwise(cudnn_graph *g, cudnn_tensor y, cudnnPointwiseMode_t mode, int64_t axis,
                      cudnn_tensor x, cudnn_tensor b, cudnn_tensor t) {
  cudnnBackendDescriptor_t how = make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  set(g, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  set_type(g, how, CUDNN_ATTR_POINTWISE_MATH_PREC, computed_in(mode));
  if (axis >= 0) set(g, how, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &axis);
  finish(g, how, "compute so");
  cudnnBackendDescriptor_t o = make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  set_part(g, o, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
  set_part(g, o, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  set_part(g, o, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
  set_part(g, o, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t);
  set_part(g, o, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  add_operation(g, o);
}

void cudnn_pointwise(cudnn_graph *g, cudnn_tensor y, cudnnPointwiseMode_t mode, cudnn_tensor x,
                     cudnn_tensor b, cudnn_tensor t) {
  pointwise(g, y, mode, -1, x, b, t);
}

void cudnn_index(cudnn_graph *g, cudnn_tensor y, int axis, cudnn_tensor x) {
  pointwise(g, y, CUDNN_POINTWISE_GEN_INDEX, axis, x, NULL, NULL);
}

void cudnn_reduce(cudnn_graph *g, cudnn_tensor y, cudnnReduceTensorOp_t by, cudnn_tensor x) {
  cudnnBackendDescriptor_t how = make(g, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  set(g, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &by);
  set_type(g, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  finish(g, how, "reduce so");
  cudnnBackendDescriptor_t o = make(g, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  set_part(g, o, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
  set_part(g, o, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
  set_part(g, o, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
  add_operation(g, o);
}

void cudnn_draw(cudnn_graph *g, cudnn_tensor y, double kept, cudnn_tensor seed,
                cudnn_tensor offset) {
  const cudnnRngDistribution_t bernoulli = CUDNN_RNG_DISTRIBUTION_BERNOULLI;
  cudnnBackendDescriptor_t how = make(g, CUDNN_BACKEND_RNG_DESCRIPTOR);
  set(g, how, CUDNN_ATTR_RNG_DISTRIBUTION, CUDNN_TYPE_RNG_DISTRIBUTION, 1, &bernoulli);
  set(g, how, CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY, CUDNN_TYPE_DOUBLE, 1, &kept);
  finish(g, how, "draw so");
  cudnnBackendDescriptor_t o = make(g, CUDNN_BACKEND_OPERATION_RNG_DESCRIPTOR);
  set_part(g, o, CUDNN_ATTR_OPERATION_RNG_DESC, how);
  set_part(g, o, CUDNN_ATTR_OPERATION_RNG_YDESC, y);
  set_part(g, o, CUDNN_ATTR_OPERATION_RNG_SEED, seed);
  set_part(g, o, CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC, offset);
  add_operation(g, o);
}

void cudnn_reshape(cudnn_graph *g, cudnn_tensor y, cudnn_tensor x) {
  cudnnBackendDescriptor_t o = make(g, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  set_part(g, o, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
  set_part(g, o, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
  add_operation(g, o);
}

/* -- plans ------------------------------------------------------------------------------------- */

/* A descriptor of the GPU that the JSON describes; NULL where a handle names the GPU. */
static cudnnBackendDescriptor_t properties_of(cudnn_graph *g, const cudnn_target *target) {
  if (target->handle) return NULL;
  cudnnBackendDescriptor_t d = make(g, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  set(g, d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
      (int64_t)strlen(target->properties) + 1, target->properties);
  finish(g, d, "read the GPU's properties");
  return d;
}

static cudnnBackendDescriptor_t join(cudnn_graph *g, const cudnn_target *target) {
  cudnnBackendDescriptor_t d = make(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  if (target->handle)
    set(g, d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target->handle);
  set(g, d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->operation_count,
      g->operations);
  finish(g, d, "join these operations");
  return d;
}

/* The library's candidates, best first; returns how many. */
static int64_t candidates(cudnn_graph *g, cudnnBackendDescriptor_t *configurations,
                          cudnnBackendDescriptor_t joined, cudnnBackendDescriptor_t properties) {
  const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
  int64_t count = 0;
  cudnnBackendDescriptor_t d = make(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  set_part(g, d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, joined);
  set(g, d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  set_part(g, d, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, properties);
  finish(g, d, "find a way to do this");
  for (int i = 0; i < MAX_CANDIDATES; i++)
    configurations[i] = make(g, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  if (!g->status)
    note(g,
         cudnn.BackendGetAttribute(d, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                   MAX_CANDIDATES, &count, configurations),
         "find a way to do this");
  return g->status ? 0 : count;
}

/* Does an engine's kernel give the same bits every time? */
static bool is_repeatable(cudnn_graph *g, cudnnBackendDescriptor_t configuration) {
  cudnnBackendNumericalNote_t notes[MAX_NOTES];
  int64_t count = 0;
  cudnnBackendDescriptor_t engine = make(g, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  if (g->status ||
      cudnn.BackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
                                CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine) ||
      cudnn.BackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                MAX_NOTES, &count, notes))
    return false;
  for (int64_t i = 0; i < count; i++)
    if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) return false;
  return true;
}

/* Compiles a configuration for the handle's GPU; without a handle it only has to exist. */
static cudnnStatus_t compile(cudnn_graph *g, cudnnBackendDescriptor_t configuration,
                             const cudnn_target *target) {
  int64_t workspace = 0, count = 0;
  cudnnStatus_t s = cudnn.BackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE,
                                              CUDNN_TYPE_INT64, 1, &count, &workspace);
  if (!s && target->handle) {
    cudnnBackendDescriptor_t plan = make(g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set(g, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &target->handle);
    set_part(g, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
    s = g->status ? g->status : cudnn.BackendFinalize(plan);
    if (!s)
      s = cudnn.BackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                    CUDNN_TYPE_INT64, 1, &count, &workspace);
    g->plan = plan;
  }
  g->workspace = (size_t)workspace;
  return s;
}

int cudnn_plan_make(cudnn_graph *g, const cudnn_target *target, const char *what) {
  cudnnBackendDescriptor_t configurations[MAX_CANDIDATES];
  cudnnBackendDescriptor_t properties = properties_of(g, target);
  const int64_t count = candidates(g, configurations, join(g, target), properties);
  cudnnStatus_t s = g->status ? g->status : CUDNN_STATUS_NOT_SUPPORTED;
  for (int64_t i = 0; i < count; i++) {
    if (!is_repeatable(g, configurations[i])) continue;
    s = compile(g, configurations[i], target);
    if (!s) return FSAM_OK;
  }
  char text[256];
  snprintf(text, sizeof text, "%s for %s", g->failed ? g->failed : "make a plan", what);
  return refused(text, s);
}

/* -- running ----------------------------------------------------------------------------------- */

int cudnn_plan_run(const cudnn_graph *g, cudnnHandle_t handle, const int64_t *names,
                   void *const *addresses, int count, void *workspace, const char *what) {
  cudnn_graph pack = {.count = 0};
  cudnnBackendDescriptor_t d = make(&pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  set(&pack, d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, names);
  set(&pack, d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, addresses);
  set(&pack, d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  finish(&pack, d, "take these addresses");
  if (!pack.status) note(&pack, cudnn.BackendExecute(handle, g->plan, d), "run");
  cudnn_graph_free(&pack);
  if (!pack.status) return FSAM_OK;
  char text[256];
  snprintf(text, sizeof text, "%s for %s", pack.failed, what);
  return refused(text, pack.status);
}

#endif
