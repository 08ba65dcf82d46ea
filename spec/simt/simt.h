/* simt.h: CUDA kernels on the CPU, strictly. It replaces the machine part of
 * kernels/cuda/machine.cuh and common.cuh, so that g++ compiles every .cu too. Blocks run one after
 * the other. Threads are fibers that run one at a time until they wait for others: at a barrier, or
 * at a function of their warp. So a kernel that lacks a barrier reads memory before it is written,
 * and reads something else when the threads run in descending order. The shim also finds: shared
 * memory read before it was written (poison, NaN in every type), written out of bounds (guards) or
 * larger than the GPU has; threads that wait for others that never come; misaligned accesses of any
 * size; addresses outside any memory. Each makes the launch fail in one line. The shim does not
 * imitate warps in lockstep, caches or time. */
#ifndef FSAM_SIMT_H
#define FSAM_SIMT_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>

#include "engine/engine.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define FSAM_GRID_CONSTANT

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};

/* Generated kernels are libraries of their own: what they call here is visible. */
#pragma GCC visibility push(default)

/* The running thread's. */
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

/* -- what kernels ask of the machine ----------------------------------------------------------- */

void __syncthreads();
void wait_for_earlier();

/* A place in the source that declares shared memory, and where it lies in the present block. */
struct simt_site {
  uint64_t block;
  void *memory;
};
void *simt_shared(simt_site *site, size_t bytes);
unsigned char *simt_dynamic_shared();

#define FSAM_SHARED(type, name, count) \
  static simt_site name##_site;        \
  type *const name = (type *)simt_shared(&name##_site, (count) * sizeof(type))
#define FSAM_DYNAMIC_SHARED(name) unsigned char *const name = simt_dynamic_shared()

/* Gives `bytes` bytes (at most 32) to the warp; returns those of all 32 lanes, 32 bytes apart. All
 * lanes must meet at the same `what`. */
const unsigned char *simt_exchange(const char *what, const void *mine, size_t bytes);

/* Fails the launch, naming the thread, unless p is 16-byte aligned. */
void simt_check_aligned(const void *p);

/* A copy of 4, 8 or 16 bytes (from NULL: zeros) that is put off until its thread waits for its
 * group, so that what is read without waiting is what lay there. Fails the launch where it is not
 * aligned. */
void simt_start_copy(void *to, const void *from, int bytes);
void simt_copies_commit();
void simt_copies_wait(int groups);

#pragma GCC visibility pop

template <typename T>
static T simt_lane(const unsigned char *all, int lane) {
  T value;
  memcpy(&value, all + 32 * lane, sizeof value);
  return value;
}

template <typename T>
static inline T shuffle(T value, int lane) {
  return simt_lane<T>(simt_exchange("shuffle", &value, sizeof value), lane & 31);
}

template <typename T>
static inline T shuffle_xor(T value, int mask) {
  return simt_lane<T>(simt_exchange("shuffle_xor", &value, sizeof value),
                      ((int)threadIdx.x ^ mask) & 31);
}

static inline uint32_t warp_ballot(bool condition) {
  const unsigned char *all = simt_exchange("ballot", &condition, sizeof condition);
  uint32_t bits = 0;
  for (int i = 0; i < 32; i++) bits |= (uint32_t)simt_lane<bool>(all, i) << i;
  return bits;
}

static inline void atomic_add(uint32_t *p, uint32_t value) { *p += value; }
static inline void atomic_min(unsigned long long *p, unsigned long long value) {
  if (value < *p) *p = value;
}

static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline float __fdividef(float a, float b) { return a / b; }

static inline int __popc(uint32_t bits) { return __builtin_popcount(bits); }

static inline uint4 load16(const void *p) {
  simt_check_aligned(p);
  return *(const uint4 *)p;
}

static inline void store16(void *p, uint4 value) {
  simt_check_aligned(p);
  *(uint4 *)p = value;
}

template <int BYTES>
static inline void start_copy(void *shared, const void *from, bool live) {
  simt_start_copy(shared, live ? from : NULL, BYTES);
}
static inline void copies_commit() { simt_copies_commit(); }
template <int GROUPS>
static inline void copies_wait() {
  simt_copies_wait(GROUPS);
}

static inline float exp2_fast(float x) {
  const float y = exp2f(x);
  return y < 1.17549435e-38f ? 0 : y;
}

static inline uint32_t simt_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff; /* what a GPU makes of any NaN */
  return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

static inline float simt_from_bf16(uint32_t half) {
  const uint32_t bits = half << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline uint32_t pack_bf16(float a, float b) { return simt_bf16(a) | simt_bf16(b) << 16; }

/* Lane i gives row i of the four matrices. */
static inline uint32_t simt_element(const unsigned char *rows, int row, int column) {
  uint16_t element;
  memcpy(&element, rows + 32 * row + 2 * column, sizeof element);
  return element;
}

static inline void simt_load_matrices(uint32_t r[4], const void *row, bool transposed) {
  simt_check_aligned(row);
  const unsigned char *rows = simt_exchange("load_matrices", row, 16);
  const int i = (int)threadIdx.x % 32 / 4, j = (int)threadIdx.x % 4 * 2;
  for (int m = 0; m < 4; m++)
    r[m] = transposed
               ? simt_element(rows, 8 * m + j, i) | simt_element(rows, 8 * m + j + 1, i) << 16
               : simt_element(rows, 8 * m + i, j) | simt_element(rows, 8 * m + i, j + 1) << 16;
}
static inline void load_matrices(uint32_t r[4], const void *row) {
  simt_load_matrices(r, row, false);
}
static inline void load_matrices_transposed(uint32_t r[4], const void *row) {
  simt_load_matrices(r, row, true);
}

/* Half `odd` of word `word` of a lane's fragment, as a float. */
static inline float simt_fragment(const unsigned char *all, int lane, int word, int odd) {
  return simt_from_bf16(simt_element(all, lane, 2 * word + odd));
}

static inline void multiply_add(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
  const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  const unsigned char *all = simt_exchange("multiply_add", mine, sizeof mine);
  const int lane = (int)threadIdx.x % 32;
  for (int i = 0; i < 4; i++) {
    const int row = lane / 4, column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 16; k++) {
      const int pair = k % 8 / 2, far = k / 8;
      c[i] += simt_fragment(all, row * 4 + pair, i / 2 + 2 * far, k % 2) *
              simt_fragment(all, column * 4 + pair, 4 + far, k % 2);
    }
  }
}

/* -- launching --------------------------------------------------------------------------------- */

/* Runs body(context) once for each thread; FSAM_EINTERNAL says what went wrong and where. */
int simt_launch(const char *name, dim3 grid, int threads, size_t shared, void (*body)(void *),
                void *context);

/* Queues work on the device's stream, which does it when the host waits, or records it
 * (runtime.cpp). Then simt_wait: does all of it, and says what went wrong. */
int simt_do(const fsam_device *device, const std::function<int()> &work, bool early = false);
int simt_wait(const fsam_device *device);

/* Bytes of shared memory that a block may have on the GPU that the shim is. */
size_t simt_shared_limit();

template <typename... P, typename... A>
static int launch(const fsam_device *device, const char *name, bool early, void (*kernel)(P...),
                  dim3 grid, int threads, size_t shared, A... arguments) {
  FSAM_TRY(fsam__check_shared(device, name, shared));
  auto call = [=] { kernel(P(arguments)...); };
  const auto work = [=]() mutable {
    return simt_launch(
        name, grid, threads, shared, [](void *context) { (*(decltype(call) *)context)(); }, &call);
  };
  return simt_do(device, work, fsam__queues_kernel(device, early));
}

#endif
