/* binary_cross_entropy.c: every label by itself true or false. With x the logit, t its target and w
 * its weight,
 *
 *   losses[b] = 1 / C sum_c w_c (max(x, 0) - x t + log(1 + exp(-|x|)))
 *   dlogits_c = scale / C w_c (sigmoid(x) - t)
 *
 * Stable for any finite logits. A NaN makes its own row NaN and no other. Empty samples give 0. */
#include "kernels/simd/simd_math.h"

#if FSAM_PUBLIC

int fsam_binary_cross_entropy(fsam_tensor *losses, fsam_tensor *dlogits,
                              const fsam_tensor *logits, const fsam_tensor *targets,
                              const fsam_tensor *weights, const fsam_batch *batch) {
  const char *op = "binary_cross_entropy";
  if (!batch) return fsam__fail(FSAM_EINVAL, "%s: batch is missing", op);
  const int64_t samples = batch->samples;
  FSAM_TRY(fsam__expect(op, "logits", logits, FSAM_F32, 2, samples, -1));
  FSAM_TRY(fsam__expect(op, "targets", targets, FSAM_F32, 2, samples, logits->shape[1]));
  FSAM_TRY(fsam__expect_optional(op, "weights", weights, FSAM_F32, 1, logits->shape[1], -1));
  FSAM_TRY(fsam__expect(op, "losses", losses, FSAM_F32, 1, samples, -1));
  FSAM_TRY(fsam__expect_optional(op, "dlogits", dlogits, FSAM_F32, 2, samples, logits->shape[1]));
  if (dlogits) FSAM_TRY(fsam__check_pass(op, batch));
  return fsam__device_of(logits)->kernels->binary_cross_entropy(losses, dlogits, logits, targets,
                                                                weights, batch);
}

#endif

/* log(1 + e) for 0 <= e <= 1: the division gives back what 1 + e rounded away. */
FSAM_INLINE vf log_of_one_plus(vf e) {
  vf u = 1.0f + e;
  return v_select(u == 1.0f, e, v_log(u) * e / (u - 1.0f));
}

/* The loss of a row; with dx its gradient too, added when `add`. */
static float row(float *dx, const float *x, const float *t, const float *weights, float scale,
                 bool add, int64_t n) {
  vf16 sum = {0};
  for (int64_t c = 0; c < n; c += WIDE)
    for (int p = 0; p < PARTS; p++) {
      int64_t at = c + p * LANES, left = n - at;
      if (left <= 0) break;
      vf logit = v_load_n(x + at, left), target = v_load_n(t + at, left);
      vf w = weights ? v_load_n(weights + at, left) : v_set(1.0f);
      vf e = v_exp(-v_abs(logit));
      vf loss = w * (v_max(v_set(0.0f), logit) - logit * target + log_of_one_plus(e));
      vi inside = v_iota() < (left < LANES ? (int32_t)left : LANES);
      sum.part[p] += v_select(inside, loss, v_set(0.0f));
      if (!dx) continue;
      vf probability = v_select(logit < 0.0f, e, v_set(1.0f)) / (1.0f + e);
      vf g = scale * (w * (probability - target));
      if (add) g += v_load_n(dx + at, left);
      v_store_n(dx + at, g, left);
    }
  return v_sum(sum);
}

int FSAM_CPU(binary_cross_entropy)(fsam_tensor *losses, fsam_tensor *dlogits,
                                   const fsam_tensor *logits, const fsam_tensor *targets,
                                   const fsam_tensor *weights, const fsam_batch *batch) {
  const int64_t n = logits->shape[1];
  const float share = 1 / (float)n, scale = dlogits ? batch->pass->scale * share : 0;
  for (int64_t b = 0; b < batch->samples; b++) {
    const float *x = (const float *)logits->data + b * logits->row_stride;
    const float *t = (const float *)targets->data + b * targets->row_stride;
    float *loss = (float *)losses->data + b;
    float *dx = dlogits ? (float *)dlogits->data + b * dlogits->row_stride : NULL;
    if (batch->starts[b] == batch->starts[b + 1]) {
      *loss = 0;
      if (dx && !dlogits->filled) memset(dx, 0, (size_t)n * sizeof *dx);
      continue;
    }
    const float *w = weights ? weights->data : NULL;
    *loss = share * row(dx, x, t, w, scale, dx && dlogits->filled, n);
  }
  return FSAM_OK;
}
