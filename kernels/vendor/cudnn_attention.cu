/* cudnn_attention.cu: attention by cuDNN, where FSAM_ATTENTION=cudnn asks for it and cuDNN can do
 * what our kernels do: bf16, no dropout, heads of a multiple of 8 and at most 128 columns, rows
 * without gaps, nothing to add to. attention.cu does all else. Both keep the same lse, so that one
 * may do forward and the other backward.
 *
 * A plan belongs to one number of samples and one length, and takes long to make: the host rounds
 * both up. cuDNN must not see samples without rows, neither empty ones nor those that rounding
 * adds: before 9.25 it gives NaN for them. In place of each it gets a stand-in:
 *  - behind the last sample with rows, if the batch has a tail: the tail's first row, alone;
 *  - else: the nearest sample with rows before it (or, if there is none, after it), whole. cuDNN
 * then computes that sample once more and writes the same bits to the same place: it stores each
 *    result once, and its scratch memory goes by samples, not by rows.
 * So starts never descend, and no sample is empty. Afterwards a second kernel fills the tail with
 * zeros: cuDNN does not write it, or wrote a stand-in there.
 *
 * Both kernels of this file are bound by launching. */
#include "kernels/cuda/drop.cuh"
#include "kernels/cuda/samples.cuh"
#include "kernels/vendor/cudnn_attention.cuh"

#include <stdlib.h>

enum { THREADS = 128, CLEARING = 64 /* blocks that fill the tail */ };

/* -- what cuDNN is asked for ------------------------------------------------------------------- */

static bool is_asked_for() {
  const char *value = getenv("FSAM_ATTENTION");
  return value && *value;
}

int fsam__cudnn_attention_check(void) {
  if (!is_asked_for()) return FSAM_OK;
  const char *value = getenv("FSAM_ATTENTION");
  if (strcmp(value, "cudnn") != 0)
    return fsam__fail(FSAM_EINVAL,
                      "attention: FSAM_ATTENTION=%.40s is unknown; make it cudnn, or unset it",
                      value);
  return fsam__cudnn_attention_open();
}

static bool is_dense(const fsam_tensor *t) {
  return t->row_stride == t->shape[1] && (uintptr_t)t->data % 16 == 0;
}
template <typename... A>
static bool is_dense(const fsam_tensor *t, A... rest) {
  return is_dense(t) && is_dense(rest...);
}

/* Rounds up to one of few numbers: 1, 2, 4, 8, then steps of an eighth. */
static int32_t rounded_samples(int32_t samples) {
  int32_t n = 1;
  while (n < samples && n < 8) n *= 2;
  return n < samples ? (int32_t)(8 * divide_up(samples, 8)) : n;
}

static cudnn_attention_kind kind_of(const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                                    bool backward) {
  const int32_t longest = batch->longest > 0 ? batch->longest : 1;
  return {rounded_samples(batch->samples), (int32_t)(CUDNN_TILE * divide_up(longest, CUDNN_TILE)),
          heads, (int32_t)(qkv->shape[1] / (3 * heads)), backward};
}

static bool can(const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                const fsam_dropout *dropout) {
  const int64_t d = qkv->shape[1] / (3 * heads);
  return qkv->dtype == FSAM_BF16 && d % 8 == 0 && d <= CUDNN_MAX_HEAD && batch->samples > 0 &&
         batch->tokens > 0 && drop_site_of(dropout).threshold == 0;
}

/* -- before: lengths and starts ---------------------------------------------------------------- */

/* The rows that cuDNN gets for sample b: at least one. */
__device__ __forceinline__ row_range stand_in(const fsam_batch &batch, int b, int32_t *fault) {
  const int samples = batch.samples, end = batch.starts[samples];
  const row_range own = b < samples ? rows_of_sample(batch, b, fault) : row_range{end, 0};
  if (own.n > 0) return own;
  if (own.start == end && end >= 0 && end < batch.tokens) return {end, 1};
  for (int i = b < samples ? b - 1 : samples - 1; i >= 0; i--) {
    const row_range other = rows_of_sample(batch, i, fault);
    if (other.n > 0) return other;
  }
  for (int i = b + 1; i < samples; i++) {
    const row_range other = rows_of_sample(batch, i, fault);
    if (other.n > 0) return other;
  }
  return {0, 1}; /* only where the batch contradicts itself */
}

struct places {
  int32_t *lengths;                              /* [count] */
  int64_t *qkv_starts, *out_starts, *lse_starts; /* [count+1] */
};

/* One block. */
static __global__ void __launch_bounds__(THREADS)
    cudnn_prepare_k(places to, fsam_batch batch, int count, int64_t heads, int64_t hidden,
                    int32_t *fault) {
  for (int b = (int)threadIdx.x; b <= count; b += THREADS) {
    const row_range s = b < count ? stand_in(batch, b, fault) : row_range{batch.tokens, 0};
    if (b < count) to.lengths[b] = s.n;
    to.qkv_starts[b] = 3 * hidden * s.start;
    to.out_starts[b] = hidden * s.start;
    to.lse_starts[b] = heads * s.start;
  }
}

/* -- after: the tail --------------------------------------------------------------------------- */

template <typename T>
__device__ __forceinline__ void clear_rows(const matrix<T> &t, int64_t columns, int64_t first,
                                           int64_t rows) {
  if (!t.data) return;
  for (int64_t row = first + blockIdx.x; row < rows; row += gridDim.x)
    for (int64_t c = threadIdx.x; c < columns; c += THREADS) *t.at(row, c) = from_float<T>(0);
}

/* Zeros in the tail of a, and of b unless its data is NULL. */
static __global__ void __launch_bounds__(THREADS)
    cudnn_clear_k(matrix<bf16> a, int64_t a_columns, matrix<float> b, int64_t b_columns,
                  fsam_batch batch) {
  const int64_t first = batch.starts[batch.samples];
  if (first < 0) return;
  clear_rows(a, a_columns, first, batch.tokens);
  clear_rows(b, b_columns, first, batch.tokens);
}

static int clear_tail(const fsam_device *device, const fsam_tensor *a, const fsam_tensor *b,
                      const fsam_batch *batch) {
  return FSAM_LAUNCH(device, cudnn_clear_k, dim3(CLEARING), THREADS, 0, matrix_of<bf16>(a),
                     a->shape[1], matrix_of<float>(b), b ? b->shape[1] : 0, *batch);
}

/* -- the two directions ------------------------------------------------------------------------ */

/* Writes lengths and starts behind the plan's own workspace, and queues the plan. */
static int run(fsam_device *device, cudnn_attention a, const fsam_batch *batch) {
  size_t bytes = 0;
  const size_t list = 256 * (size_t)divide_up((a.kind.samples + 1) * (int64_t)sizeof(int64_t), 256);
  void *workspace;
  FSAM_TRY(fsam__cudnn_attention_plan(&bytes, device, &a.kind));
  bytes = 256 * (size_t)divide_up((int64_t)bytes, 256);
  FSAM_TRY(fsam__workspace(&workspace, device, bytes + 4 * list));
  char *lists = (char *)workspace + bytes;
  const places to = {(int32_t *)lists, (int64_t *)(lists + list), (int64_t *)(lists + 2 * list),
                     (int64_t *)(lists + 3 * list)};
  FSAM_TRY(FSAM_LAUNCH(device, cudnn_prepare_k, dim3(1), THREADS, 0, to, *batch, a.kind.samples,
                       (int64_t)a.kind.heads, (int64_t)a.kind.heads * a.kind.d, device->fault));
  a.lengths = to.lengths;
  a.qkv_starts = to.qkv_starts;
  a.out_starts = to.out_starts;
  a.lse_starts = to.lse_starts;
  return fsam__cudnn_attention_run(device, &a, workspace);
}

int fsam__cudnn_attention_forward(fsam_tensor *out, fsam_tensor *lse, const fsam_tensor *qkv,
                                  int heads, const fsam_batch *batch, const fsam_dropout *dropout) {
  if (!is_asked_for() || !can(qkv, heads, batch, dropout) || !is_dense(out, lse, qkv) ||
      out->filled || lse->filled)
    return 0;
  FSAM_TRY(fsam__cudnn_attention_check());
  fsam_device *device = fsam__device_of(out);
  cudnn_attention a = {};
  a.kind = kind_of(qkv, heads, batch, false);
  a.qkv = qkv->data;
  a.out = out->data;
  a.lse = (float *)lse->data;
  FSAM_TRY(run(device, a, batch));
  FSAM_TRY(clear_tail(device, out, lse, batch));
  return 1;
}

int fsam__cudnn_attention_backward(fsam_tensor *dqkv, const fsam_tensor *dout,
                                   const fsam_tensor *out, const fsam_tensor *lse,
                                   const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                                   const fsam_dropout *dropout) {
  if (!is_asked_for() || !can(qkv, heads, batch, dropout) || !is_dense(dqkv, dout, out, lse, qkv) ||
      dqkv->filled)
    return 0;
  FSAM_TRY(fsam__cudnn_attention_check());
  fsam_device *device = fsam__device_of(dqkv);
  cudnn_attention a = {};
  a.kind = kind_of(qkv, heads, batch, true);
  a.qkv = qkv->data;
  a.dout = dout->data;
  a.out = out->data;
  a.lse = (float *)lse->data;
  a.dqkv = dqkv->data;
  FSAM_TRY(run(device, a, batch));
  FSAM_TRY(clear_tail(device, dqkv, NULL, batch));
  return 1;
}
