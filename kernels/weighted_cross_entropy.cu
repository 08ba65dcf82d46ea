/* weighted_cross_entropy.cu: cross entropy with weights of the classes and smoothed targets
 * (weighted_cross_entropy.c). Bound by launching: a warp has a sample. A label that is no class is
 * a fault of the device. */
#include "kernels/cuda/common.cuh"

enum { THREADS = 128 };

static __global__ void __launch_bounds__(THREADS)
    weighted_cross_entropy_k(float *losses, matrix<float> dlogits, matrix<const float> logits,
                             const int32_t *labels, const float *weights, float smoothing,
                             fsam_batch batch, int columns, int32_t *fault) {
  const int sample = (int)blockIdx.x * (THREADS / WARP) + warp_id();
  if (sample >= batch.samples) return;
  const bool empty = batch.starts[sample] == batch.starts[sample + 1];
  const float *x = logits.at(sample, 0);
  int label = empty ? 0 : labels[sample];
  if (label < 0 || label >= columns) {
    label = 0;
    *fault = FAULT_LABELS;
  }
  float max = -INFINITY, sum = 0, total = 0, products = 0;
  for (int c = lane_id(); !empty && c < columns; c += WARP) max = fmaxf(max, x[c]);
  max = warp_max(max);
  for (int c = lane_id(); !empty && c < columns; c += WARP) {
    const float w = weights ? weights[c] : 1.0f;
    sum += expf(x[c] - max);
    total += w;
    products += smoothing > 0 ? w * (x[c] - max) : 0.0f;
  }
  sum = warp_sum(sum);
  total = warp_sum(total);
  products = warp_sum(products);
  const float hit = (1 - smoothing) * (weights ? weights[label] : 1.0f);
  const float spread = smoothing / (float)columns;
  if (lane_id() == 0) {
    const float log_sum = logf(sum);
    float loss = empty ? 0 : hit * (log_sum - (x[label] - max));
    if (!empty && smoothing > 0) loss += spread * (total * log_sum - products);
    losses[sample] = loss;
  }
  if (!dlogits.data) return;
  const float scale = batch.pass->scale;
  for (int c = lane_id(); c < columns; c += WARP) {
    float *dx = dlogits.at(sample, c), g = 0;
    if (!empty) {
      const float p = expf(x[c] - max) / sum, w = weights ? weights[c] : 1.0f;
      g = scale * (hit * (p - (c == label ? 1.0f : 0.0f)) + spread * (total * p - w));
    }
    *dx = dlogits.add ? *dx + g : g;
  }
}

int weighted_cross_entropy_cuda(fsam_tensor *losses, fsam_tensor *dlogits,
                                const fsam_tensor *logits, const fsam_tensor *labels,
                                const fsam_tensor *weights, float smoothing,
                                const fsam_batch *batch) {
  fsam_device *device = fsam__device_of(losses);
  const unsigned blocks = (unsigned)divide_up(batch->samples, THREADS / WARP);
  return FSAM_LAUNCH(device, weighted_cross_entropy_k, dim3(blocks), THREADS, 0,
                     (float *)losses->data, matrix_of<float>(dlogits),
                     matrix_of<const float>(logits), (const int32_t *)labels->data,
                     weights ? (const float *)weights->data : (const float *)NULL, smoothing,
                     *batch, (int)logits->shape[1], device->fault);
}
