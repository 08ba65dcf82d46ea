/* cudnn_cuda.h: the part of cuDNN's graph API that attention needs (cudnn_cuda.c): tensors of four
 * dimensions, the operations between them, and a plan, which is the graph compiled for a GPU.
 *
 * A graph keeps its first failure: building goes on without effect, and cudnn_plan_make reports it.
 * Inputs and outputs have names, numbers from 1 on, and get their addresses when the plan runs;
 * inner tensors have no name and never exist in memory. */
#ifndef FSAM_CUDNN_CUDA_H
#define FSAM_CUDNN_CUDA_H

#include <cudnn_graph.h>
#include <stdbool.h>

#include "engine/engine.h"

enum { CUDNN_MAX_DESCRIPTORS = 256, CUDNN_MAX_OPERATIONS = 32 };

typedef cudnnBackendDescriptor_t cudnn_tensor;

typedef struct cudnn_shape {
  int64_t size[4], stride[4]; /* elements */
} cudnn_shape;

typedef struct cudnn_graph {
  cudnnBackendDescriptor_t all[CUDNN_MAX_DESCRIPTORS], operations[CUDNN_MAX_OPERATIONS], plan;
  int count, operation_count;
  size_t workspace;     /* bytes that the plan needs when it runs */
  cudnnStatus_t status; /* of the first failure, and what failed */
  const char *failed;
} cudnn_graph;

/* The GPU of a plan: that of `handle`; or, to ask without a GPU whether a plan exists, the one that
 * `properties` describe as JSON: the plan is then chosen, but neither compiled nor run. */
typedef struct cudnn_target {
  cudnnHandle_t handle;
  const char *properties;
} cudnn_target;

/* Opens the library at the first call. FSAM_ENODEV where it is absent or too old. */
int cudnn_open(void);
/* Such as 91900; 0 before it is open. */
int cudnn_version(void);
/* Opens a handle on the stream's GPU. */
int cudnn_handle_new(cudnnHandle_t *out, cudaStream_t stream);
void cudnn_handle_free(cudnnHandle_t handle);

/* A tensor that lies in memory; its addresses are multiples of 16. With `starts`, an i64 tensor of
 * one more element than the first dimension, sample i begins starts[i] elements into it. */
cudnn_tensor cudnn_outer(cudnn_graph *g, int name, cudnnDataType_t type, cudnn_shape shape,
                         cudnn_tensor starts);
/* An f32 number in host memory. */
cudnn_tensor cudnn_number(cudnn_graph *g, int name);
cudnn_tensor cudnn_inner(cudnn_graph *g, cudnnDataType_t type, cudnn_shape shape,
                         cudnn_tensor starts);

/* y = a b. Tensors m, n, k (or NULL) give each sample's number of rows, columns and terms. */
void cudnn_multiply(cudnn_graph *g, cudnn_tensor y, cudnn_tensor a, cudnn_tensor b, cudnn_tensor m,
                    cudnn_tensor n, cudnn_tensor k);
/* y = mode(x, b), or mode(x) with b NULL; a selection is t ? x : b. */
void cudnn_pointwise(cudnn_graph *g, cudnn_tensor y, cudnnPointwiseMode_t mode, cudnn_tensor x,
                     cudnn_tensor b, cudnn_tensor t);
/* Each element's own index along an axis of x. */
void cudnn_index(cudnn_graph *g, cudnn_tensor y, int axis, cudnn_tensor x);
/* Reduces x over the dimensions that are 1 in y. */
void cudnn_reduce(cudnn_graph *g, cudnn_tensor y, cudnnReduceTensorOp_t by, cudnn_tensor x);
/* y is 1 where an element is kept, with that probability, else 0. The bits depend on the i64
 * numbers seed and offset, which lie in memory, and on the element's place. */
void cudnn_draw(cudnn_graph *g, cudnn_tensor y, double kept, cudnn_tensor seed,
                cudnn_tensor offset);
/* The same elements with y's sizes and strides. */
void cudnn_reshape(cudnn_graph *g, cudnn_tensor y, cudnn_tensor x);

/* Finds a plan whose bits do not change from run to run. `what` names the graph in a message. */
int cudnn_plan_make(cudnn_graph *g, const cudnn_target *target, const char *what);
/* Queues the plan: addresses of all named tensors, device memory for its workspace. */
int cudnn_plan_run(const cudnn_graph *g, cudnnHandle_t handle, const int64_t *names,
                   void *const *addresses, int count, void *workspace, const char *what);
void cudnn_graph_free(cudnn_graph *g);

#endif
