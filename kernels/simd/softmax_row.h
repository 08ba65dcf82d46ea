/* softmax_row.h: the largest logit of a row and the sum of exponentials below it, which every loss
 * over classes begins with. */
#ifndef FSAM_SOFTMAX_ROW_H
#define FSAM_SOFTMAX_ROW_H

#include "kernels/simd/simd_math.h"

/* LANES logits from p on; `fill` in the lanes from n on. */
FSAM_INLINE vf load_filled(const float *p, int64_t n, float fill) {
  int32_t left = n < 0 ? 0 : n < LANES ? (int32_t)n : LANES;
  return v_select(v_iota() < left, v_load_n(p, n), v_set(fill));
}

FSAM_INLINE float max_of(const float *x, int64_t n) {
  vf16 largest;
  for (int p = 0; p < PARTS; p++) largest.part[p] = v_set(-__builtin_inff());
  for (int64_t c = 0; c < n; c += WIDE)
    for (int p = 0; p < PARTS; p++) {
      int64_t at = c + p * LANES;
      largest.part[p] = v_max(largest.part[p], load_filled(x + at, n - at, -__builtin_inff()));
    }
  return v_max_all(largest);
}

FSAM_INLINE float sum_of_exp(const float *x, float max, int64_t n) {
  vf16 sum = {0};
  for (int64_t c = 0; c < n; c += WIDE)
    for (int p = 0; p < PARTS; p++) {
      int64_t at = c + p * LANES;
      sum.part[p] += v_exp(load_filled(x + at, n - at, -__builtin_inff()) - max);
    }
  return v_sum(sum);
}

#endif
