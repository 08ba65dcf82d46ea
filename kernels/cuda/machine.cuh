/* machine.cuh: the part of the machine that hand-written kernels (common.cuh) and generated ones
 * (generated.cuh) share: shared memory, exchanges within a warp, 16-byte accesses, a float's
 * bits. The library carries this text and gives it to NVRTC, so that it includes no header of CUDA.
 * With FSAM_SIMT g++ compiles it, with spec/simt/simt.h for what only a GPU can do. */
#ifndef FSAM_MACHINE_CUH
#define FSAM_MACHINE_CUH

#include <stdint.h>

#ifdef FSAM_SIMT
#include "simt.h"
#else

/* Declares `type *name`: `count` elements that the block shares, not initialised. */
#define FSAM_SHARED(type, name, count) __shared__ type name[count]

/* The value of another lane of the warp. */
template <typename T>
__device__ __forceinline__ T shuffle(T value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
template <typename T>
__device__ __forceinline__ T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

/* 16 aligned bytes. */
__device__ __forceinline__ uint4 load16(const void *p) { return *(const uint4 *)p; }
__device__ __forceinline__ void store16(void *p, uint4 value) { *(uint4 *)p = value; }

#endif

enum { WARP = 32, QUAD = 4 /* floats of 16 bytes */ };

__device__ __forceinline__ int lane_id() { return (int)threadIdx.x % WARP; }
__device__ __forceinline__ int warp_id() { return (int)threadIdx.x / WARP; }

__device__ __forceinline__ float bits_to_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
__device__ __forceinline__ uint32_t float_to_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

__device__ __forceinline__ void load_quad(float v[QUAD], const float *p) {
  const uint4 x = load16(p);
  v[0] = bits_to_float(x.x);
  v[1] = bits_to_float(x.y);
  v[2] = bits_to_float(x.z);
  v[3] = bits_to_float(x.w);
}
__device__ __forceinline__ void store_quad(float *p, const float v[QUAD]) {
  store16(
      p, uint4{float_to_bits(v[0]), float_to_bits(v[1]), float_to_bits(v[2]), float_to_bits(v[3])});
}

#endif
