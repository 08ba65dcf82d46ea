/* ranks.cpp: what specs of ranks ask of the fake runtime, on whose streams NCCL's sums are put off
 * (nccl.cu): streams of their own, and NCCL's collectives over ranges. */
#include "engine/ranks/backend.h"
#include "spec/simt/cuda_runtime.h"

extern const fsam_gpu_ranks fsam__nccl;

#pragma GCC visibility push(default)
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
