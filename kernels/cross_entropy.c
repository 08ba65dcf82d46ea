/* cross_entropy.c: losses[b] = log(sum_j exp(x_j - max)) - (x_label - max) for the row x of logits
 * of each sample, and dlogits = scale (softmax(x) - onehot(label)). Stable for any finite logits; a
 * NaN makes its own row NaN and no other. Empty samples give 0, whatever their row and label. */
#include "kernels/simd/softmax_row.h"

#if FSAM_PUBLIC

int fsam_cross_entropy(fsam_tensor *losses, fsam_tensor *dlogits, const fsam_tensor *logits,
                       const fsam_tensor *labels, const fsam_batch *batch) {
  const char *op = "cross_entropy";
  if (!batch) return fsam__fail(FSAM_EINVAL, "%s: batch is missing", op);
  const int64_t samples = batch->samples;
  FSAM_TRY(fsam__expect(op, "logits", logits, FSAM_F32, 2, samples, -1));
  FSAM_TRY(fsam__expect(op, "labels", labels, FSAM_I32, 1, samples, -1));
  FSAM_TRY(fsam__expect(op, "losses", losses, FSAM_F32, 1, samples, -1));
  FSAM_TRY(fsam__expect_optional(op, "dlogits", dlogits, FSAM_F32, 2, samples, logits->shape[1]));
  if (dlogits) FSAM_TRY(fsam__check_pass(op, batch));
  return fsam__device_of(logits)->kernels->cross_entropy(losses, dlogits, logits, labels, batch);
}

#endif

/* dx = scale (softmax(x) - onehot(label)), added when `add`. */
static void gradient(float *dx, const float *x, float max, float sum, int32_t label, float scale,
                     bool add, int64_t n) {
  for (int64_t c = 0; c < n; c += LANES) {
    vf p = v_exp(v_load_n(x + c, n - c) - max) / sum;
    vi hit = v_iota() == label - (int32_t)c;
    vf g = scale * (p - v_select(hit, v_set(1.0f), v_set(0.0f)));
    if (add) g += v_load_n(dx + c, n - c);
    v_store_n(dx + c, g, n - c);
  }
}

int FSAM_CPU(cross_entropy)(fsam_tensor *losses, fsam_tensor *dlogits, const fsam_tensor *logits,
                            const fsam_tensor *labels, const fsam_batch *batch) {
  const int64_t n = logits->shape[1];
  const int32_t *label = labels->data, *starts = batch->starts;
  FSAM_TRY(check_labels("cross_entropy", labels, batch, n));
  for (int64_t b = 0; b < batch->samples; b++) {
    const float *x = (const float *)logits->data + b * logits->row_stride;
    float *loss = (float *)losses->data + b;
    float *dx = dlogits ? (float *)dlogits->data + b * dlogits->row_stride : NULL;
    if (starts[b] == starts[b + 1]) {
      *loss = 0;
      if (dx && !dlogits->filled) memset(dx, 0, (size_t)n * sizeof *dx);
      continue;
    }
    float max = max_of(x, n), sum = sum_of_exp(x, max, n);
    *loss = v_log(v_set(sum))[0] - (x[label[b]] - max);
    if (dx) gradient(dx, x, max, sum, label[b], batch->pass->scale, dlogits->filled, n);
  }
  return FSAM_OK;
}
