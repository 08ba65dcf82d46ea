/* device.cuh: what device.cu and graph.cu, the CUDA half's engine, have of each other. */
#ifndef FSAM_DEVICE_CUH
#define FSAM_DEVICE_CUH

#include <cuda_runtime.h>

#include "engine/engine.h"

/* Recording by stream capture (graph.cu). */
extern const fsam_recorder fsam__cuda_recorder;

/* Raises an error of the runtime that may be an earlier kernel's (device.cu). */
int fsam__cuda_failed(const char *what, cudaError_t error);

#define CUDA_TRY(what, call)                                           \
  do {                                                                 \
    const cudaError_t error_ = (call);                                 \
    if (error_ != cudaSuccess) return fsam__cuda_failed(what, error_); \
  } while (0)

#endif
