/* graph.cu: graphs on a GPU, by CUDA's stream capture. Leaves the rules to engine/graph.c. */
#include "engine/cuda/device.cuh"

#include <stdlib.h>
#include <string.h>

namespace {

/* A graph while it is captured (exec NULL), and afterwards. */
struct captured {
  cudaGraph_t graph;
  int64_t early; /* our own kernels that start before the one ahead has ended */
  cudaGraphExec_t exec;
};

cudaStream_t stream_of(const fsam_device *device) { return (cudaStream_t)device->stream; }

/* Waits for the GPU, which may still run the graph: not to be called while the device records. */
void free_captured(fsam_device *device, void *handle) {
  captured *r = (captured *)handle;
  if (r->exec) {
    if (device->before_wait) device->before_wait(device);
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
  device->after_kernel = false;
  device->early = 0;
  return FSAM_OK;
}

int end(fsam_device *device, void *capture, void **out) {
  captured *r = (captured *)capture;
  r->early = device->early;
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

/* The dependencies of a graph; since CUDA 13 one call tells what each of them is. */
cudaError_t edges_of(cudaGraph_t graph, cudaGraphNode_t *from, cudaGraphNode_t *to,
                     cudaGraphEdgeData *data, size_t *count) {
#if CUDART_VERSION >= 13000
  return cudaGraphGetEdges(graph, from, to, data, count);
#else
  return cudaGraphGetEdges_v2(graph, from, to, data, count);
#endif
}

/* A kernel that starts before the one ahead of it has ended has another kind of dependency. Those
 * of ours wait for it themselves; where a library lets its kernels do so, that is counted. */
int shape(const void *handle, int64_t counts[3]) {
  const cudaGraph_t graph = ((const captured *)handle)->graph;
  size_t nodes = 0, edges = 0;
  CUDA_TRY("looking at a graph", cudaGraphGetNodes(graph, NULL, &nodes));
  CUDA_TRY("looking at a graph", edges_of(graph, NULL, NULL, NULL, &edges));
  cudaGraphNode_t *ends = (cudaGraphNode_t *)calloc(2 * edges + 1, sizeof *ends);
  cudaGraphEdgeData *data = (cudaGraphEdgeData *)calloc(edges + 1, sizeof *data);
  cudaError_t error = cudaErrorMemoryAllocation;
  if (ends && data) error = edges_of(graph, ends, ends + edges, data, &edges);
  const cudaGraphEdgeData plain = {};
  counts[0] = (int64_t)nodes;
  counts[1] = (int64_t)edges - (nodes ? (int64_t)nodes - 1 : 0);
  counts[2] = -((const captured *)handle)->early;
  for (size_t i = 0; error == cudaSuccess && i < edges; i++)
    counts[2] += memcmp(&data[i], &plain, sizeof plain) != 0;
  free(ends);
  free(data);
  return error == cudaSuccess ? FSAM_OK : fsam__cuda_failed("looking at a graph", error);
}

/* -- work beside other work -------------------------------------------------------------------- */

cudaStream_t other_of(const fsam_device *device) { return (cudaStream_t)device->other_stream; }

int part(fsam_device *device) {
  device->after_kernel = false;
  const cudaEvent_t here = fsam__cuda_event(device, 0);
  CUDA_TRY("recording", cudaEventRecord(here, stream_of(device)));
  CUDA_TRY("recording", cudaStreamWaitEvent(other_of(device), here, 0));
  return FSAM_OK;
}

/* The events of tickets are used in turn: one that was used again marks later work, which is as
 * good to wait for. */
int mark(fsam_device *device, int64_t ticket) {
  device->after_kernel = false;
  CUDA_TRY("recording", cudaEventRecord(fsam__cuda_event(device, ticket), other_of(device)));
  return FSAM_OK;
}

int join(fsam_device *device, int64_t ticket) {
  device->after_kernel = false;
  CUDA_TRY("recording",
           cudaStreamWaitEvent(stream_of(device), fsam__cuda_event(device, ticket), 0));
  return FSAM_OK;
}

}  // namespace

const fsam_graphs fsam__cuda_graphs = {begin, end, run, free_captured, shape, part, mark, join};
