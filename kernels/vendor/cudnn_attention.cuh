/* cudnn_attention.cuh: attention by cuDNN (scaled dot-product attention). The first half is the
 * work asked of cuDNN: cudnn_attention_cuda.c hands it over, and spec/simt/cudnn_attention.cpp
 * implements it in plain loops, so that cudnn_attention.cu runs without a GPU. The second half is
 * what cudnn_attention.cu offers to attention.cu. */
#ifndef FSAM_CUDNN_ATTENTION_CUH
#define FSAM_CUDNN_ATTENTION_CUH

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The key of a plan. A cache compares its bytes: no padding. It has no number of tokens, because
 * only the device knows where samples lie. */
typedef struct cudnn_attention_kind {
  int32_t samples;
  int32_t longest; /* a multiple of CUDNN_TILE: no sample is longer */
  int32_t heads, d;
  int32_t backward;
} cudnn_attention_kind;

/* Rows of cuDNN's tiles. Its kernels for Hopper give NaN where `longest` is an odd number of half
 * tiles. */
enum { CUDNN_TILE = 128, CUDNN_MAX_HEAD = 128 };

/* Forward: out, lse from qkv. Backward: dqkv from dout, out, lse, qkv. Sample b has the
 * lengths[b] > 0 rows from row s on, where qkv_starts[b] = 3 H s, out_starts[b] = H s and
 * lse_starts[b] = heads s; the last of the samples + 1 starts are where the tensors end. All bf16
 * but lse (f32), rows without gaps, 16-byte aligned; bf16 [T,3H] and [T,H], lse [T,heads]. Rows of
 * no sample are not written. Samples may be copies of each other: then they write the same
 * bits to the same place. */
typedef struct cudnn_attention {
  cudnn_attention_kind kind;
  const int32_t *lengths;
  const int64_t *qkv_starts, *out_starts, *lse_starts;
  const void *qkv, *dout;
  void *out, *dqkv;
  float *lse;
} cudnn_attention;

/* Fails where the library is absent (FSAM_ENODEV); the message says what to do. */
int fsam__cudnn_attention_open(void);

/* The bytes of workspace that this kind needs, a multiple of 256. The first call for a kind makes
 * its plan, which takes up to a second and must not happen while a graph is recorded. */
int fsam__cudnn_attention_plan(size_t *bytes, fsam_device *device,
                               const cudnn_attention_kind *kind);

/* Queues it; `workspace` is device memory of that size. */
int fsam__cudnn_attention_run(fsam_device *device, const cudnn_attention *a, void *workspace);

/* -- what cudnn_attention.cu offers ------------------------------------------------------------ */

/* Fails where FSAM_ATTENTION is an unknown word (FSAM_EINVAL) or cuDNN is absent (FSAM_ENODEV). */
int fsam__cudnn_attention_check(void);

/* attention_forward and attention_backward by cuDNN: 1 when done, 0 when our own kernels must do
 * it, negative on failure. */
int fsam__cudnn_attention_forward(fsam_tensor *out, fsam_tensor *lse, const fsam_tensor *qkv,
                                  int heads, const fsam_batch *batch, const fsam_dropout *dropout);
int fsam__cudnn_attention_backward(fsam_tensor *dqkv, const fsam_tensor *dout,
                                   const fsam_tensor *out, const fsam_tensor *lse,
                                   const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                                   const fsam_dropout *dropout);

#ifdef __cplusplus
}
#endif
#endif
