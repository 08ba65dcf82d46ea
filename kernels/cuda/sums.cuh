/* sums.cuh: sums and largest values over a warp or a block, in a fixed order, so that they have the
 * same bits every time. Included by common.cuh. */
#ifndef FSAM_SUMS_CUH
#define FSAM_SUMS_CUH

#include "kernels/cuda/common.cuh"

/* The sum over the warp, in every lane: a tree, i with i ^ 16, then ^ 8, 4, 2, 1. */
__device__ __forceinline__ float warp_sum(float x) {
  for (int mask = WARP / 2; mask; mask /= 2) x += shuffle_xor(x, mask);
  return x;
}

/* The largest over the warp, in every lane; a NaN is passed over. */
__device__ __forceinline__ float warp_max(float x) {
  for (int mask = WARP / 2; mask; mask /= 2) x = fmaxf(x, shuffle_xor(x, mask));
  return x;
}

/* v[k] = the sum of all threads' v[k], in every thread: warps as trees, then warp after warp. */
template <int N>
__device__ __forceinline__ void block_sums(float (&v)[N]) {
  FSAM_SHARED(float, parts, N *WARP);
  const int warps = (int)blockDim.x / WARP;
  for (int k = 0; k < N; k++) v[k] = warp_sum(v[k]);
  if (warps == 1) return;
  __syncthreads(); /* parts may still be read from the call before */
  for (int k = 0; k < N; k++)
    if (lane_id() == 0) parts[k * WARP + warp_id()] = v[k];
  __syncthreads();
  for (int k = 0; k < N; k++) {
    v[k] = 0;
    for (int w = 0; w < warps; w++) v[k] += parts[k * WARP + w];
  }
}

#endif
