/* softmax_row.h: what every loss over classes begins with: labels that are classes, the largest
 * logit of a row, and the sum of exponentials below it. */
#ifndef FSAM_SOFTMAX_ROW_H
#define FSAM_SOFTMAX_ROW_H

#include "kernels/simd/simd_math.h"

/* Fails where a sample that has tokens has a label beside 0 … n - 1. */
static inline int check_labels(const char *op, const fsam_tensor *labels, const fsam_batch *batch,
                               int64_t n) {
  const int32_t *label = labels->data, *starts = batch->starts;
  for (int64_t b = 0; b < batch->samples; b++)
    if (starts[b] != starts[b + 1] && (label[b] < 0 || label[b] >= n))
      return fsam__fail(FSAM_EINVAL, "%s: labels (%s): row %lld is %d, expected 0 to %lld", op,
                        labels->name, (long long)b, label[b], (long long)n - 1);
  return FSAM_OK;
}

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
