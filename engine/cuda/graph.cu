/* graph.cu: recording on a GPU, by CUDA's stream capture (graph.c has the rules). Work is queued to
 * one stream, so that its nodes form a chain; a part is the piece of the chain between two of its
 * ends, and is left out by switching its nodes off in the instantiated graph. */
#include "engine/cuda/device.cuh"

#include <stdlib.h>

namespace {

/* A node that belongs to a part. */
struct part_node {
  cudaGraphNode_t node;
  int part;
  bool on;
};

/* What is being recorded, then what was. */
struct recorded {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  part_node *nodes;
  size_t count, capacity;
  int part;               /* the open one, or -1 */
  cudaGraphNode_t before; /* the last node before it, or NULL */
};

cudaStream_t stream_of(const fsam_device *device) { return (cudaStream_t)device->stream; }

/* The last node so far, NULL before the first. */
int last_node(cudaGraphNode_t *out, const fsam_device *device) {
  cudaStreamCaptureStatus status;
  const cudaGraphNode_t *nodes = NULL;
  size_t count = 0;
#if CUDART_VERSION >= 13000 /* edges may have data from then on, and whoever asks must take it */
  const cudaGraphEdgeData *edges = NULL;
  CUDA_TRY("looking at a recording", cudaStreamGetCaptureInfo(stream_of(device), &status, NULL,
                                                               NULL, &nodes, &edges, &count));
#else
  CUDA_TRY("looking at a recording",
            cudaStreamGetCaptureInfo(stream_of(device), &status, NULL, NULL, &nodes, &count));
#endif
  if (status != cudaStreamCaptureStatusActive)
    return fsam__fail(FSAM_EINTERNAL, "cuda: the recording has been broken off");
  *out = count ? nodes[0] : NULL;
  return FSAM_OK;
}

/* The node before this one in the chain, NULL before the first. */
int node_before(cudaGraphNode_t *out, cudaGraphNode_t node) {
  cudaGraphNode_t before = NULL;
  size_t count = 1;
#if CUDART_VERSION >= 13000
  cudaGraphEdgeData edge;
  CUDA_TRY("looking at a node", cudaGraphNodeGetDependencies(node, &before, &edge, &count));
#else
  CUDA_TRY("looking at a node", cudaGraphNodeGetDependencies(node, &before, &count));
#endif
  *out = count ? before : NULL;
  return FSAM_OK;
}

int keep(recorded *r, cudaGraphNode_t node) {
  if (r->count == r->capacity) {
    const size_t capacity = r->capacity ? 2 * r->capacity : 256;
    part_node *grown = (part_node *)realloc(r->nodes, capacity * sizeof *grown);
    if (!grown) return fsam__fail(FSAM_ENOMEM, "cuda: no memory for a recording");
    r->nodes = grown;
    r->capacity = capacity;
  }
  r->nodes[r->count++] = {node, r->part, true};
  return FSAM_OK;
}

/* May run while the GPU still works on it. */
void free_recorded(fsam_device *device, void *handle) {
  recorded *r = (recorded *)handle;
  if (r->exec) {
    cudaStreamSynchronize(stream_of(device));
    cudaGraphExecDestroy(r->exec);
  }
  if (r->graph) cudaGraphDestroy(r->graph);
  free(r->nodes);
  free(r);
}

int begin(fsam_device *device, void **recording) {
  recorded *r = (recorded *)calloc(1, sizeof *r);
  if (!r) return fsam__fail(FSAM_ENOMEM, "cuda: no memory for a recording");
  r->part = -1;
  const cudaError_t error =
      cudaStreamBeginCapture(stream_of(device), cudaStreamCaptureModeThreadLocal);
  if (error != cudaSuccess) {
    free(r);
    return fsam__cuda_failed("recording", error);
  }
  *recording = r;
  return FSAM_OK;
}

int part_begin(fsam_device *device, void *recording, int part) {
  recorded *r = (recorded *)recording;
  r->part = part;
  return last_node(&r->before, device);
}

int part_end(fsam_device *device, void *recording) {
  recorded *r = (recorded *)recording;
  cudaGraphNode_t node = NULL;
  FSAM_TRY(last_node(&node, device));
  while (node && node != r->before) {
    FSAM_TRY(keep(r, node));
    FSAM_TRY(node_before(&node, node));
  }
  r->part = -1;
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

int run(fsam_device *device, void *handle, const uint8_t *left_out) {
  recorded *r = (recorded *)handle;
  for (size_t i = 0; i < r->count; i++) {
    part_node *n = &r->nodes[i];
    const bool on = !(left_out && left_out[n->part]);
    if (on == n->on) continue;
    CUDA_TRY("leaving out a part", cudaGraphNodeSetEnabled(r->exec, n->node, on));
    n->on = on;
  }
  CUDA_TRY("running a recording", cudaGraphLaunch(r->exec, stream_of(device)));
  return FSAM_OK;
}

}  // namespace

const fsam_recorder fsam__cuda_recorder = {begin, part_begin, part_end, end, run, free_recorded};
