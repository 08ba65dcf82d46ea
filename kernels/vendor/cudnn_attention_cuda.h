/* cudnn_attention_cuda.h: cuDNN's graphs of attention, which cudnn_attention_graph_cuda.c builds
 * and cudnn_attention_cuda.c runs. */
#ifndef FSAM_CUDNN_ATTENTION_CUDA_H
#define FSAM_CUDNN_ATTENTION_CUDA_H

#include "kernels/vendor/cudnn_cuda.h"
#include "kernels/vendor/cudnn_attention.cuh"

/* Names of the graph's inputs and outputs. */
enum {
  ATTENTION_Q = 1,
  ATTENTION_K,
  ATTENTION_V,
  ATTENTION_OUT,
  ATTENTION_LSE,
  ATTENTION_LENGTHS,
  ATTENTION_QKV_STARTS,
  ATTENTION_OUT_STARTS,
  ATTENTION_LSE_STARTS,
  ATTENTION_SCALE,  /* 1 / sqrt(d) */
  ATTENTION_HIDDEN, /* -infinity: the score where a sample has no key */
  /* With dropout: numbers that it is drawn by, and 1 / the share of elements that stay. */
  ATTENTION_SEED,
  ATTENTION_OFFSET,
  ATTENTION_FACTOR,
  /* Backward has these, too. */
  ATTENTION_DOUT,
  ATTENTION_DQ,
  ATTENTION_DK,
  ATTENTION_DV,
  ATTENTION_KEPT, /* the share of elements that stay */
  ATTENTION_DELTA /* [samples, heads, longest] f32, scratch: the sum over a row of dout · out */
};

/* Adds the operations of one direction to an empty graph. */
void cudnn_attention_graph(cudnn_graph *g, const cudnn_attention_kind *kind);

#endif
