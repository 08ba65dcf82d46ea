/* ranks.cpp: the device "simt" as one of several ranks' GPUs: with a stream, on which NCCL's sums
 * are put off (nccl.cu on runtime.cpp), and which the device's kernels, that run at once, wait for.
 */
#include "spec/simt/cuda_runtime.h"
#include "spec/simt/programs.h"
#include "spec/simt/simt.h"

extern const struct fsam_gpu_ranks fsam__nccl;

/* As the host of a GPU does: it waits for other ranks only where its work needs them. */
int simt_catch_up(const fsam_device *device) {
  cudaStream_t stream = (cudaStream_t)device->stream;
  if (!stream || cudaStreamQuery(stream) == cudaSuccess) return FSAM_OK;
  if (device->before_wait) FSAM_TRY(device->before_wait((fsam_device *)device));
  cudaStreamSynchronize(stream);
  return FSAM_OK;
}

#pragma GCC visibility push(default)
/* fsam_simt_open for a rank; NCCL is libnccl.so.2 on the library path. */
extern "C" int fsam_simt_open_rank(fsam_device **out) {
  cudaStream_t stream;
  FSAM_TRY(fsam_simt_open(out));
  if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess)
    return fsam__fail(FSAM_ENOMEM, "device simt: no stream");
  (*out)->stream = stream;
  (*out)->ranks = &fsam__nccl;
  return FSAM_OK;
}
#pragma GCC visibility pop
