/* ranks.cpp: the device "simt" as one of several ranks' GPUs: with a stream, on which NCCL's sums
 * are put off (nccl.cu on runtime.cpp), and which the device's kernels, that run at once, wait for.
 */
#include "engine/ranks/backend.h"
#include "spec/simt/cuda_runtime.h"
#include "spec/simt/programs.h"
#include "spec/simt/simt.h"

extern const fsam_gpu_ranks fsam__nccl;

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

/* A stream for a rank that a spec plays itself; whether all of its work could be done. */
extern "C" int fsam_simt_stream(void **out) {
  return cudaStreamCreateWithFlags((cudaStream_t *)out, cudaStreamNonBlocking) == cudaSuccess ? 0
                                                                                           : -1;
}

extern "C" int fsam_simt_stream_end(void *stream) {
  return cudaStreamDestroy((cudaStream_t)stream);
}

extern "C" int fsam_simt_stream_ready(void *stream) {
  return cudaStreamQuery((cudaStream_t)stream) == cudaSuccess;
}

/* NCCL's collectives over ranges. */
extern "C" int fsam_simt_reduce_scatter(fsam_device *device, float *values, const int64_t *starts) {
  return fsam__nccl.reduce_scatter(device, values, starts);
}

extern "C" int fsam_simt_all_gather(fsam_device *device, void *bytes, const int64_t *starts) {
  return fsam__nccl.all_gather(device, bytes, starts);
}
#pragma GCC visibility pop
