/* cudnn_attention.cu: a call of attention by cuDNN, where it can do what our kernels do: bf16, no
 * dropout of ours, heads of a multiple of 8 and at most 128 columns, rows without gaps, nothing to
 * add to. Both keep the same lse, so that one may do forward and the other backward. When cuDNN is
 * asked for: cudnn_choice_cuda.c.
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
 * cuDNN's dropout goes by a sample's number, so that there a copy of a sample would write other
 * bits: only the tail can hold stand-ins, and a batch without one may lack no sample. It is drawn
 * by two numbers that the first kernel makes, with Philox, from what ours is keyed by: seed, step,
 * site and draw of the pass, and the ordinal of the batch's first sample, by which the batches of a
 * step differ. They lie in memory, so that a recorded pass draws anew each time.
 *
 * Both kernels of this file are bound by launching. */
#include "kernels/cuda/drop.cuh"
#include "kernels/cuda/samples.cuh"
#include "kernels/vendor/cudnn_attention.cuh"

enum { THREADS = 128, CLEARING = 64 /* blocks that fill the tail */ };

/* -- what cuDNN is asked for ------------------------------------------------------------------- */

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

static int columns_of(const attention_call *c) { return (int)(c->qkv->shape[1] / (3 * c->heads)); }

/* Of dropout that cuDNN draws. */
static int32_t threshold_of(const attention_call *c) {
  const bool draws = c->dropout && c->dropout->rng == FSAM_RNG_CUDNN;
  return draws ? (int32_t)drop_site_of(c->dropout).threshold : 0;
}

cudnn_attention_kind fsam__cudnn_attention_kind(const attention_call *c) {
  const int32_t longest = c->batch->longest > 0 ? c->batch->longest : 1;
  return {rounded_samples(c->batch->samples),
          (int32_t)(CUDNN_TILE * divide_up(longest, CUDNN_TILE)),
          c->heads,
          columns_of(c),
          threshold_of(c),
          c->dqkv != NULL};
}

bool fsam__cudnn_attention_can(const attention_call *c) {
  const int d = columns_of(c);
  return c->qkv->dtype == FSAM_BF16 && d % 8 == 0 && d <= CUDNN_MAX_HEAD && c->batch->samples > 0 &&
         c->batch->tokens > 0 && (int32_t)drop_site_of(c->dropout).threshold == threshold_of(c) &&
         is_dense(c->out, c->lse, c->qkv) &&
         (c->dqkv ? is_dense(c->dqkv, c->dout) && !c->dqkv->filled
                  : !c->out->filled && !c->lse->filled);
}

/* -- before: lengths and starts ---------------------------------------------------------------- */

/* The rows that cuDNN gets for sample b: at least one. With dropout, none that another has. */
__device__ __forceinline__ row_range stand_in(const fsam_batch &batch, int b, bool dropout,
                                              int32_t *fault) {
  const int samples = batch.samples, end = batch.starts[samples];
  const row_range own = b < samples ? rows_of_sample(batch, b, fault) : row_range{end, 0};
  if (own.n > 0) return own;
  if (own.start == end && end >= 0 && end < batch.tokens) return {end, 1};
  if (dropout) *fault = FAULT_NO_TAIL;
  for (int i = b < samples ? b - 1 : samples - 1; i >= 0; i--) {
    const row_range other = rows_of_sample(batch, i, fault);
    if (other.n > 0) return {other.start, dropout ? 1 : other.n};
  }
  for (int i = b + 1; i < samples; i++) {
    const row_range other = rows_of_sample(batch, i, fault);
    if (other.n > 0) return {other.start, dropout ? 1 : other.n};
  }
  return {0, 1}; /* only where the batch contradicts itself */
}

struct places {
  int32_t *lengths;                              /* [count] */
  int64_t *qkv_starts, *out_starts, *lse_starts; /* [count+1] */
  int64_t *drawn_by;                             /* the seed, and the offset at OFFSET */
};

enum { OFFSET = 2 }; /* cuDNN's tensors begin at multiples of 16 bytes */

/* The numbers that cuDNN draws by: two words that no element of ours has, for its counter's row
 * would be the last of 2^32. */
__device__ __forceinline__ void draw_by(int64_t *to, const drop_site &d, const fsam_batch &batch) {
  uint32_t c[4] = {d.site, batch.ordinals ? (uint32_t)batch.ordinals[0] : 0, ~0u, ~0u};
  philox4x32(c, d.seed, d.step);
  to[0] = (int64_t)((uint64_t)(c[1] >> 1) << 32 | c[0]);
  to[OFFSET] = (int64_t)(c[2] >> 4) * 4; /* it counts elements, four for each of its counters */
}

/* One block. */
static __global__ void __launch_bounds__(THREADS)
    cudnn_prepare_k(places to, fsam_batch batch, int count, int64_t heads, int64_t hidden,
                    drop_site dropout, int32_t *fault) {
  const drop_site site = drop_site_in(dropout, &batch);
  if (site.threshold && threadIdx.x == 0) draw_by(to.drawn_by, site, batch);
  for (int b = (int)threadIdx.x; b <= count; b += THREADS) {
    const row_range s =
        b < count ? stand_in(batch, b, site.threshold, fault) : row_range{batch.tokens, 0};
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

/* -- a call ------------------------------------------------------------------------------------ */

int fsam__cudnn_attention(const attention_call *c) {
  fsam_device *device = fsam__device_of(c->qkv);
  const fsam_batch *batch = c->batch;
  cudnn_attention a = {};
  a.kind = fsam__cudnn_attention_kind(c);
  a.qkv = c->qkv->data;
  a.out = c->out->data;
  a.lse = (float *)c->lse->data;
  a.dout = c->dqkv ? c->dout->data : NULL;
  a.dqkv = c->dqkv ? c->dqkv->data : NULL;
  /* Lengths, starts and what dropout is drawn by lie behind the plan's own workspace. */
  size_t bytes = 0;
  const size_t list = 256 * (size_t)divide_up((a.kind.samples + 1) * (int64_t)sizeof(int64_t), 256);
  void *workspace;
  FSAM_TRY(fsam__cudnn_attention_plan(&bytes, device, &a.kind));
  bytes = 256 * (size_t)divide_up((int64_t)bytes, 256);
  FSAM_TRY(fsam__workspace(&workspace, device, bytes + 4 * list + 256));
  char *lists = (char *)workspace + bytes;
  const places to = {(int32_t *)lists, (int64_t *)(lists + list), (int64_t *)(lists + 2 * list),
                     (int64_t *)(lists + 3 * list), (int64_t *)(lists + 4 * list)};
  FSAM_TRY(FSAM_LAUNCH(device, cudnn_prepare_k, dim3(1), THREADS, 0, to, *batch, a.kind.samples,
                       (int64_t)a.kind.heads, (int64_t)a.kind.heads * a.kind.d,
                       a.kind.threshold ? drop_site_of(c->dropout) : drop_site{}, device->fault));
  a.lengths = to.lengths;
  a.qkv_starts = to.qkv_starts;
  a.out_starts = to.out_starts;
  a.lse_starts = to.lse_starts;
  a.seed = to.drawn_by;
  a.offset = to.drawn_by + OFFSET;
  FSAM_TRY(fsam__cudnn_attention_run(device, &a, workspace));
  return c->dqkv ? clear_tail(device, c->dqkv, NULL, batch)
                 : clear_tail(device, c->out, c->lse, batch);
}
