/* mse.cu: squared error per sample and its gradient (mse.c). Bound by launching. */
#include "kernels/cuda/common.cuh"

enum { THREADS = 128 };

static __global__ void __launch_bounds__(THREADS)
    mse_k(float *losses, matrix<float> dlogits, matrix<const float> logits, const float *targets,
          fsam_batch batch) {
  const int sample = (int)blockIdx.x * THREADS + (int)threadIdx.x;
  if (sample >= batch.samples) return;
  const bool empty = batch.starts[sample] == batch.starts[sample + 1];
  const float difference = empty ? 0 : *logits.at(sample, 0) - targets[sample];
  losses[sample] = difference * difference;
  if (!dlogits.data) return;
  float *dx = dlogits.at(sample, 0);
  *dx = (dlogits.add ? *dx : 0) + 2 * batch.pass->scale * difference;
}

int mse_cuda(fsam_tensor *losses, fsam_tensor *dlogits, const fsam_tensor *logits,
             const fsam_tensor *targets, const fsam_batch *batch) {
  return FSAM_LAUNCH(
      fsam__device_of(losses), mse_k, dim3((unsigned)divide_up(batch->samples, THREADS)), THREADS,
      0, (float *)losses->data, matrix_of<float>(dlogits), matrix_of<const float>(logits),
      (const float *)targets->data, *batch);
}
