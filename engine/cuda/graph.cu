/* graph.cu: graphs on a GPU, by CUDA's stream capture. Leaves the rules to engine/graph.c. */
#include "engine/cuda/device.cuh"

#include <stdlib.h>

namespace {

/* A graph while it is captured (exec NULL), and afterwards. */
struct captured {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
};

cudaStream_t stream_of(const fsam_device *device) { return (cudaStream_t)device->stream; }

/* Waits for the GPU, which may still run the graph. */
void free_captured(fsam_device *device, void *handle) {
  captured *r = (captured *)handle;
  if (r->exec) {
    cudaStreamSynchronize(stream_of(device));
    cudaGraphExecDestroy(r->exec);
  }
  if (r->graph) cudaGraphDestroy(r->graph);
  free(r);
}

int begin(fsam_device *device, void **capture) {
  captured *r = (captured *)calloc(1, sizeof *r);
  if (!r) return fsam__fail(FSAM_ENOMEM, "cuda: no memory for a graph");
  const cudaError_t error =
      cudaStreamBeginCapture(stream_of(device), cudaStreamCaptureModeThreadLocal);
  if (error != cudaSuccess) {
    free(r);
    return fsam__cuda_failed("recording", error);
  }
  *capture = r;
  return FSAM_OK;
}

int end(fsam_device *device, void *capture, void **out) {
  captured *r = (captured *)capture;
  cudaError_t error = cudaStreamEndCapture(stream_of(device), &r->graph);
  if (out && error == cudaSuccess) error = cudaGraphInstantiate(&r->exec, r->graph, 0);
  int rc = FSAM_OK;
  if (error != cudaSuccess) rc = fsam__cuda_failed("recording", error);
  if (out && rc == FSAM_OK)
    *out = r;
  else
    free_captured(device, r);
  return rc;
}

int run(fsam_device *device, void *handle) {
  CUDA_TRY("running a graph", cudaGraphLaunch(((captured *)handle)->exec, stream_of(device)));
  return FSAM_OK;
}

}  // namespace

const fsam_graphs fsam__cuda_graphs = {begin, end, run, free_captured};
