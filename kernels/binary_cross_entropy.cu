/* binary_cross_entropy.cu: the loss of labels that are each true or false, and its gradient
 * (binary_cross_entropy.c). Bound by launching: a warp has a sample. */
#include "kernels/cuda/common.cuh"

enum { THREADS = 128 };

static __global__ void __launch_bounds__(THREADS)
    binary_cross_entropy_k(float *losses, matrix<float> dlogits, matrix<const float> logits,
                           matrix<const float> targets, const float *weights, fsam_batch batch,
                           int columns) {
  const int sample = (int)blockIdx.x * (THREADS / WARP) + warp_id();
  if (sample >= batch.samples) return;
  const bool empty = batch.starts[sample] == batch.starts[sample + 1];
  const float share = 1 / (float)columns;
  const float scale = dlogits.data ? batch.pass->scale * share : 0;
  float sum = 0;
  for (int c = lane_id(); c < columns; c += WARP) {
    float g = 0;
    if (!empty) {
      const float x = *logits.at(sample, c), t = *targets.at(sample, c);
      const float w = weights ? weights[c] : 1.0f, e = expf(-fabsf(x));
      sum += w * ((x < 0 ? 0 : x) - x * t + log1pf(e));
      g = scale * (w * ((x < 0 ? e : 1.0f) / (1.0f + e) - t));
    }
    if (!dlogits.data) continue;
    float *dx = dlogits.at(sample, c);
    *dx = dlogits.add ? *dx + g : g;
  }
  sum = warp_sum(sum);
  if (lane_id() == 0) losses[sample] = share * sum;
}

int binary_cross_entropy_cuda(fsam_tensor *losses, fsam_tensor *dlogits,
                              const fsam_tensor *logits, const fsam_tensor *targets,
                              const fsam_tensor *weights, const fsam_batch *batch) {
  const unsigned blocks = (unsigned)divide_up(batch->samples, THREADS / WARP);
  return FSAM_LAUNCH(fsam__device_of(losses), binary_cross_entropy_k, dim3(blocks), THREADS, 0,
                     (float *)losses->data, matrix_of<float>(dlogits),
                     matrix_of<const float>(logits), matrix_of<const float>(targets),
                     weights ? (const float *)weights->data : (const float *)NULL, *batch,
                     (int)logits->shape[1]);
}
