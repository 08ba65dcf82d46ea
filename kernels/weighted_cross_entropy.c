/* weighted_cross_entropy.c: cross entropy with weights of the classes and smoothed targets. With
 * n_j = log(sum_i exp(x_i - max)) - (x_j - max) for the row x of a sample and W = sum_j w_j,
 *
 *   losses[b] = (1 - s) w_label n_label + s / C sum_j w_j n_j
 *   dlogits_k = scale ((1 - s) w_label (p_k - [k = label]) + s / C (W p_k - w_k)),  p = softmax(x)
 *
 * The loss is each sample's own: nothing divides by the weights of the samples beside it, so a mean
 * over samples is the same in any micro-batches. Without smoothing a logit of -inf costs nothing,
 * and a NaN makes its own row NaN and no other. Empty samples give 0, whatever their label. */
#include "kernels/simd/softmax_row.h"

#if FSAM_PUBLIC

int fsam_weighted_cross_entropy(fsam_tensor *losses, fsam_tensor *dlogits,
                                const fsam_tensor *logits, const fsam_tensor *labels,
                                const fsam_tensor *weights, float smoothing,
                                const fsam_batch *batch) {
  const char *op = "weighted_cross_entropy";
  if (!batch) return fsam__fail(FSAM_EINVAL, "%s: batch is missing", op);
  const int64_t samples = batch->samples;
  FSAM_TRY(fsam__expect(op, "logits", logits, FSAM_F32, 2, samples, -1));
  FSAM_TRY(fsam__expect(op, "labels", labels, FSAM_I32, 1, samples, -1));
  FSAM_TRY(fsam__expect_optional(op, "weights", weights, FSAM_F32, 1, logits->shape[1], -1));
  FSAM_TRY(fsam__expect(op, "losses", losses, FSAM_F32, 1, samples, -1));
  FSAM_TRY(fsam__expect_optional(op, "dlogits", dlogits, FSAM_F32, 2, samples, logits->shape[1]));
  if (!(smoothing >= 0 && smoothing < 1))
    return fsam__fail(FSAM_EINVAL, "%s: smoothing is %g, expected 0 to less than 1", op,
                      (double)smoothing);
  if (dlogits) FSAM_TRY(fsam__check_pass(op, batch));
  return fsam__device_of(logits)->kernels->weighted_cross_entropy(losses, dlogits, logits, labels,
                                                                  weights, smoothing, batch);
}

#endif

FSAM_INLINE vf weight_at(const float *weights, int64_t c, int64_t n) {
  return weights ? v_load_n(weights + c, n - c) : v_set(1.0f);
}

/* sum_j w_j, and sum_j w_j (x_j - max). */
static void weighted_sums(float sums[2], const float *x, float max, const float *weights,
                          int64_t n) {
  vf16 total = {0}, products = {0};
  for (int64_t c = 0; c < n; c += WIDE)
    for (int p = 0; p < PARTS; p++) {
      int64_t at = c + p * LANES;
      if (at >= n) break;
      vi inside = v_iota() < (n - at < LANES ? (int32_t)(n - at) : LANES);
      vf w = v_select(inside, weight_at(weights, at, n), v_set(0.0f));
      total.part[p] += w;
      products.part[p] += v_select(inside, w * (v_load_n(x + at, n - at) - max), v_set(0.0f));
    }
  sums[0] = v_sum(total);
  sums[1] = v_sum(products);
}

/* dx = scale (hit (p - onehot(label)) + spread (total p - w)), added when `add`. */
static void gradient(float *dx, const float *x, float max, float sum, int32_t label, float hit,
                     float spread, float total, const float *weights, float scale, bool add,
                     int64_t n) {
  for (int64_t c = 0; c < n; c += LANES) {
    vf p = v_exp(v_load_n(x + c, n - c) - max) / sum;
    vi is_label = v_iota() == label - (int32_t)c;
    vf g = hit * (p - v_select(is_label, v_set(1.0f), v_set(0.0f)));
    g = scale * (g + spread * (total * p - weight_at(weights, c, n)));
    if (add) g += v_load_n(dx + c, n - c);
    v_store_n(dx + c, g, n - c);
  }
}

int FSAM_CPU(weighted_cross_entropy)(fsam_tensor *losses, fsam_tensor *dlogits,
                                     const fsam_tensor *logits, const fsam_tensor *labels,
                                     const fsam_tensor *weights, float smoothing,
                                     const fsam_batch *batch) {
  const int64_t n = logits->shape[1];
  const int32_t *label = labels->data, *starts = batch->starts;
  const float *w = weights ? weights->data : NULL, spread = smoothing / (float)n;
  FSAM_TRY(check_labels("weighted_cross_entropy", labels, batch, n));
  for (int64_t b = 0; b < batch->samples; b++) {
    const float *x = (const float *)logits->data + b * logits->row_stride;
    float *loss = (float *)losses->data + b;
    float *dx = dlogits ? (float *)dlogits->data + b * dlogits->row_stride : NULL;
    if (starts[b] == starts[b + 1]) {
      *loss = 0;
      if (dx && !dlogits->filled) memset(dx, 0, (size_t)n * sizeof *dx);
      continue;
    }
    float max = max_of(x, n), sum = sum_of_exp(x, max, n), sums[2] = {0, 0};
    float log_sum = v_log(v_set(sum))[0], hit = (1 - smoothing) * (w ? w[label[b]] : 1);
    *loss = hit * (log_sum - (x[label[b]] - max));
    if (smoothing > 0) {
      weighted_sums(sums, x, max, w, n);
      *loss += spread * (sums[0] * log_sum - sums[1]);
    }
    if (dx)
      gradient(dx, x, max, sum, label[b], hit, spread, sums[0], w, batch->pass->scale,
               dlogits->filled, n);
  }
  return FSAM_OK;
}
