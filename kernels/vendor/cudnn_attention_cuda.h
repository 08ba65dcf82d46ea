/* cudnn_attention_cuda.h: the graphs of attention that sdpa_graph_cuda.c builds and sdpa_cuda.c
 * runs. */
#ifndef FSAM_SDPA_CUDA_H
#define FSAM_SDPA_CUDA_H

#include "kernels/vendor/cudnn_cuda.h"
#include "kernels/vendor/cudnn_attention.cuh"

/* Names of the tensors that go in and out. */
enum {
  SDPA_Q = 1,
  SDPA_K,
  SDPA_V,
  SDPA_OUT,
  SDPA_LSE,
  SDPA_LENGTHS,
  SDPA_QKV_STARTS,
  SDPA_OUT_STARTS,
  SDPA_LSE_STARTS,
  SDPA_SCALE,  /* 1 / sqrt(d) */
  SDPA_HIDDEN, /* -infinity: the score of what is no key */
  /* Backward has these, too. */
  SDPA_DOUT,
  SDPA_DQ,
  SDPA_DK,
  SDPA_DV,
  SDPA_ONE,
  SDPA_DELTA /* [samples, heads, longest] f32: scratch, sums over a row of dout out */
};

/* Adds the operations of one direction to an empty graph. */
void sdpa_graph_build(cudnn_graph *g, const fsam_sdpa_kind *kind);

#endif
