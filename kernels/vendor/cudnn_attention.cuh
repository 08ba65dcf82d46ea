/* cudnn_attention.cuh: attention by cuDNN (scaled dot-product attention). The first half is the
 * work asked of cuDNN: cudnn_attention_cuda.c hands it over, and spec/simt/cudnn_attention.cpp
 * implements it in plain loops, so that cudnn_attention.cu runs without a GPU. The rest is what
 * attention.cu uses: calls by cuDNN, and the choice between these and our own kernels. */
#ifndef FSAM_CUDNN_ATTENTION_CUH
#define FSAM_CUDNN_ATTENTION_CUH

#include <stdbool.h>

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
  int32_t threshold; /* of dropout, in 65536ths; 0: nothing is dropped */
  int32_t backward;
} cudnn_attention_kind;

/* The share of elements that dropout keeps. */
static inline double cudnn_attention_kept(const cudnn_attention_kind *kind) {
  return (65536 - kind->threshold) / 65536.0;
}

/* Rows of cuDNN's tiles. Its kernels for Hopper give NaN where `longest` is an odd number of half
 * tiles. */
enum { CUDNN_TILE = 128, CUDNN_MAX_HEAD = 128 };

/* Forward: out, lse from qkv. Backward: dqkv from dout, out, lse, qkv. Sample b has the
 * lengths[b] > 0 rows from row s on, where qkv_starts[b] = 3 H s, out_starts[b] = H s and
 * lse_starts[b] = heads s; the last of the samples + 1 starts are where the tensors end. All bf16
 * but lse (f32), rows without gaps, 16-byte aligned; bf16 [T,3H] and [T,H], lse [T,heads]. Rows of
 * no sample are not written. Samples may be copies of each other: then they write the same
 * bits to the same place, unless there is dropout, whose bits depend on a sample's number. With
 * dropout they are drawn by *seed and *offset: backward needs the two of its forward. */
typedef struct cudnn_attention {
  cudnn_attention_kind kind;
  const int32_t *lengths;
  const int64_t *qkv_starts, *out_starts, *lse_starts;
  const int64_t *seed, *offset;
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

/* The library's version, such as 91900, once it is open. */
int fsam__cudnn_attention_version(void);

/* -- a call of attention ----------------------------------------------------------------------- */

/* The arguments of attention_forward or attention_backward (fsam.h). */
typedef struct attention_call {
  fsam_tensor *out, *lse, *kept; /* backward reads them */
  fsam_tensor *dqkv;             /* NULL: forward */
  const fsam_tensor *dout, *qkv;
  int heads;
  const fsam_batch *batch;
  const fsam_dropout *dropout;
} attention_call;

/* What does a call's work; 0 or a negative code. */
typedef int attention_way(const attention_call *c);

/* By cuDNN (cudnn_attention.cu), where it can do what our kernels do. */
bool fsam__cudnn_attention_can(const attention_call *c);
attention_way fsam__cudnn_attention;
/* How plans are counted: of a call's samples and longest sample. */
cudnn_attention_kind fsam__cudnn_attention_kind(const attention_call *c);

/* -- who does it (cudnn_choice_cuda.c) --------------------------------------------------------- */

/* Does the work by our kernels or by cuDNN. */
int fsam__attention_choose(const attention_call *c, attention_way *own);

/* Fails where FSAM_ATTENTION is an unknown word (FSAM_EINVAL), or wants a cuDNN that is absent
 * (FSAM_ENODEV). */
int fsam__attention_check(void);
/* attention_rng_check and attention_library of fsam.h. */
int fsam__attention_rng_check(fsam_device *device, int rng, int dtype, int64_t columns);
int fsam__attention_library(int rng, const char **text);

#ifdef __cplusplus
}
#endif
#endif
