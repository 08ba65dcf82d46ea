/* attention.cu: self-attention within each sample of a packed batch (attention.c has the formulas),
 * any length, heads of at most 128 columns. Where FSAM_ATTENTION says so, cuDNN does it
 * (vendor/cudnn_attention.cu).
 *
 * Forward, a block has 64 queries of a head and goes through the keys by tiles, keeping the
 * largest score and the sum so far (online softmax, Milakov & Gimelshein 2018; Dao et al. 2022).
 * Backward computes P again from lse, in one launch with two kinds of block: one has 64 queries and
 * sums their dq over the keys, the other has 64 keys and sums their dk and dv over the queries. So
 * scores are computed twice, but each sum has one owner: no atomics, the same bits always. The
 * second kind works on the transpose of everything.
 *
 * At the lengths of sentences it is bound by launching and by latency: a block loads its few tiles
 * into shared memory once. A warp has 16 rows; columns beyond the sample are skipped, 8 at a time.
 * bf16 goes through the matrix unit, f32 through plain multiplications (tiles.cuh). Dropout is
 * drawn once per tile, as bits in shared memory. */
#include "kernels/cuda/drop.cuh"
#include "kernels/cuda/samples.cuh"
#include "kernels/vendor/cudnn_attention.cuh"
#include "kernels/cuda/tiles.cuh"

enum { WARPS = 4, THREADS = WARPS * WARP, ROWS = WARPS * WARP_ROWS, MAX_HEAD = 128 };

/* Columns of a tile: fewer for wide heads and in f32, whose sums and loops need more registers. */
template <typename T, int D>
struct tile_columns {
  static constexpr int count = D > 64 || sizeof(T) == 4 ? 32 : 64;
};

struct task {
  fsam_batch batch;
  drop_site site;
  int heads, d; /* d columns of a head */
  float scale;  /* 1 / sqrt(d) */
  bool wide;
};

/* Writes zeros to the rows of the tail, unless t is added to. All blocks of the grid's extra sample
 * share the rows (by y) and the columns (by x). */
template <typename T>
__device__ __forceinline__ void clear_tail(const matrix<T> &t, int64_t columns, const task &a) {
  const int64_t first = a.batch.starts[a.batch.samples] + blockIdx.y, rows = a.batch.tokens;
  if (t.add || first < 0) return;
  const int64_t step = (int64_t)gridDim.x * THREADS;
  for (int64_t row = first; row < rows; row += gridDim.y)
    for (int64_t c = (int64_t)blockIdx.x * THREADS + threadIdx.x; c < columns; c += step)
      *t.at(row, c) = from_float<T>(0);
}

/* -- dropout of one tile ----------------------------------------------------------------------- */

/* kept[queries][keys / 8]: a bit for each element that is not dropped. Octets beyond the sample's n
 * queries and keys are not drawn. */
__device__ __forceinline__ void draw_tile(uint8_t *kept, const task &a, int sample, int head,
                                          int query, int queries, int key, int keys, int n) {
  const drop_site site = drop_site_in(a.site, &a.batch);
  if (!site.threshold) return;
  const uint32_t ordinal = (uint32_t)a.batch.ordinals[sample];
  for (int i = (int)threadIdx.x; i < queries * keys / OCTET; i += THREADS) {
    const int row = query + i / (keys / OCTET), octet = key / OCTET + i % (keys / OCTET);
    if (row < n && octet * OCTET < n)
      kept[i] =
          (uint8_t)kept_octet(site, ordinal, (uint32_t)row, (uint32_t)head << 16 | (uint32_t)octet);
  }
}

/* Is the element not dropped? `keys` is the width of the tile. */
__device__ __forceinline__ bool is_kept(const uint8_t *kept, const task &a, int query, int key,
                                        int keys) {
  return !a.site.threshold || (kept[query * (keys / OCTET) + key / OCTET] >> key % OCTET & 1);
}

/* -- forward ----------------------------------------------------------------------------------- */

template <typename T>
struct forward_arguments {
  task a;
  matrix<T> out;
  matrix<float> lse;
  matrix<const T> qkv;
  int32_t *fault;
};

template <typename T, int D>
struct forward_memory {
  static constexpr int columns = tile_columns<T, D>::count, stride = tile_row<T, D>::stride;
  static constexpr size_t bytes =
      (ROWS + 2 * columns) * stride * sizeof(T) + ROWS * columns / OCTET;
};

/* A warp's sums so far; each lane has two rows. */
template <int D>
struct softmax_state {
  fragment out[D / 8];
  float top[2], total[2]; /* total: the lane's own columns */
};

/* One update of the online softmax: scores s of a tile become dropout(e^(s - top)), and the sums so
 * far are scaled to the new largest score, top. */
template <int D, int N>
__device__ __forceinline__ void softmax_update(fragment (&s)[N], softmax_state<D> &state,
                                               const task &a, const uint8_t *kept, int warp_row,
                                               int live) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    float top = -INFINITY;
#pragma unroll
    for (int j = 0; j < N; j++)
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; i++) {
        const bool is_key = 8 * j + fragment_column(i) < live;
        s[j].v[i] = is_key ? s[j].v[i] * a.scale : -INFINITY;
        top = fmaxf(top, s[j].v[i]);
      }
    top = fmaxf(state.top[half], row_max(top));
    const float factor = expf(state.top[half] - top);
    state.top[half] = top;
    state.total[half] *= factor;
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; i++) state.out[j].v[i] *= factor;
#pragma unroll
    for (int j = 0; j < N; j++)
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; i++) {
        const int key = 8 * j + fragment_column(i);
        const float p = key < live ? expf(s[j].v[i] - top) : 0;
        state.total[half] += p;
        s[j].v[i] = key < live && is_kept(kept, a, warp_row + fragment_row(i), key, 8 * N) ? p : 0;
      }
  }
}

/* Block (tile of queries, head, sample). The grid has one extra sample, whose blocks zero the tail.
 */
template <typename T, int D>
static __global__ void __launch_bounds__(THREADS, 3) attention_forward_k(forward_arguments<T> f) {
  FSAM_DYNAMIC_SHARED(memory);
  constexpr int COLUMNS = tile_columns<T, D>::count, STRIDE = tile_row<T, D>::stride;
  T *q = (T *)memory, *k = q + ROWS * STRIDE, *v = k + COLUMNS * STRIDE;
  uint8_t *kept = (uint8_t *)(v + COLUMNS * STRIDE);
  const task &a = f.a;
  const int sample = (int)blockIdx.z, head = (int)blockIdx.y, first = (int)blockIdx.x * ROWS;
  const int64_t hidden = (int64_t)a.heads * a.d, column = (int64_t)head * a.d;
  if (sample == a.batch.samples) {
    clear_tail(f.out, hidden, a);
    clear_tail(f.lse, a.heads, a);
    return;
  }
  const row_range s = rows_of_sample(a.batch, sample, f.fault);
  if (first >= s.n) return;
  const int warp_row = warp_id() * WARP_ROWS, rows = s.n - first - warp_row; /* of the warp */
  softmax_state<D> state = {};
  state.top[0] = state.top[1] = -INFINITY;
  load_tile<T, D>(q, ROWS, THREADS, f.qkv, s.start + first, s.n - first, column, a.d, a.wide);
  for (int key = 0; key < s.n; key += COLUMNS) {
    const int live = s.n - key;
    __syncthreads(); /* all warps are done with the tile before */
    load_tile<T, D>(k, COLUMNS, THREADS, f.qkv, s.start + key, live, hidden + column, a.d, a.wide);
    load_tile<T, D>(v, COLUMNS, THREADS, f.qkv, s.start + key, live, 2 * hidden + column, a.d,
                    a.wide);
    draw_tile(kept, a, sample, head, first, ROWS, key, COLUMNS, s.n);
    __syncthreads();
    if (rows <= 0) continue;
    const int blocks = (int)divide_up(live < COLUMNS ? live : COLUMNS, 8);
    fragment p[COLUMNS / 8] = {};
    multiply_transposed<D>(p, q + warp_row * STRIDE, k, blocks);
    softmax_update<D>(p, state, a, kept, warp_row, live);
    multiply<D>(state.out, p, v, blocks);
  }
  if (rows <= 0) return;
  float factor[2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const float total = row_sum(state.total[half]);
    const int row = fragment_row(2 * half);
    factor[half] = a.site.keep / total;
    if (lane_id() % 4 == 0 && row < rows)
      *f.lse.at(s.start + first + warp_row + row, head) = state.top[half] + logf(total);
  }
  store_rows<T, D>(f.out, s.start + first + warp_row, rows, column, a.d, state.out, factor);
}

/* -- backward ---------------------------------------------------------------------------------- */

template <typename T>
struct backward_arguments {
  task a;
  matrix<T> dqkv;
  matrix<const T> dout, out, qkv;
  matrix<const float> lse;
  int32_t *fault;
};

/* x and x2 hold the block's own rows, y and y2 the tile's; lse and delta belong to the queries. */
template <typename T, int D>
struct backward_memory {
  static constexpr int columns = tile_columns<T, D>::count, stride = tile_row<T, D>::stride;
  static constexpr size_t bytes =
      2 * (ROWS + columns) * stride * sizeof(T) + 2 * ROWS * sizeof(float) + ROWS * columns / OCTET;
};

/* lse[i] and delta[i] = the sum of dout · out, for `count` queries of a head from row `first` of
 * the batch on, `live` of them; four lanes to a query. */
template <typename T>
__device__ __forceinline__ void load_terms(float *lse, float *delta, const backward_arguments<T> &b,
                                           int64_t first, int live, int count, int head) {
  const int64_t column = (int64_t)head * b.a.d;
  for (int i = (int)threadIdx.x / 4; i < count; i += THREADS / 4) {
    float sum = 0;
    if (i < live)
      for (int c = lane_id() % 4; c < b.a.d; c += 4)
        sum += to_float(*b.dout.at(first + i, column + c)) *
               to_float(*b.out.at(first + i, column + c));
    sum = row_sum(sum);
    if (lane_id() % 4) continue;
    delta[i] = sum;
    lse[i] = i < live ? *b.lse.at(first + i, head) : 0;
  }
}

/* Scores s and products dp = dout v^T of a tile become dropout(P) (without the factor `keep`) and
 * the gradient of the scores (without the factor 1 / sqrt(d)). OWN_KEYS: rows are keys, columns
 * queries. */
template <bool OWN_KEYS, int N>
__device__ __forceinline__ void softmax_backward(fragment (&s)[N], fragment (&dp)[N], const task &a,
                                                 const float *lse, const float *delta,
                                                 const uint8_t *kept, int warp_row, int rows,
                                                 int columns) {
#pragma unroll
  for (int j = 0; j < N; j++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = fragment_row(i), column = 8 * j + fragment_column(i);
      float p = 0, ds = 0;
      if (row < rows && column < columns) {
        const int query = OWN_KEYS ? column : warp_row + row,
                  key = OWN_KEYS ? warp_row + row : column;
        p = expf(s[j].v[i] * a.scale - lse[query]);
        const bool keep = is_kept(kept, a, query, key, OWN_KEYS ? (int)ROWS : 8 * N);
        ds = p * ((keep ? dp[j].v[i] * a.site.keep : 0) - delta[query]);
        p = keep ? p : 0;
      }
      s[j].v[i] = p;
      dp[j].v[i] = ds;
    }
}

/* The work of one block: dq of its queries, or dk and dv of its keys. */
template <typename T, int D, bool OWN_KEYS>
__device__ __forceinline__ void backward_block(const backward_arguments<T> &b,
                                               unsigned char *memory, int sample, int head,
                                               int first, row_range s) {
  constexpr int COLUMNS = tile_columns<T, D>::count, STRIDE = tile_row<T, D>::stride;
  const task &a = b.a;
  T *x = (T *)memory, *x2 = x + ROWS * STRIDE, *y = x2 + ROWS * STRIDE, *y2 = y + COLUMNS * STRIDE;
  float *lse = (float *)(y2 + COLUMNS * STRIDE), *delta = lse + ROWS;
  uint8_t *kept = (uint8_t *)(delta + ROWS);
  const int64_t hidden = (int64_t)a.heads * a.d, q_at = (int64_t)head * a.d;
  const int64_t k_at = hidden + q_at, v_at = 2 * hidden + q_at;
  const int warp_row = warp_id() * WARP_ROWS, rows = s.n - first - warp_row;
  fragment sum[D / 8] = {}, sum2[OWN_KEYS ? D / 8 : 1] = {};
  /* Queries: x = q, x2 = dout, y = k, y2 = v. Keys: x = k, x2 = v, y = q, y2 = dout. */
  load_tile<T, D>(x, ROWS, THREADS, b.qkv, s.start + first, s.n - first, OWN_KEYS ? k_at : q_at,
                  a.d, a.wide);
  load_tile<T, D>(x2, ROWS, THREADS, OWN_KEYS ? b.qkv : b.dout, s.start + first, s.n - first,
                  OWN_KEYS ? v_at : q_at, a.d, a.wide);
  if (!OWN_KEYS) load_terms(lse, delta, b, s.start + first, s.n - first, ROWS, head);
  for (int at = 0; at < s.n; at += COLUMNS) {
    const int live = s.n - at;
    __syncthreads(); /* all warps are done with the tile before */
    load_tile<T, D>(y, COLUMNS, THREADS, b.qkv, s.start + at, live, OWN_KEYS ? q_at : k_at, a.d,
                    a.wide);
    load_tile<T, D>(y2, COLUMNS, THREADS, OWN_KEYS ? b.dout : b.qkv, s.start + at, live,
                    OWN_KEYS ? q_at : v_at, a.d, a.wide);
    if (OWN_KEYS) {
      load_terms(lse, delta, b, s.start + at, live, COLUMNS, head);
      draw_tile(kept, a, sample, head, at, COLUMNS, first, ROWS, s.n);
    } else {
      draw_tile(kept, a, sample, head, first, ROWS, at, COLUMNS, s.n);
    }
    __syncthreads();
    if (rows <= 0) continue;
    const int blocks = (int)divide_up(live < COLUMNS ? live : COLUMNS, 8);
    fragment p[COLUMNS / 8] = {}, dp[COLUMNS / 8] = {};
    multiply_transposed<D>(p, x + warp_row * STRIDE, y, blocks);
    multiply_transposed<D>(dp, x2 + warp_row * STRIDE, y2, blocks);
    softmax_backward<OWN_KEYS>(p, dp, a, lse, delta, kept, warp_row, rows, live);
    multiply<D>(sum, dp, y, blocks);
    if constexpr (OWN_KEYS) multiply<D>(sum2, p, y2, blocks);
  }
  if (rows <= 0) return;
  const float scale[2] = {a.scale, a.scale}, keep[2] = {a.site.keep, a.site.keep};
  const int64_t row = s.start + first + warp_row;
  store_rows<T, D>(b.dqkv, row, rows, OWN_KEYS ? k_at : q_at, a.d, sum, scale);
  if constexpr (OWN_KEYS) store_rows<T, D>(b.dqkv, row, rows, v_at, a.d, sum2, keep);
}

/* Block (tile of queries or, in the second half, of keys; head; sample). The grid has one extra
 * sample, whose blocks zero the tail. */
template <typename T, int D>
static __global__ void __launch_bounds__(THREADS) attention_backward_k(backward_arguments<T> b) {
  FSAM_DYNAMIC_SHARED(memory);
  const int sample = (int)blockIdx.z, tiles = (int)gridDim.x / 2, tile = (int)blockIdx.x % tiles;
  if (sample == b.a.batch.samples) {
    clear_tail(b.dqkv, 3 * (int64_t)b.a.heads * b.a.d, b.a);
    return;
  }
  const row_range s = rows_of_sample(b.a.batch, sample, b.fault);
  if (tile * ROWS >= s.n) return;
  if ((int)blockIdx.x < tiles)
    backward_block<T, D, false>(b, memory, sample, (int)blockIdx.y, tile * ROWS, s);
  else
    backward_block<T, D, true>(b, memory, sample, (int)blockIdx.y, tile * ROWS, s);
}

/* -- launching --------------------------------------------------------------------------------- */

static task task_of(const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                    const fsam_dropout *dropout) {
  const int d = (int)(qkv->shape[1] / (3 * heads));
  return {*batch, drop_site_of(dropout), heads, d, (float)(1 / sqrt((double)d)), false};
}

/* Do the octets of each head start at multiples of 16 bytes, in all of these tensors? */
template <typename... A>
static bool heads_wide(const task &a, const fsam_tensor *t, A... rest) {
  return a.d * fsam__dtype_bytes(t->dtype) % 16 == 0 && is_wide(t, rest...);
}

static int check_head(const char *op, const task &a) {
  if (a.d <= MAX_HEAD) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL, "%s: heads of %d columns, on cuda at most %d", op, a.d,
                    (int)MAX_HEAD);
}

/* Tiles of the longest sample; at least one, so that there are blocks to zero the tail. */
static unsigned tiles_of(const fsam_batch *batch) {
  return batch->longest ? (unsigned)divide_up(batch->longest, ROWS) : 1;
}

template <typename T, int D>
static int forward(const fsam_device *device, const forward_arguments<T> &f) {
  const dim3 grid(tiles_of(&f.a.batch), (unsigned)f.a.heads, (unsigned)f.a.batch.samples + 1);
  return FSAM_LAUNCH(device, (attention_forward_k<T, D>), grid, THREADS,
                     (forward_memory<T, D>::bytes), f);
}

template <typename T>
static int forward(fsam_tensor *out, fsam_tensor *lse, const fsam_tensor *qkv, task a) {
  fsam_device *device = fsam__device_of(out);
  a.wide = heads_wide(a, qkv, out);
  const forward_arguments<T> f = {a, matrix_of<T>(out), matrix_of<float>(lse),
                                  matrix_of<const T>(qkv), device->fault};
  if (a.d <= 32) return forward<T, 32>(device, f);
  return a.d <= 64 ? forward<T, 64>(device, f) : forward<T, 128>(device, f);
}

int attention_forward_cuda(fsam_tensor *out, fsam_tensor *lse, const fsam_tensor *qkv, int heads,
                           const fsam_batch *batch, const fsam_dropout *dropout) {
  const task a = task_of(qkv, heads, batch, dropout);
  const int done = fsam__cudnn_attention_forward(out, lse, qkv, heads, batch, dropout);
  if (done) return done < 0 ? done : FSAM_OK;
  FSAM_TRY(check_head("attention_forward", a));
  return qkv->dtype == FSAM_BF16 ? forward<bf16>(out, lse, qkv, a)
                                 : forward<float>(out, lse, qkv, a);
}

template <typename T, int D>
static int backward(const fsam_device *device, const backward_arguments<T> &b) {
  const dim3 grid(2 * tiles_of(&b.a.batch), (unsigned)b.a.heads, (unsigned)b.a.batch.samples + 1);
  return FSAM_LAUNCH(device, (attention_backward_k<T, D>), grid, THREADS,
                     (backward_memory<T, D>::bytes), b);
}

template <typename T>
static int backward(fsam_tensor *dqkv, const fsam_tensor *dout, const fsam_tensor *out,
                    const fsam_tensor *lse, const fsam_tensor *qkv, task a) {
  fsam_device *device = fsam__device_of(dqkv);
  a.wide = heads_wide(a, qkv, dout);
  const backward_arguments<T> b = {a,
                                   matrix_of<T>(dqkv),
                                   matrix_of<const T>(dout),
                                   matrix_of<const T>(out),
                                   matrix_of<const T>(qkv),
                                   matrix_of<const float>(lse),
                                   device->fault};
  if (a.d <= 32) return backward<T, 32>(device, b);
  return a.d <= 64 ? backward<T, 64>(device, b) : backward<T, 128>(device, b);
}

int attention_backward_cuda(fsam_tensor *dqkv, const fsam_tensor *dout, const fsam_tensor *out,
                            const fsam_tensor *lse, const fsam_tensor *qkv, int heads,
                            const fsam_batch *batch, const fsam_dropout *dropout) {
  const task a = task_of(qkv, heads, batch, dropout);
  const int done = fsam__cudnn_attention_backward(dqkv, dout, out, lse, qkv, heads, batch, dropout);
  if (done) return done < 0 ? done : FSAM_OK;
  FSAM_TRY(check_head("attention_backward", a));
  return qkv->dtype == FSAM_BF16 ? backward<bf16>(dqkv, dout, out, lse, qkv, a)
                                 : backward<float>(dqkv, dout, out, lse, qkv, a);
}

int device_check_cuda(fsam_device *) { return fsam__cudnn_attention_check(); }
