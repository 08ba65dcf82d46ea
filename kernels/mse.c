/* mse.c: squared error per sample, for regression: losses[b] = (logits[b,0] - targets[b])^2 and
 * dlogits[b,0] = 2 scale (logits[b,0] - targets[b]). Empty samples give 0. */
#include "kernels/simd/simd.h"

#if FSAM_PUBLIC

int fsam_mse(fsam_tensor *losses, fsam_tensor *dlogits, const fsam_tensor *logits,
             const fsam_tensor *targets, const fsam_batch *batch) {
  if (!batch) return fsam__fail(FSAM_EINVAL, "mse: batch is missing");
  const int64_t samples = batch->samples;
  FSAM_TRY(fsam__expect("mse", "logits", logits, FSAM_F32, 2, samples, 1));
  FSAM_TRY(fsam__expect("mse", "targets", targets, FSAM_F32, 1, samples, -1));
  FSAM_TRY(fsam__expect("mse", "losses", losses, FSAM_F32, 1, samples, -1));
  FSAM_TRY(fsam__expect_optional("mse", "dlogits", dlogits, FSAM_F32, 2, samples, 1));
  if (dlogits) FSAM_TRY(fsam__check_pass("mse", batch));
  return fsam__device_of(logits)->kernels->mse(losses, dlogits, logits, targets, batch);
}

#endif

int FSAM_CPU(mse)(fsam_tensor *losses, fsam_tensor *dlogits, const fsam_tensor *logits,
                  const fsam_tensor *targets, const fsam_batch *batch) {
  const float *x = logits->data, *target = targets->data;
  float *loss = losses->data, *dx = dlogits ? dlogits->data : NULL;
  const float twice = dlogits ? 2 * batch->pass->scale : 0;
  for (int64_t b = 0; b < batch->samples; b++) {
    bool empty = batch->starts[b] == batch->starts[b + 1];
    float difference = empty ? 0 : x[b * logits->row_stride] - target[b];
    loss[b] = difference * difference;
    if (!dx) continue;
    float *gradient = dx + b * dlogits->row_stride;
    *gradient = (dlogits->filled ? *gradient : 0) + twice * difference;
  }
  return FSAM_OK;
}
