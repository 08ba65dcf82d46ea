/* cuda_runtime.h: as much of CUDA's runtime as engine/cuda uses, for the CPU, so that device.cu and
 * graph.cu run without a GPU. A stream does nothing until the host waits, and then only the work
 * that the wait needs: code that uses memory again too early shows. While a stream captures,
 * everything that CUDA refuses then is refused, and the capture is lost. */
#ifndef FSAM_FAKE_CUDA_RUNTIME_H
#define FSAM_FAKE_CUDA_RUNTIME_H

#include <stddef.h>

#include "engine/engine.h"

#ifdef __cplusplus
/* Kernels whose sources are not in the shim are null. */
#define FSAM_KERNEL(name, signature) extern "C" __attribute__((weak)) int name##_cuda signature;
#include "kernels/kernels.def"
#undef FSAM_KERNEL

extern "C" {
#endif

#define CUDART_VERSION 13000

typedef enum cudaError_t {
  cudaSuccess,
  cudaErrorMemoryAllocation,
  cudaErrorStreamCapture,
  cudaErrorLaunchFailure,
  cudaErrorNotReady
} cudaError_t;
typedef enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost } cudaMemcpyKind;
enum { cudaStreamNonBlocking, cudaEventDisableTiming, cudaHostAllocDefault, cudaHostAllocMapped };

typedef struct cudaDeviceProp {
  char name[64];
  int major, minor;
  size_t totalGlobalMem, sharedMemPerBlockOptin;
} cudaDeviceProp;

typedef struct fake_stream *cudaStream_t;
typedef struct fake_event *cudaEvent_t;
typedef struct fake_graph *cudaGraph_t;
typedef struct fake_exec *cudaGraphExec_t;
typedef struct fake_node *cudaGraphNode_t;
typedef struct cudaGraphEdgeData {
  unsigned char type;
} cudaGraphEdgeData;
typedef enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal } cudaStreamCaptureMode;

/* What is recorded, and whether something was refused meanwhile. */
struct fake_graph {
  struct fake_nodes *nodes;
  bool broken;
};

cudaError_t cudaGetLastError(void);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device);
cudaError_t cudaMemGetInfo(size_t *left, size_t *total);

cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *p); /* waits for nothing */
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaHostGetDevicePointer(void **out, void *p, unsigned flags);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int priority);
cudaError_t cudaDeviceGetStreamPriorityRange(int *last, int *first);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreate(cudaEvent_t *out);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to);
/* They do all work that waits for no other process. */
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaStreamQuery(cudaStream_t stream);

/* Puts off work that may have to wait for other processes: attempt(context) is called until it
 * returns true. */
cudaError_t fsam_simt_attempt(cudaStream_t stream, bool (*attempt)(void *context), void *context);

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out);
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count);
cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t *from, cudaGraphNode_t *to,
                              cudaGraphEdgeData *data, size_t *count);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

#ifdef __cplusplus
}
#endif

#endif
