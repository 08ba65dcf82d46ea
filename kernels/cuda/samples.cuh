/* samples.cuh: the rows of a sample, from batch.starts. Only the device can read those: a batch
 * that contradicts itself leaves a fault. */
#ifndef FSAM_SAMPLES_CUH
#define FSAM_SAMPLES_CUH

#include "kernels/cuda/common.cuh"

/* The rows start … start + n - 1. */
struct row_range {
  int64_t start;
  int n;
};

/* A sample's rows; n = 0, and a fault, where the batch contradicts itself. */
__device__ __forceinline__ row_range rows_of_sample(const fsam_batch &batch, int sample,
                                                    int32_t *fault) {
  const int start = batch.starts[sample], end = batch.starts[sample + 1];
  const bool good = start >= 0 && start <= end && end <= batch.tokens &&
                    end - start <= batch.longest && (sample > 0 || start == 0);
  if (good) return {start, end - start};
  *fault = FAULT_SAMPLES;
  return {0, 0};
}

#endif
