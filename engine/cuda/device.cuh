/* device.cuh: what device.cu and graph.cu, the engine's part of the CUDA half, share. */
#ifndef FSAM_DEVICE_CUH
#define FSAM_DEVICE_CUH

#include <cuda_runtime.h>

#include "engine/engine.h"

/* Graphs by stream capture (graph.cu). */
extern const fsam_graphs fsam__cuda_graphs;

/* The event of a ticket of work beside other work (graph.cu); 0 is where it begins. They are used
 * in turn (device.cu). */
cudaEvent_t fsam__cuda_event(fsam_device *device, int64_t ticket);

/* Raises an error of CUDA's runtime; an earlier kernel may have caused it (device.cu). */
int fsam__cuda_failed(const char *what, cudaError_t error);

#define CUDA_TRY(what, call)                                           \
  do {                                                                 \
    const cudaError_t error_ = (call);                                 \
    if (error_ != cudaSuccess) return fsam__cuda_failed(what, error_); \
  } while (0)

#endif
