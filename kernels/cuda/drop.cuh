/* drop.cuh: the rule of dropout (simd/drop.h states it) for CUDA kernels: one Philox counter
 * decides over one octet. Kernels draw the bits where they need them, forward and backward. */
#ifndef FSAM_DROP_CUH
#define FSAM_DROP_CUH

#include "kernels/cuda/common.cuh"

#include "engine/philox.h"
#include "engine/drop_site.h"

/* Bit i is set where element i of the octet `block` stays. */
__device__ __forceinline__ uint32_t kept_octet(const drop_site &d, uint32_t ordinal, uint32_t row,
                                               uint32_t block) {
  uint32_t c[4] = {d.site, ordinal, row, block}, kept = 0;
  philox4x32(c, d.seed, d.step);
  for (int i = 0; i < OCTET; i++) {
    const uint32_t bits = i % 2 ? c[i / 2] >> 16 : c[i / 2] & 0xffffu;
    kept |= (uint32_t)(bits >= d.threshold) << i;
  }
  return kept;
}

/* v = dropout(v). */
__device__ __forceinline__ void drop_octet(float v[OCTET], const drop_site &d, uint32_t ordinal,
                                           uint32_t row, uint32_t block) {
  if (!d.threshold) return;
  const uint32_t kept = kept_octet(d, ordinal, row, block);
  for (int i = 0; i < OCTET; i++) v[i] = kept >> i & 1 ? v[i] * d.keep : 0;
}

/* Where a row of the batch stands: its sample (-1 in the tail), that one's ordinal, the row within
 * it. */
struct place {
  int sample;
  uint32_t ordinal, row;
};

__device__ __forceinline__ place place_of(const fsam_batch &batch, int64_t row) {
  const int sample = batch.sample[row];
  if (sample < 0) return {-1, 0, 0};
  const uint32_t ordinal = batch.ordinals ? (uint32_t)batch.ordinals[sample] : 0;
  return {sample, ordinal, (uint32_t)(row - batch.starts[sample])};
}

/* The same on a row of the batch; rows of the tail are not dropped. */
__device__ __forceinline__ void drop_octet(float v[OCTET], const drop_site &d, const place &at,
                                           uint32_t block) {
  if (at.sample >= 0) drop_octet(v, d, at.ordinal, at.row, block);
}

#endif
