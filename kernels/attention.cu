/* attention.cu: self-attention within each sample of a packed batch (attention.c has the formulas),
 * any length, heads of at most 128 columns. vendor/cudnn_choice_cuda.c decides whether cuDNN does
 * it instead.
 *
 * Forward, a block has 64 queries of a head and goes through the keys by tiles, keeping the
 * largest score and the sum so far (online softmax, Milakov & Gimelshein 2018; Dao et al. 2022).
 * Backward computes P again from lse, with two kinds of block: one has 64 queries and sums their dq
 * over the keys, the other has 64 keys and sums their dk and dv over the queries. So scores are
 * computed twice, but each sum has one owner: no atomics, the same bits always. The second kind
 * works on the transpose of everything. What a query's softmax adds to the gradient of all its
 * scores, delta = the sum of dout · out, is a small launch before. (Computing scores once, five
 * products in place of seven, would need the dq of a query summed over blocks of keys, in order, in
 * f32 in memory. docs/cuda.md has the counts.)
 *
 * A warp has 16 rows; columns beyond the sample are skipped, 8 at a time. Where no sample is longer
 * than 32, a block is one warp: four would wait for each other and mostly have nothing to do, and
 * a block of four takes the room of others. Both give the same bits.
 *
 * bf16 goes through the matrix unit, f32 through plain multiplications (tiles.cuh). What surrounds
 * the products costs more than they do, so it is kept short: powers of two with the scale folded
 * in, masks in the last tile alone, dropout drawn once per tile as bits that a lane reads by the
 * word. Tiles go from memory to shared memory past the registers, and the next one is on its way
 * while a block of four warps works on one.
 *
 * Of longer samples forward keeps dropout's bits, one for each score. To draw an octet takes a
 * thread about 77 instructions, a third of a tile's, and backward needs each twice; to read it
 * takes a tenth of that, and the bits of 512 tokens are 3 % of what a layer keeps anyway. */
#include "kernels/cuda/drop.cuh"
#include "kernels/cuda/samples.cuh"
#include "kernels/vendor/cudnn_attention.cuh"
#include "kernels/cuda/tiles.cuh"

enum { MAX_HEAD = 128, SHORT = 32 /* tokens of a sample that one warp's tile holds */ };

/* What a block of so many warps works on, and in how many columns of a tile: fewer for wide heads
 * and in f32, whose sums and loops need more registers, and for one warp, which has short samples.
 */
template <typename T, int D, int WARPS>
struct shape_of {
  static constexpr int threads = WARPS * WARP, rows = WARPS * WARP_ROWS,
                       columns = WARPS == 1 || D > 64 || sizeof(T) == 4 ? SHORT : 64,
                       stages = WARPS == 1 || sizeof(T) == 4 ? 1 : 2, /* tiles there at once */
      stride = tile_row<T, D>::stride, tile = columns * stride;
};

static constexpr float LOG2_E = 1.44269504f;

struct task {
  fsam_batch batch;
  drop_site site;
  int heads, d; /* d columns of a head */
  int words;    /* of kept bits for a query and head; 0: they are not kept */
  float scale;  /* 1 / sqrt(d) */
  bool wide;
  /* e^(scale x) as a power of two: 2^(scale2() x) */
  __device__ __forceinline__ float scale2() const { return scale * LOG2_E; }
};

/* Writes zeros to the rows of the tail, unless t is added to. All blocks of the grid's extra sample
 * share the rows (by y) and the columns (by x). */
template <typename T>
__device__ __forceinline__ void clear_tail(const matrix<T> &t, int64_t columns, const task &a) {
  const int64_t first = a.batch.starts[a.batch.samples] + blockIdx.y, rows = a.batch.tokens;
  if (t.add || first < 0) return;
  const int64_t step = (int64_t)gridDim.x * blockDim.x;
  for (int64_t row = first; row < rows; row += gridDim.y)
    for (int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; c < columns; c += step)
      *t.at(row, c) = from_float<T>(0);
}

/* -- dropout of one tile ----------------------------------------------------------------------- */

/* kept[QUERIES][KEYS / 8]: a bit for each element that is not dropped, of the queries and keys from
 * `query` and `key` on; 0 beyond the sample's n. */
template <int QUERIES, int KEYS, int THREADS>
__device__ __forceinline__ void draw_tile(uint8_t *kept, const drop_site &site, uint32_t ordinal,
                                          int head, int query, int key, int n) {
  constexpr int WIDE = KEYS / OCTET;
  static_assert(QUERIES * WIDE % THREADS == 0 && THREADS % WIDE == 0, "each thread has as many");
  if (!site.threshold) return;
  const int octet = (int)threadIdx.x % WIDE, row = (int)threadIdx.x / WIDE;
  const uint32_t block = (uint32_t)head << 16 | (uint32_t)(key / OCTET + octet);
  const bool is_key = key + octet * OCTET < n;
#pragma unroll 1
  for (int i = row; i < QUERIES; i += THREADS / WIDE)
    kept[i * WIDE + octet] =
        (uint8_t)(is_key && query + i < n ? kept_octet(site, ordinal, (uint32_t)(query + i), block)
                                          : 0);
}

/* Where the kept bits of a query lie, from the key on, a multiple of 32: T is int32_t, const or
 * not. */
template <typename T>
__device__ __forceinline__ T *kept_at(const matrix<T> &bits, const task &a, int64_t row, int head,
                                      int key) {
  return bits.at(row, (int64_t)head * a.words + key / 32);
}

/* Keeps the bits of a tile of a sample; query and key are those of its corner. */
template <int QUERIES, int KEYS>
__device__ __forceinline__ void keep_tile(const matrix<int32_t> &bits, const task &a,
                                          const uint8_t *kept, row_range s, int head, int query,
                                          int key) {
  const int i = (int)threadIdx.x;
  if (a.words == 0 || i >= QUERIES || query + i >= s.n) return;
  int32_t *to = kept_at(bits, a, s.start + query + i, head, key);
#pragma unroll
  for (int w = 0; w < KEYS / 32; w++) to[w] = ((const int32_t *)(kept + i * (KEYS / OCTET)))[w];
}

/* Starts fetching them; where a block is one warp they are drawn again. */
template <int QUERIES, int KEYS, int THREADS>
__device__ __forceinline__ void fetch_tile(uint8_t *kept, const matrix<const int32_t> &bits,
                                           const task &a, int sample, row_range s, int head,
                                           int query, int key) {
  if constexpr (THREADS > WARP) {
    const int i = (int)threadIdx.x;
    if (a.words && i < QUERIES)
      start_copy<KEYS / OCTET>(kept + i * (KEYS / OCTET),
                               kept_at(bits, a, s.start + query + i, head, key), query + i < s.n);
  } else {
    const drop_site site = drop_site_in(a.site, &a.batch);
    const uint32_t ordinal = site.threshold ? (uint32_t)a.batch.ordinals[sample] : 0;
    draw_tile<QUERIES, KEYS, THREADS>(kept, site, ordinal, head, query, key, s.n);
  }
}

/* The bits of a query's row of a tile that belong to this lane: of its columns in fragment j, at
 * 8 (j % 4) and 8 (j % 4) + 1 of word j / 4. */
template <int N>
__device__ __forceinline__ void kept_words(uint32_t (&bits)[N / 4], const uint8_t *kept,
                                           const task &a, int query) {
#pragma unroll
  for (int w = 0; w < N / 4; w++)
    bits[w] = a.site.threshold ? *(const uint32_t *)(kept + query * N + 4 * w) >> fragment_column(0)
                               : 0xffffffffu;
}
template <int N>
__device__ __forceinline__ bool is_kept(const uint32_t (&bits)[N], int j, int column) {
  return bits[j / 4] >> (j % 4 * OCTET + column) & 1;
}

/* -- tiles on their way ------------------------------------------------------------------------ */

/* Waits until the tile in hand has come, for all threads: with two stages the next one, if there is
 * one, may still be on its way. */
template <int STAGES>
__device__ __forceinline__ void wait_for_tile(bool has_next) {
  if (STAGES == 2 && has_next)
    copies_wait<1>();
  else
    copies_wait<0>();
  __syncthreads();
}

/* -- forward ----------------------------------------------------------------------------------- */

template <typename T>
struct forward_arguments {
  task a;
  matrix<T> out;
  matrix<float> lse;
  matrix<int32_t> kept;
  matrix<const T> qkv;
  int32_t *fault;
};

template <typename T, int D, int WARPS>
struct forward_memory : shape_of<T, D, WARPS> {
  using shape = shape_of<T, D, WARPS>;
  static constexpr size_t bytes =
      (shape::rows * shape::stride + 2 * shape::stages * shape::tile) * sizeof(T) +
      shape::rows * shape::columns / OCTET;
};

/* A warp's sums so far; each lane has two rows. */
template <int D>
struct softmax_state {
  fragment out[D / 8];
  float top[2], total[2]; /* top: of the scores before scaling; total: the lane's own columns */
};

/* One update of the online softmax: scores s of a tile, `live` columns of it, become
 * dropout(e^(scale (s - top))), and the sums so far are scaled to the new largest score, top. */
template <int D, int N>
__device__ __forceinline__ void softmax_update(fragment (&s)[N], softmax_state<D> &state,
                                               const task &a, const uint8_t *kept, int warp_row,
                                               int live) {
  const float scale = a.scale2();
  if (live < 8 * N) {
#pragma unroll
    for (int j = 0; j < N; j++)
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (8 * j + fragment_column(i) >= live) s[j].v[i] = -INFINITY;
  }
#pragma unroll
  for (int half = 0; half < 2; half++) {
    float top = state.top[half];
#pragma unroll
    for (int j = 0; j < N; j++) top = fmaxf(top, fmaxf(s[j].v[2 * half], s[j].v[2 * half + 1]));
    top = row_max(top);
    const float shift = top * scale, factor = exp2_fast(state.top[half] * scale - shift);
    state.top[half] = top;
    state.total[half] *= factor;
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; i++) state.out[j].v[i] *= factor;
    uint32_t bits[N / 4];
    kept_words<N>(bits, kept, a, warp_row + fragment_row(2 * half));
#pragma unroll
    for (int j = 0; j < N; j++)
#pragma unroll
      for (int c = 0; c < 2; c++) {
        const float p = exp2_fast(s[j].v[2 * half + c] * scale - shift);
        state.total[half] += p;
        s[j].v[2 * half + c] = is_kept(bits, j, c) ? p : 0;
      }
  }
}

/* Block (tile of queries, head, sample). The grid has one extra sample, whose blocks zero the tail.
 */
template <typename T, int D, int WARPS>
static __global__ void __launch_bounds__(WARPS *WARP, 12 / WARPS)
    attention_forward_k(forward_arguments<T> f) {
  FSAM_DYNAMIC_SHARED(memory);
  wait_for_earlier();
  using shape = shape_of<T, D, WARPS>;
  constexpr int THREADS = shape::threads, ROWS = shape::rows, COLUMNS = shape::columns,
                STRIDE = shape::stride, STAGES = shape::stages, TILE = shape::tile;
  T *q = (T *)memory, *ks = q + ROWS * STRIDE, *vs = ks + STAGES * TILE;
  uint8_t *kept = (uint8_t *)(vs + STAGES * TILE);
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
  const drop_site site = drop_site_in(a.site, &a.batch);
  const uint32_t ordinal = site.threshold ? (uint32_t)a.batch.ordinals[sample] : 0;
  const int warp_row = warp_id() * WARP_ROWS, rows = s.n - first - warp_row; /* of the warp */
  softmax_state<D> state = {};
  state.top[0] = state.top[1] = -INFINITY;
  const auto load = [&](int key, int stage) {
    load_tile<T, D, COLUMNS, THREADS>(ks + stage * TILE, f.qkv, s.start + key, s.n - key,
                                      hidden + column, a.d, a.wide);
    load_tile<T, D, COLUMNS, THREADS>(vs + stage * TILE, f.qkv, s.start + key, s.n - key,
                                      2 * hidden + column, a.d, a.wide);
    copies_commit();
  };
  load_tile<T, D, ROWS, THREADS>(q, f.qkv, s.start + first, s.n - first, column, a.d, a.wide);
  load(0, 0);
  for (int key = 0, stage = 0; key < s.n; key += COLUMNS, stage ^= STAGES - 1) {
    const int live = s.n - key, next = key + COLUMNS;
    if (STAGES == 2 && next < s.n) load(next, stage ^ 1);
    draw_tile<ROWS, COLUMNS, THREADS>(kept, site, ordinal, head, first, key, s.n);
    wait_for_tile<STAGES>(next < s.n);
    if constexpr (WARPS > 1) keep_tile<ROWS, COLUMNS>(f.kept, a, kept, s, head, first, key);
    if (rows > 0) {
      const T *k = ks + stage * TILE, *v = vs + stage * TILE;
      const int blocks = (int)divide_up(live < COLUMNS ? live : COLUMNS, 8);
      fragment p[COLUMNS / 8] = {};
      multiply_transposed<D>(p, q + warp_row * STRIDE, k, blocks);
      softmax_update<D>(p, state, a, kept, warp_row, live);
      multiply<D>(state.out, p, v, blocks);
    }
    __syncthreads(); /* all warps are done with the tile */
    if (STAGES == 1 && next < s.n) load(next, 0);
  }
  if (rows <= 0) return;
  float factor[2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const float total = row_sum(state.total[half]);
    const int row = fragment_row(2 * half);
    factor[half] = a.site.keep / total;
    if (lane_id() % 4 == 0 && row < rows)
      *f.lse.at(s.start + first + warp_row + row, head) = state.top[half] * a.scale + logf(total);
  }
  store_rows<T, D>(f.out, s.start + first + warp_row, rows, column, a.d, a.wide, state.out, factor);
}

/* -- backward ---------------------------------------------------------------------------------- */

/* What a query's row of scores needs on the way back. */
struct alignas(8) row_terms {
  float lse;   /* log2 of the sum of its softmax, with the largest score in it */
  float delta; /* the sum of dout · out */
};

template <typename T>
struct backward_arguments {
  task a;
  matrix<T> dqkv;
  matrix<const T> dout, out, qkv;
  matrix<const float> lse;
  matrix<const int32_t> kept;
  const row_terms *terms;
  int32_t *fault;
};

/* Those of a head of a row, by D / 8 lanes, all of which take part; zeros where it is not live. */
template <typename T, int D>
__device__ __forceinline__ row_terms terms_of(const backward_arguments<T> &b, int64_t row,
                                              int64_t head, bool live) {
  constexpr int LANES = D / OCTET;
  const int octet = lane_id() % LANES * OCTET;
  float sum = 0;
  if (live) {
    const int64_t column = head * b.a.d + octet;
    float x[OCTET], y[OCTET];
    load8(x, b.dout.at(row, column), b.a.d - octet, b.a.wide);
    load8(y, b.out.at(row, column), b.a.d - octet, b.a.wide);
    for (int i = 0; i < OCTET; i++) sum += x[i] * y[i];
  }
  for (int mask = LANES / 2; mask; mask /= 2) sum += shuffle_xor(sum, mask);
  return {live ? *b.lse.at(row, head) * LOG2_E : 0, sum};
}

/* terms[head][row], for all rows of the batch. */
template <typename T, int D>
static __global__ void attention_terms_k(backward_arguments<T> b, row_terms *terms) {
  constexpr int LANES = D / OCTET;
  const int64_t at = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / LANES;
  const int64_t row = at / b.a.heads, head = at % b.a.heads, rows = b.a.batch.tokens;
  const row_terms t = terms_of<T, D>(b, row, head, row < rows);
  if (row < rows && lane_id() % LANES == 0) terms[head * rows + row] = t;
}

/* x and x2 hold the block's own rows, y and y2 the tile's; the terms are those of the queries, and
 * come with the rows or the tile that are queries. */
template <typename T, int D, int WARPS>
struct backward_memory : shape_of<T, D, WARPS> {
  using shape = shape_of<T, D, WARPS>;
  static constexpr int queries =
      shape::rows > shape::stages *shape::columns ? shape::rows : shape::stages *shape::columns;
  static constexpr size_t bytes =
      2 * (shape::rows * shape::stride + shape::stages * shape::tile) * sizeof(T) +
      queries * sizeof(row_terms) + shape::stages * shape::rows * shape::columns / OCTET;
};

/* Starts copying the terms of COUNT queries of a head from row `first` of the batch on, `live` of
 * them. */
template <int COUNT, typename T>
__device__ __forceinline__ void load_terms(row_terms *to, const backward_arguments<T> &b,
                                           int64_t first, int live, int head) {
  const int i = (int)threadIdx.x;
  if (i < COUNT) start_copy<8>(to + i, b.terms + head * b.a.batch.tokens + first + i, i < live);
}

/* The same, computed by the block, which is one warp: that takes less time than another launch. */
template <int COUNT, int D, typename T>
__device__ __forceinline__ void make_terms(row_terms *to, const backward_arguments<T> &b,
                                           int64_t first, int live, int head) {
  constexpr int LANES = D / OCTET;
#pragma unroll 2
  for (int at = 0; at < COUNT; at += WARP / LANES) {
    const int i = at + lane_id() / LANES;
    const row_terms t = terms_of<T, D>(b, first + i, head, i < live);
    if (lane_id() % LANES == 0) to[i] = t;
  }
}

template <int WARPS, int COUNT, int D, typename T>
__device__ __forceinline__ void bring_terms(row_terms *to, const backward_arguments<T> &b,
                                            int64_t first, int live, int head) {
  if constexpr (WARPS == 1)
    make_terms<COUNT, D>(to, b, first, live, head);
  else
    load_terms<COUNT>(to, b, first, live, head);
}

/* One element of softmax_backward: a score and dp become dropout(P) and the score's gradient. */
__device__ __forceinline__ void element_backward(float &s, float &dp, const task &a,
                                                 const row_terms &row, bool keep) {
  const float p = exp2_fast(s * a.scale2() - row.lse);
  dp = p * ((keep ? dp * a.site.keep : 0) - row.delta);
  s = keep ? p : 0;
}

/* Scores s and products dp = dout v^T of a tile become dropout(P) (without the factor `keep`) and
 * the gradient of the scores (without the factor 1 / sqrt(d)); both 0 beyond `columns`. Rows are
 * queries, columns keys. */
template <int N>
__device__ __forceinline__ void softmax_backward(fragment (&s)[N], fragment (&dp)[N], const task &a,
                                                 const row_terms *terms, const uint8_t *kept,
                                                 int warp_row) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int query = warp_row + fragment_row(2 * half);
    const row_terms row = terms[query];
    uint32_t bits[N / 4];
    kept_words<N>(bits, kept, a, query);
#pragma unroll
    for (int j = 0; j < N; j++)
#pragma unroll
      for (int c = 0; c < 2; c++)
        element_backward(s[j].v[2 * half + c], dp[j].v[2 * half + c], a, row, is_kept(bits, j, c));
  }
}

/* The same where rows are keys, of which the block has ROWS, and columns queries: a lane's two keys
 * are 8 apart, bits of neighbouring bytes. */
template <int ROWS, int N>
__device__ __forceinline__ void softmax_backward_keys(fragment (&s)[N], fragment (&dp)[N],
                                                      const task &a, const row_terms *terms,
                                                      const uint8_t *kept, int warp_row) {
#pragma unroll
  for (int j = 0; j < N; j++)
#pragma unroll
    for (int c = 0; c < 2; c++) {
      const int query = 8 * j + fragment_column(c);
      const row_terms row = terms[query];
      const uint8_t *bytes = kept + query * (ROWS / OCTET) + warp_row / OCTET;
      const uint32_t bits =
          a.site.threshold ? (uint32_t) * (const uint16_t *)bytes >> fragment_row(0) : 0x101u;
#pragma unroll
      for (int half = 0; half < 2; half++)
        element_backward(s[j].v[2 * half + c], dp[j].v[2 * half + c], a, row,
                         bits >> (OCTET * half) & 1);
    }
}

/* Zeros in the columns from `live` on. */
template <int N>
__device__ __forceinline__ void clear_columns(fragment (&s)[N], int live) {
#pragma unroll
  for (int j = 0; j < N; j++)
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (8 * j + fragment_column(i) >= live) s[j].v[i] = 0;
}

/* The work of one block: dq of its queries, or dk and dv of its keys. */
template <typename T, int D, int WARPS, bool OWN_KEYS>
__device__ __forceinline__ void backward_block(const backward_arguments<T> &b,
                                               unsigned char *memory, int sample, int head,
                                               int first, row_range s) {
  using shape = shape_of<T, D, WARPS>;
  constexpr int THREADS = shape::threads, ROWS = shape::rows, COLUMNS = shape::columns,
                STRIDE = shape::stride, STAGES = shape::stages, TILE = shape::tile;
  const task &a = b.a;
  T *x = (T *)memory, *x2 = x + ROWS * STRIDE, *ys = x2 + ROWS * STRIDE, *y2s = ys + STAGES * TILE;
  row_terms *terms = (row_terms *)(y2s + STAGES * TILE);
  uint8_t *bits = (uint8_t *)(terms + backward_memory<T, D, WARPS>::queries);
  const int64_t hidden = (int64_t)a.heads * a.d, q_at = (int64_t)head * a.d;
  const int64_t k_at = hidden + q_at, v_at = 2 * hidden + q_at;
  const int warp_row = warp_id() * WARP_ROWS, rows = s.n - first - warp_row;
  fragment sum[D / 8] = {}, sum2[OWN_KEYS ? D / 8 : 1] = {};
  /* Queries: x = q, x2 = dout, y = k, y2 = v. Keys: x = k, x2 = v, y = q, y2 = dout. */
  const auto load = [&](int at, int stage) {
    load_tile<T, D, COLUMNS, THREADS>(ys + stage * TILE, b.qkv, s.start + at, s.n - at,
                                      OWN_KEYS ? q_at : k_at, a.d, a.wide);
    load_tile<T, D, COLUMNS, THREADS>(y2s + stage * TILE, OWN_KEYS ? b.dout : b.qkv, s.start + at,
                                      s.n - at, OWN_KEYS ? q_at : v_at, a.d, a.wide);
    uint8_t *kept = bits + stage * ROWS * COLUMNS / OCTET;
    if (OWN_KEYS) {
      bring_terms<WARPS, COLUMNS, D>(terms + stage * COLUMNS, b, s.start + at, s.n - at, head);
      fetch_tile<COLUMNS, ROWS, THREADS>(kept, b.kept, a, sample, s, head, at, first);
    } else {
      fetch_tile<ROWS, COLUMNS, THREADS>(kept, b.kept, a, sample, s, head, first, at);
    }
    copies_commit();
  };
  load_tile<T, D, ROWS, THREADS>(x, b.qkv, s.start + first, s.n - first, OWN_KEYS ? k_at : q_at,
                                 a.d, a.wide);
  load_tile<T, D, ROWS, THREADS>(x2, OWN_KEYS ? b.qkv : b.dout, s.start + first, s.n - first,
                                 OWN_KEYS ? v_at : q_at, a.d, a.wide);
  if (!OWN_KEYS) bring_terms<WARPS, ROWS, D>(terms, b, s.start + first, s.n - first, head);
  load(0, 0);
  for (int at = 0, stage = 0; at < s.n; at += COLUMNS, stage ^= STAGES - 1) {
    const int live = s.n - at, next = at + COLUMNS;
    if (STAGES == 2 && next < s.n) load(next, stage ^ 1);
    wait_for_tile<STAGES>(next < s.n);
    if (rows > 0) {
      const T *y = ys + stage * TILE, *y2 = y2s + stage * TILE;
      const uint8_t *kept = bits + stage * ROWS * COLUMNS / OCTET;
      const int blocks = (int)divide_up(live < COLUMNS ? live : COLUMNS, 8);
      fragment p[COLUMNS / 8] = {}, dp[COLUMNS / 8] = {};
      multiply_transposed<D>(p, x + warp_row * STRIDE, y, blocks);
      multiply_transposed<D>(dp, x2 + warp_row * STRIDE, y2, blocks);
      if constexpr (OWN_KEYS)
        softmax_backward_keys<ROWS>(p, dp, a, terms + stage * COLUMNS, kept, warp_row);
      else
        softmax_backward(p, dp, a, terms, kept, warp_row);
      if (live < COLUMNS) {
        clear_columns(p, live);
        clear_columns(dp, live);
      }
      multiply<D>(sum, dp, y, blocks);
      if constexpr (OWN_KEYS) multiply<D>(sum2, p, y2, blocks);
    }
    __syncthreads(); /* all warps are done with the tile */
    if (STAGES == 1 && next < s.n) load(next, 0);
  }
  if (rows <= 0) return;
  const float scale[2] = {a.scale, a.scale}, keep[2] = {a.site.keep, a.site.keep};
  const int64_t row = s.start + first + warp_row;
  store_rows<T, D>(b.dqkv, row, rows, OWN_KEYS ? k_at : q_at, a.d, a.wide, sum, scale);
  if constexpr (OWN_KEYS) store_rows<T, D>(b.dqkv, row, rows, v_at, a.d, a.wide, sum2, keep);
}

/* Block (tile; head; sample), of the queries, of the keys, or of the keys in the second half of the
 * grid. The grid has one extra sample, whose blocks zero the tail. BOTH saves a launch, QUERIES
 * alone has fewer registers than KEYS: three blocks fit, where two of both did. */
enum { QUERIES, KEYS, BOTH };

template <typename T, int D, int WARPS, int WORK>
static __global__ void __launch_bounds__(WARPS *WARP,
                                         D <= 64 && sizeof(T) == 2 && WORK != BOTH ? 3 : 1)
    attention_backward_k(backward_arguments<T> b) {
  FSAM_DYNAMIC_SHARED(memory);
  wait_for_earlier();
  constexpr int ROWS = shape_of<T, D, WARPS>::rows;
  const int tiles = (int)(WORK == BOTH ? gridDim.x / 2 : gridDim.x);
  const int sample = (int)blockIdx.z, tile = (int)blockIdx.x % tiles;
  if (sample == b.a.batch.samples) {
    if (WORK != KEYS) clear_tail(b.dqkv, 3 * (int64_t)b.a.heads * b.a.d, b.a);
    return;
  }
  const row_range s = rows_of_sample(b.a.batch, sample, b.fault);
  if (tile * ROWS >= s.n) return;
  if (WORK == QUERIES || (WORK == BOTH && (int)blockIdx.x < tiles))
    backward_block<T, D, WARPS, false>(b, memory, sample, (int)blockIdx.y, tile * ROWS, s);
  else
    backward_block<T, D, WARPS, true>(b, memory, sample, (int)blockIdx.y, tile * ROWS, s);
}

/* -- launching --------------------------------------------------------------------------------- */

static task task_of(const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                    const fsam_dropout *dropout) {
  const int d = (int)(qkv->shape[1] / (3 * heads));
  return {*batch, drop_site_of(dropout), heads, d, 0, (float)(1 / sqrt((double)d)), false};
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

/* Blocks: tiles of `rows` of the longest sample, at least one, so that there are blocks to zero the
 * tail; heads; samples and the tail. */
static dim3 grid_of(const task &a, int rows) {
  const unsigned tiles = a.batch.longest ? (unsigned)divide_up(a.batch.longest, rows) : 1;
  return dim3(tiles, (unsigned)a.heads, (unsigned)a.batch.samples + 1);
}

template <typename T, int D, int WARPS>
static int forward(const fsam_device *device, const forward_arguments<T> &f) {
  using memory = forward_memory<T, D, WARPS>;
  return FSAM_LAUNCH_EARLY(device, (attention_forward_k<T, D, WARPS>), grid_of(f.a, memory::rows),
                           memory::threads, memory::bytes, f);
}
template <typename T, int D>
static int forward(const fsam_device *device, const forward_arguments<T> &f) {
  return f.a.batch.longest <= SHORT ? forward<T, D, 1>(device, f) : forward<T, D, 4>(device, f);
}

template <typename T>
static int forward(fsam_tensor *out, fsam_tensor *lse, const fsam_tensor *kept,
                   const fsam_tensor *qkv, task a) {
  fsam_device *device = fsam__device_of(out);
  a.wide = heads_wide(a, qkv, out);
  const forward_arguments<T> f = {a,
                                  matrix_of<T>(out),
                                  matrix_of<float>(lse),
                                  matrix_of<int32_t>(kept),
                                  matrix_of<const T>(qkv),
                                  device->fault};
  if (a.d <= 32) return forward<T, 32>(device, f);
  return a.d <= 64 ? forward<T, 64>(device, f) : forward<T, 128>(device, f);
}

/* Two words for each 64 keys, so that a tile's row is one copy. For short samples fetching them is
 * no less work than drawing them. */
int attention_kept_cuda(const fsam_tensor *, int heads, const fsam_batch *batch,
                        const fsam_dropout *dropout) {
  if (!drop_site_of(dropout).threshold || dropout->rng != FSAM_RNG_OWN || batch->longest <= SHORT)
    return 0;
  return heads * 2 * (int)divide_up(batch->longest, 64);
}

static int words_of(const fsam_tensor *kept, int heads) {
  return kept ? (int)(kept->shape[1] / heads) : 0;
}

template <typename T, int D, int WARPS, int WORK>
static int backward(const fsam_device *device, const backward_arguments<T> &b) {
  using memory = backward_memory<T, D, WARPS>;
  dim3 grid = grid_of(b.a, memory::rows);
  if (WORK == BOTH) grid.x *= 2;
  return FSAM_LAUNCH_EARLY(device, (attention_backward_k<T, D, WARPS, WORK>), grid, memory::threads,
                           memory::bytes, b);
}
template <typename T, int D>
static int backward(fsam_device *device, backward_arguments<T> b) {
  if (b.a.batch.longest <= SHORT) return backward<T, D, 1, BOTH>(device, b);
  const int64_t heads = b.a.heads, lanes = b.a.batch.tokens * heads * (D / OCTET);
  void *terms;
  FSAM_TRY(fsam__workspace(&terms, device, (size_t)(b.a.batch.tokens * heads) * sizeof(row_terms)));
  b.terms = (const row_terms *)terms;
  FSAM_TRY(FSAM_LAUNCH(device, (attention_terms_k<T, D>), dim3((unsigned)divide_up(lanes, 256)),
                       256, 0, b, (row_terms *)terms));
  FSAM_TRY((backward<T, D, 4, QUERIES>(device, b)));
  return backward<T, D, 4, KEYS>(device, b);
}

template <typename T>
static int backward(fsam_tensor *dqkv, const fsam_tensor *dout, const fsam_tensor *out,
                    const fsam_tensor *lse, const fsam_tensor *kept, const fsam_tensor *qkv,
                    task a) {
  fsam_device *device = fsam__device_of(dqkv);
  a.wide = heads_wide(a, qkv, dout, out, dqkv);
  const backward_arguments<T> b = {a,
                                   matrix_of<T>(dqkv),
                                   matrix_of<const T>(dout),
                                   matrix_of<const T>(out),
                                   matrix_of<const T>(qkv),
                                   matrix_of<const float>(lse),
                                   matrix_of<const int32_t>(kept),
                                   NULL,
                                   device->fault};
  if (a.d <= 32) return backward<T, 32>(device, b);
  return a.d <= 64 ? backward<T, 64>(device, b) : backward<T, 128>(device, b);
}

/* -- by our kernels or by cuDNN ---------------------------------------------------------------- */

static int own(const attention_call *c) {
  task a = task_of(c->qkv, c->heads, c->batch, c->dropout);
  a.words = words_of(c->kept, c->heads);
  FSAM_TRY(check_head(c->dqkv ? "attention_backward" : "attention_forward", a));
  const bool is_bf16 = c->qkv->dtype == FSAM_BF16;
  if (!c->dqkv)
    return is_bf16 ? forward<bf16>(c->out, c->lse, c->kept, c->qkv, a)
                   : forward<float>(c->out, c->lse, c->kept, c->qkv, a);
  return is_bf16 ? backward<bf16>(c->dqkv, c->dout, c->out, c->lse, c->kept, c->qkv, a)
                 : backward<float>(c->dqkv, c->dout, c->out, c->lse, c->kept, c->qkv, a);
}

int attention_forward_cuda(fsam_tensor *out, fsam_tensor *lse, fsam_tensor *kept,
                           const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                           const fsam_dropout *dropout) {
  const attention_call c = {out, lse, kept, NULL, NULL, qkv, heads, batch, dropout};
  return fsam__attention_choose(&c, own);
}

int attention_backward_cuda(fsam_tensor *dqkv, const fsam_tensor *dout, const fsam_tensor *out,
                            const fsam_tensor *lse, const fsam_tensor *kept, const fsam_tensor *qkv,
                            int heads, const fsam_batch *batch, const fsam_dropout *dropout) {
  const auto read = [](const fsam_tensor *t) { return const_cast<fsam_tensor *>(t); };
  const attention_call c = {read(out), read(lse), read(kept), dqkv,   dout,
                            qkv,       heads,     batch,      dropout};
  return fsam__attention_choose(&c, own);
}

int attention_rng_check_cuda(fsam_device *device, int rng, int dtype, int64_t columns) {
  return fsam__attention_rng_check(device, rng, dtype, columns);
}

int attention_library_cuda(fsam_device *, int rng, const char **text) {
  return fsam__attention_library(rng, text);
}

int device_check_cuda(fsam_device *) { return fsam__attention_check(); }
