/* cuda_runtime.h: as much of CUDA's runtime as engine/cuda/device.cu uses, for the CPU
 * (runtime.cpp), so that its copies can be tried without a GPU. A stream does nothing until the
 * host waits, and then only the work that the wait needs: code that uses memory again too early
 * shows. */
#ifndef FSAM_FAKE_CUDA_RUNTIME_H
#define FSAM_FAKE_CUDA_RUNTIME_H

#include <stddef.h>

#include "engine/engine.h"

/* Kernels whose sources are not in the shim are null. */
#define FSAM_KERNEL(name, signature) extern "C" __attribute__((weak)) int name##_cuda signature;
#include "kernels/kernels.def"
#undef FSAM_KERNEL

#define CUDART_VERSION 13000

enum cudaError_t {
  cudaSuccess,
  cudaErrorMemoryAllocation,
  cudaErrorStreamCapture,
  cudaErrorNotReady
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
enum { cudaStreamNonBlocking, cudaEventDisableTiming, cudaHostAllocDefault, cudaHostAllocMapped };

struct cudaDeviceProp {
  char name[64];
  int major, minor;
  size_t totalGlobalMem;
};

typedef struct fake_stream *cudaStream_t;
typedef struct fake_event *cudaEvent_t;
typedef struct fake_graph *cudaGraph_t;
typedef struct fake_exec *cudaGraphExec_t;
typedef struct fake_node *cudaGraphNode_t;
struct cudaGraphEdgeData {
  unsigned char kind;
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };

cudaError_t cudaGetLastError();
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device);
cudaError_t cudaMemGetInfo(size_t *left, size_t *total);

cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *p); /* waits for all work, as CUDA's does */
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaHostGetDevicePointer(void **out, void *p, unsigned flags);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event); /* does the work before it that waits for no rank */
cudaError_t cudaStreamQuery(cudaStream_t stream);

/* Puts off work that may have to wait for other processes: attempt(context) is called until it
 * returns true. */
extern "C" cudaError_t fsam_simt_attempt(cudaStream_t stream, bool (*attempt)(void *context),
                                         void *context);

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

#endif
