/* cross_entropy.cu: the loss of each sample and the gradient of its logits (cross_entropy.c). Bound
 * by launching: a warp has a sample. A label that is no class is a fault of the device. */
#include "kernels/cuda/common.cuh"

enum { THREADS = 128 };

static __global__ void __launch_bounds__(THREADS)
    cross_entropy_k(float *losses, matrix<float> dlogits, matrix<const float> logits,
                    const int32_t *labels, fsam_batch batch, int columns,
                    int32_t *fault) {
  const int sample = (int)blockIdx.x * (THREADS / WARP) + warp_id();
  if (sample >= batch.samples) return;
  const bool empty = batch.starts[sample] == batch.starts[sample + 1];
  const float *x = logits.at(sample, 0);
  int label = empty ? 0 : labels[sample];
  if (label < 0 || label >= columns) {
    label = 0;
    *fault = FAULT_LABELS;
  }
  float max = -INFINITY, sum = 0;
  for (int c = lane_id(); !empty && c < columns; c += WARP) max = fmaxf(max, x[c]);
  max = warp_max(max);
  for (int c = lane_id(); !empty && c < columns; c += WARP) sum += expf(x[c] - max);
  sum = warp_sum(sum);
  if (lane_id() == 0) losses[sample] = empty ? 0 : logf(sum) - (x[label] - max);
  if (!dlogits.data) return;
  const float scale = batch.pass->scale;
  for (int c = lane_id(); c < columns; c += WARP) {
    float *dx = dlogits.at(sample, c);
    const float g = empty ? 0 : scale * (expf(x[c] - max) / sum - (c == label ? 1.0f : 0.0f));
    *dx = dlogits.add ? *dx + g : g;
  }
}

int cross_entropy_cuda(fsam_tensor *losses, fsam_tensor *dlogits, const fsam_tensor *logits,
                       const fsam_tensor *labels, const fsam_batch *batch) {
  fsam_device *device = fsam__device_of(losses);
  const unsigned blocks = (unsigned)divide_up(batch->samples, THREADS / WARP);
  return FSAM_LAUNCH(device, cross_entropy_k, dim3(blocks), THREADS, 0, (float *)losses->data,
                     matrix_of<float>(dlogits), matrix_of<const float>(logits),
                     (const int32_t *)labels->data, *batch, (int)logits->shape[1],
                     device->fault);
}
