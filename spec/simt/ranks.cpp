/* ranks.cpp: what specs of ranks ask of the fake runtime, on whose streams NCCL's sums are put off
 * (nccl.cu): streams of their own. */
#include "spec/simt/cuda_runtime.h"

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

#pragma GCC visibility pop
