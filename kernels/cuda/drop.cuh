/* drop.cuh: the rule of dropout (simd/drop.h states it) for CUDA kernels: one Philox counter
 * decides over one octet. Kernels draw the bits where they need them, forward and backward. */
#ifndef FSAM_DROP_CUH
#define FSAM_DROP_CUH

#include "kernels/cuda/common.cuh"

#include "engine/philox.h"
#include "engine/drop_site.h"

/* Bit i is set where element i of the octet `block` is not dropped. */
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

/* A row of the batch: its sample (-1 in the tail), the sample's ordinal, the row within the sample.
 */
struct batch_row {
  int sample;
  uint32_t ordinal, row;
};

__device__ __forceinline__ batch_row batch_row_of(const fsam_batch &batch, int64_t row) {
  const int sample = batch.sample[row];
  if (sample < 0) return {-1, 0, 0};
  const uint32_t ordinal = batch.ordinals ? (uint32_t)batch.ordinals[sample] : 0;
  return {sample, ordinal, (uint32_t)(row - batch.starts[sample])};
}

/* v = dropout(v) for a row of the batch; rows of the tail are not dropped. */
__device__ __forceinline__ void drop_octet(float v[OCTET], const drop_site &d, const batch_row &at,
                                           uint32_t block) {
  if (at.sample >= 0) drop_octet(v, d, at.ordinal, at.row, block);
}

#endif
