/* graph.cu: graphs on a GPU, by CUDA's stream capture (graph.c has the rules). */
#include "engine/cuda/device.cuh"

#include <stdlib.h>

namespace {

/* What is being recorded, then what was. */
struct recorded {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
};

cudaStream_t stream_of(const fsam_device *device) { return (cudaStream_t)device->stream; }

/* May run while the GPU still works on it. */
void free_recorded(fsam_device *device, void *handle) {
  recorded *r = (recorded *)handle;
  if (r->exec) {
    cudaStreamSynchronize(stream_of(device));
    cudaGraphExecDestroy(r->exec);
  }
  if (r->graph) cudaGraphDestroy(r->graph);
  free(r);
}

int begin(fsam_device *device, void **recording) {
  recorded *r = (recorded *)calloc(1, sizeof *r);
  if (!r) return fsam__fail(FSAM_ENOMEM, "cuda: no memory for a recording");
  const cudaError_t error =
      cudaStreamBeginCapture(stream_of(device), cudaStreamCaptureModeThreadLocal);
  if (error != cudaSuccess) {
    free(r);
    return fsam__cuda_failed("recording", error);
  }
  *recording = r;
  return FSAM_OK;
}

int end(fsam_device *device, void *recording, void **out) {
  recorded *r = (recorded *)recording;
  cudaError_t error = cudaStreamEndCapture(stream_of(device), &r->graph);
  if (out && error == cudaSuccess) error = cudaGraphInstantiate(&r->exec, r->graph, 0);
  int rc = FSAM_OK;
  if (error != cudaSuccess) rc = fsam__cuda_failed("recording", error);
  if (out && rc == FSAM_OK)
    *out = r;
  else
    free_recorded(device, r);
  return rc;
}

int run(fsam_device *device, void *handle) {
  CUDA_TRY("running a graph", cudaGraphLaunch(((recorded *)handle)->exec, stream_of(device)));
  return FSAM_OK;
}

}  // namespace

const fsam_recorder fsam__cuda_recorder = {begin, end, run, free_recorded};
