/* common.cuh: the base of every CUDA kernel. Owns: launching, conversion between bf16 and f32, the
 * matrix unit. Leaves to others: what generated kernels need too (machine.cuh), sums over a warp or
 * a block (sums.cuh), dropout (drop.cuh), sums over rows (columns.cuh).
 *
 * Everything that only a GPU can do is in machine.cuh and in the first part here, "the machine".
 * With FSAM_SIMT g++ compiles the same kernels for the CPU, with spec/simt/simt.h in place of both.
 * Its demands are rules for all kernels:
 *  - blocks are whole warps, and every thread of a warp takes part in the warp's functions;
 *  - shared memory comes from FSAM_SHARED and FSAM_DYNAMIC_SHARED;
 *  - no atomics but those of integers: each result is the same, whatever runs when.
 *
 * Rows are read and written in octets: 8 columns, which are 16 bytes of bf16 or twice 16 of f32,
 * and share one counter of dropout. */
#ifndef FSAM_COMMON_CUH
#define FSAM_COMMON_CUH

#include "engine/engine.h"

/* Prototypes of all CUDA kernels: tanh_forward_cuda, … */
extern "C" {
#define FSAM_KERNEL(name, signature) int name##_cuda signature;
#include "kernels/kernels.def"
#undef FSAM_KERNEL
}

/* -- the machine ------------------------------------------------------------------------------- */

#ifndef FSAM_SIMT
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#endif

#include "kernels/cuda/machine.cuh"

#ifndef FSAM_SIMT

/* Before a kernel's argument that is read by subscripts: it stays where launches leave it. */
#define FSAM_GRID_CONSTANT __grid_constant__

/* `unsigned char *name` to the bytes that the launch asked for, 16-byte aligned. */
#define FSAM_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]

/* Bit i: lane i's condition. */
__device__ __forceinline__ uint32_t warp_ballot(bool condition) {
  return __ballot_sync(0xffffffffu, condition);
}

/* Of integers only, in shared or global memory: their sum and minimum depend on no order. */
__device__ __forceinline__ void atomic_add(uint32_t *p, uint32_t value) { atomicAdd(p, value); }
__device__ __forceinline__ void atomic_min(unsigned long long *p, unsigned long long value) {
  atomicMin(p, value);
}

/* Two floats as bf16, rounded to nearest even: a in the lower half. */
__device__ __forceinline__ uint32_t pack_bf16(float a, float b) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(a, b);
  return *(const uint32_t *)&pair;
}

/* Starts copying BYTES aligned bytes (4, 8 or 16) to shared memory, or zeros where `live` is false;
 * nothing waits for them, and they pass by the registers. What a thread has started so far becomes
 * a group with copies_commit; copies_wait returns when all but its last GROUPS groups are there,
 * for this thread: the others see them after a barrier. */
template <int BYTES>
__device__ __forceinline__ void start_copy(void *shared, const void *from, bool live) {
  static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "what the machine copies so");
  const uint32_t to = (uint32_t)__cvta_generic_to_shared(shared);
  const size_t at = __cvta_generic_to_global(from);
  const int bytes = live ? BYTES : 0;
  if (BYTES == 16) /* the only size that may pass by L1 as well */
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(at), "r"(bytes)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(to), "l"(at), "r"(bytes),
                 "n"(BYTES)
                 : "memory");
}
__device__ __forceinline__ void copies_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int GROUPS>
__device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
}

/* Four 8 × 8 matrices of 16-bit elements from shared memory. Lanes 8m … 8m + 7 name the 8 rows (16
 * aligned bytes each) of matrix m; lane i gets from it columns 2(i % 4) and the next of row i / 4,
 * of the matrix or of its transpose. */
__device__ __forceinline__ void load_matrices(uint32_t r[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"((uint32_t)__cvta_generic_to_shared(row))
               : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t r[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"((uint32_t)__cvta_generic_to_shared(row))
               : "memory");
}

/* 2^x within 2 units in the last place; results below the smallest normal number are 0. */
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/* c[16,8] += a[16,16] b[16,8] of bf16 with f32 sums; a warp's lane i holds
 *     c: rows i / 4 (c[0], c[1]) and i / 4 + 8 (c[2], c[3]), columns 2(i % 4) and the next
 *     a: pairs of columns 2(i % 4), rows i / 4 and i / 4 + 8; the same 8 columns further on
 *     b: pairs of rows 2(i % 4), column i / 4; the same 8 rows further on. */
__device__ __forceinline__ void multiply_add(float c[4], const uint32_t a[4], uint32_t b0,
                                             uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Returns when all that was queued ahead of this kernel is done and can be seen. In a kernel that
 * FSAM_LAUNCH_EARLY starts it is the first thing, ahead of every access. */
__device__ __forceinline__ void wait_for_earlier() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* Starts a kernel on the device's stream. */
template <typename... P, typename... A>
static int launch(const fsam_device *device, const char *name, bool early, void (*kernel)(P...),
                  dim3 grid, int threads, size_t shared, A... arguments) {
  cudaError_t error = cudaSuccess;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return FSAM_OK;
  FSAM_TRY(fsam__check_shared(device, name, shared));
  if (shared > 48 << 10) /* beyond this a kernel must say so */
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3((unsigned)threads);
  config.dynamicSmemBytes = shared;
  config.stream = (cudaStream_t)device->stream;
  cudaLaunchAttribute start = {};
  start.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  start.val.programmaticStreamSerializationAllowed = 1;
  if (fsam__queues_kernel(device, early)) {
    config.attrs = &start;
    config.numAttrs = 1;
  }
  if (error == cudaSuccess) error = cudaLaunchKernelEx(&config, kernel, P(arguments)...);
  if (error == cudaSuccess) return FSAM_OK;
  return fsam__fail(FSAM_EINTERNAL, "%s: CUDA could not start it: %s", name,
                    cudaGetErrorString(error));
}

#endif

/* FSAM_LAUNCH(device, kernel, grid, threads of a block, dynamic shared bytes, arguments…): 0 or a
 * negative code. A grid without blocks is no error. A kernel with commas goes in parentheses. */
#define FSAM_LAUNCH(device, kernel, grid, threads, shared, ...) \
  launch(device, #kernel, false, kernel, grid, threads, shared, __VA_ARGS__)

/* The same for a kernel that begins with wait_for_earlier(). Within a graph, behind another kernel,
 * its blocks come up while the last of that one's go, and wait: what a start takes is hidden. */
#define FSAM_LAUNCH_EARLY(device, kernel, grid, threads, shared, ...) \
  launch(device, #kernel, true, kernel, grid, threads, shared, __VA_ARGS__)

enum { OCTET = 8 };

__host__ __device__ static inline int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* -- elements: f32 and bf16 -------------------------------------------------------------------- */

struct bf16 {
  uint16_t bits;
};

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return bits_to_float((uint32_t)x.bits << 16); }

template <typename T>
__device__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float(float x) {
  return x;
}
template <>
__device__ __forceinline__ bf16 from_float(float x) {
  return bf16{(uint16_t)pack_bf16(x, 0)};
}

/* Octets of memory that is 16-byte aligned. */
__device__ __forceinline__ void load_octet(float v[OCTET], const float *p) {
  load_quad(v, p);
  load_quad(v + QUAD, p + QUAD);
}
__device__ __forceinline__ void load_octet(float v[OCTET], const bf16 *p) {
  const uint4 a = load16(p);
  const uint32_t words[4] = {a.x, a.y, a.z, a.w};
  for (int i = 0; i < OCTET; i++)
    v[i] = bits_to_float(i % 2 ? words[i / 2] & 0xffff0000u : words[i / 2] << 16);
}
__device__ __forceinline__ void store_octet(float *p, const float v[OCTET]) {
  store_quad(p, v);
  store_quad(p + QUAD, v + QUAD);
}
__device__ __forceinline__ void store_octet(bf16 *p, const float v[OCTET]) {
  store16(p, uint4{pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]),
                   pack_bf16(v[6], v[7])});
}

/* The `left` elements from p on, at most 8, zeros after them (left <= 0: zeros); nothing beyond is
 * touched. wide: p is 16-byte aligned. */
template <typename T>
__device__ __forceinline__ void load8(float v[OCTET], const T *p, int64_t left, bool wide) {
  if (wide && left >= OCTET) {
    load_octet(v, p);
  } else {
    for (int i = 0; i < OCTET; i++) v[i] = i < left ? to_float(p[i]) : 0;
  }
}

template <typename T>
__device__ __forceinline__ void store8(T *p, const float v[OCTET], int64_t left, bool wide) {
  if (wide && left >= OCTET) {
    store_octet(p, v);
  } else {
    for (int i = 0; i < OCTET; i++)
      if (i < left) p[i] = from_float<T>(v[i]);
  }
}

/* Stores v as store8 does, or adds it to the values there. */
template <typename T>
__device__ __forceinline__ void store_or_add8(T *p, float v[OCTET], int64_t left, bool wide,
                                              bool add) {
  if (add) {
    float old[OCTET];
    load8(old, p, left, wide);
    for (int i = 0; i < OCTET; i++) v[i] += old[i];
  }
  store8(p, v, left, wide);
}

/* A tensor's rows as a kernel takes them; data is NULL where there is no tensor. */
template <typename T>
struct matrix {
  T *data;
  int64_t stride; /* elements from one row to the next */
  bool add;       /* a gradient to add to, not to overwrite */
  __device__ __forceinline__ T *at(int64_t row, int64_t column) const {
    return data + row * stride + column;
  }
};

template <typename T>
static matrix<T> matrix_of(const fsam_tensor *t) {
  if (!t) return {NULL, 0, false};
  return {(T *)t->data, t->row_stride, t->filled != 0};
}

/* Do all rows of these tensors (NULL: none) start at multiples of 16 bytes, so that octets may be
 * read and written whole? */
static inline bool is_wide(const fsam_tensor *t) {
  if (!t) return true;
  const int64_t row = t->rank > 1 ? t->row_stride * fsam__dtype_bytes(t->dtype) : 0;
  return (uintptr_t)t->data % 16 == 0 && row % 16 == 0;
}
template <typename... A>
static bool is_wide(const fsam_tensor *t, A... rest) {
  return is_wide(t) && is_wide(rest...);
}

/* The same for a dense tensor taken as one row. */
static inline bool starts_wide(const fsam_tensor *t) { return (uintptr_t)t->data % 16 == 0; }

/* Blocks for a dense tensor, an octet to a thread. */
static inline dim3 octet_grid(int64_t count, int threads) {
  return dim3((unsigned)divide_up(divide_up(count, OCTET), threads));
}

#include "kernels/cuda/sums.cuh"

#endif
