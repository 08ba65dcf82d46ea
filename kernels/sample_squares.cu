/* sample_squares.cu: dw[N,K] = sum_b (sum_t dy_t x_t^T)^2 over the samples b, and db likewise
 * (sample_squares.c). Owns the two outputs of a linear map; layernorm.cu and embedding.cu have the
 * others.
 *
 * A block has 128 x 128 elements of dw in the registers of its 8 warps, twice: the gradient of the
 * sample that passes by, and the sum of the squares so far. So a sample costs its tokens' share of
 * one product and a square, and dw is written once. The tokens come through shared memory in slabs
 * that take no notice of samples; while one slab is worked on, the next is on its way in registers.
 * The matrix unit takes 16 tokens at a time: those that the sample has no more are zeros of dy.
 * Bound, in sentences, by the matrix unit and the instructions around it to about equal parts.
 *
 * Each element has a sum of its own, over tokens and then samples in order. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/tiles.cuh"

enum {
  TILE = 128, /* rows and columns of dw of a block */
  THREADS = 256,
  ROWS = 32,    /* of dw of a warp: 4 warps one below the other … */
  COLUMNS = 64, /* … and 2 beside each other */
  TOKENS = 16,  /* that the matrix unit takes at a time */
  PARTS = 2,    /* pieces of 16 bytes of a slab that a thread brings, of dy and of x */
};

/* A slab of one operand in shared memory: `tokens` rows of TILE elements, in `stride` each. */
template <typename T>
struct slab {
  static constexpr int tokens = 64 / (int)sizeof(T), stride = tile_row<T, TILE>::stride;
  static constexpr int part = 16 / (int)sizeof(T); /* elements of 16 bytes */
};

template <typename T>
struct weight_arguments {
  matrix<float> dw;
  matrix<const T> dy, x;
  int64_t N, K;
  int rows;
  row_samples samples;
  bool wide;
};

/* -- slabs ------------------------------------------------------------------------------------- */

__device__ __forceinline__ uint32_t bits_of(float x) { return float_to_bits(x); }
__device__ __forceinline__ uint32_t bits_of(bf16 x) { return x.bits; }

/* 16 bytes of a row: `left` elements, and zeros. */
template <typename T>
__device__ __forceinline__ uint4 load_part(const T *p, int64_t left, bool wide) {
  if (wide && left >= slab<T>::part) return load16(p);
  uint32_t words[4] = {0, 0, 0, 0};
  for (int i = 0; i < slab<T>::part; i++)
    if (i < left) words[i * (int)sizeof(T) / 4] |= bits_of(p[i]) << i * (int)sizeof(T) % 4 * 8;
  return uint4{words[0], words[1], words[2], words[3]};
}

/* The thread's pieces of the tokens first …, at most `rows`; zeros after them. */
template <typename T>
__device__ __forceinline__ void fetch(uint4 (&to)[PARTS], const matrix<const T> &from, int first,
                                      int rows, int64_t column, int64_t columns, bool wide) {
  const int across = TILE / slab<T>::part;
#pragma unroll
  for (int i = 0; i < PARTS; i++) {
    const int at = i * THREADS + (int)threadIdx.x;
    const int row = first + at / across;
    const int64_t c = column + at % across * slab<T>::part;
    to[i] = row < rows && c < columns ? load_part(from.at(row, c), columns - c, wide)
                                      : uint4{0, 0, 0, 0};
  }
}

template <typename T>
__device__ __forceinline__ void put(T *to, const uint4 (&from)[PARTS]) {
  const int across = TILE / slab<T>::part;
#pragma unroll
  for (int i = 0; i < PARTS; i++) {
    const int at = i * THREADS + (int)threadIdx.x;
    store16(to + at / across * slab<T>::stride + at % across * slab<T>::part, from[i]);
  }
}

/* -- products ---------------------------------------------------------------------------------- */

/* A warp's ROWS x COLUMNS elements. */
typedef fragment warp_tile[ROWS / 16][COLUMNS / 8];

__device__ __forceinline__ int smaller(int a, int b) { return a < b ? a : b; }

/* The pair of tokens t and t + 1 of `count`: ones for those that there are. */
__device__ __forceinline__ uint32_t live_pair(int t, int count) {
  return (t < count ? 0xffffu : 0) | (t + 1 < count ? 0xffff0000u : 0);
}

/* g (START: not yet written) += y x^T over the tokens row … row + count - 1 of a slab, at most
 * TOKENS; y and x name the warp's first row and column of dw. A load beyond the slab takes its last
 * token: whatever is multiplied by the zeros of y need only be finite. */
template <bool START>
__device__ __forceinline__ void add_products(warp_tile &g, const bf16 *y, const bf16 *x, int row,
                                             int count) {
  const int stride = slab<bf16>::stride, last = slab<bf16>::tokens - 1, lane = lane_id();
  const uint32_t near = live_pair(lane % 4 * 2, count), far = live_pair(lane % 4 * 2 + 8, count);
  uint32_t a[ROWS / 16][4];
  y += smaller(row + lane % 8 + lane / 16 * 8, last) * stride + lane / 8 % 2 * 8;
  x += smaller(row + lane % 16, last) * stride + lane / 16 * 8;
#pragma unroll
  for (int i = 0; i < ROWS / 16; i++) {
    load_matrices_transposed(a[i], y + 16 * i);
    a[i][0] &= near;
    a[i][1] &= near;
    a[i][2] &= far;
    a[i][3] &= far;
  }
#pragma unroll
  for (int j = 0; j < COLUMNS / 8; j += 2) {
    uint32_t b[4];
    load_matrices_transposed(b, x + 8 * j);
#pragma unroll
    for (int i = 0; i < ROWS / 16; i++) {
      if (START) g[i][j] = g[i][j + 1] = fragment{{0, 0, 0, 0}};
      multiply_add(g[i][j].v, a[i], b[0], b[1]);
      multiply_add(g[i][j + 1].v, a[i], b[2], b[3]);
    }
  }
}

template <bool START>
__device__ __forceinline__ void add_products(warp_tile &g, const float *y, const float *x, int row,
                                             int count) {
  const int stride = slab<float>::stride;
  if (START)
#pragma unroll
    for (int i = 0; i < ROWS / 16 * (COLUMNS / 8); i++)
      g[i % (ROWS / 16)][i / (ROWS / 16)] = fragment{{0, 0, 0, 0}};
  for (int t = row; t < row + count; t++) {
    const float *left = y + t * stride, *right = x + t * stride;
#pragma unroll
    for (int i = 0; i < ROWS / 16; i++)
#pragma unroll
      for (int j = 0; j < COLUMNS / 8; j++)
#pragma unroll
        for (int k = 0; k < 4; k++)
          g[i][j].v[k] += left[16 * i + fragment_row(k)] * right[8 * j + fragment_column(k)];
  }
}

__device__ __forceinline__ void add_squares(warp_tile &total, const warp_tile &g) {
#pragma unroll
  for (int i = 0; i < ROWS / 16; i++)
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; j++)
#pragma unroll
      for (int k = 0; k < 4; k++) total[i][j].v[k] += g[i][j].v[k] * g[i][j].v[k];
}

/* -- weights ----------------------------------------------------------------------------------- */

/* Where a block is in the batch: sample `b` goes on to token `end`, and the next one to `after`.
 * Samples follow each other: one that would end before it begins, or beyond the rows, has no
 * tokens there. */
struct place {
  int b;
  int t, end, after;
  bool started; /* is g of this sample's tokens? */
};

__device__ __forceinline__ int end_of(const row_samples &samples, int b, int rows, int least) {
  const int end = b < samples.count ? (int)samples.first(b + 1) : rows;
  return end < least ? least : end < rows ? end : rows;
}

/* Adds what the samples have in the slab of the tokens first … first + slab<T>::tokens - 1. */
template <typename T>
__device__ __forceinline__ void add_slab(warp_tile &total, warp_tile &g, place &at, const T *y,
                                         const T *x, int first, const row_samples &samples,
                                         int rows) {
  const int stop = first + slab<T>::tokens;
  while (at.b < samples.count && at.t < stop) {
    const int row = at.t - first, count = smaller(smaller(at.end, stop) - at.t, TOKENS);
    if (at.started) {
      add_products<false>(g, y, x, row, count);
    } else if (count) {
      add_products<true>(g, y, x, row, count);
      at.started = true;
    }
    at.t += count;
    if (at.t < at.end) continue;
    if (at.started) add_squares(total, g);
    at.started = false;
    at.b++;
    at.end = at.after;
    at.after = end_of(samples, at.b + 1, rows, at.end);
  }
}

/* Block (columns, rows of dw). */
template <typename T>
static __global__ void __launch_bounds__(THREADS) linear_squares_k(weight_arguments<T> a) {
  enum { SIZE = slab<T>::tokens * slab<T>::stride }; /* of dy's part, and of x's after it */
  FSAM_SHARED(uint4, memory, 4 * SIZE * (int)sizeof(T) / 16);
  const int64_t n = (int64_t)blockIdx.y * TILE, k = (int64_t)blockIdx.x * TILE;
  const int below = warp_id() % (TILE / ROWS) * ROWS, beside = warp_id() / (TILE / ROWS) * COLUMNS;
  const int rows = end_of(a.samples, a.samples.count - 1, a.rows, 0); /* without the tail */
  warp_tile total, g;
#pragma unroll
  for (int i = 0; i < ROWS / 16; i++)
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; j++) total[i][j] = fragment{{0, 0, 0, 0}};
  place at = {0, 0, end_of(a.samples, 0, rows, 0), 0, false};
  at.after = end_of(a.samples, 1, rows, at.end);
  uint4 y[PARTS], x[PARTS];
  fetch(y, a.dy, 0, rows, n, a.N, a.wide);
  fetch(x, a.x, 0, rows, k, a.K, a.wide);
  T *now = (T *)memory, *next = now + 2 * SIZE;
  for (int first = 0; first < rows; first += slab<T>::tokens) {
    put(now, y);
    put(now + SIZE, x);
    __syncthreads(); /* also: no warp reads the other two slabs any more */
    fetch(y, a.dy, first + slab<T>::tokens, rows, n, a.N, a.wide);
    fetch(x, a.x, first + slab<T>::tokens, rows, k, a.K, a.wide);
    add_slab(total, g, at, now + below, now + SIZE + beside, first, a.samples, rows);
    T *const other = now;
    now = next;
    next = other;
  }
  const float one[2] = {1, 1};
  const int live = smaller((int)(a.N - n) - below, WARP_ROWS * (ROWS / 16));
  const int width = smaller((int)(a.K - k) - beside, COLUMNS);
#pragma unroll
  for (int i = 0; i < ROWS / 16; i++)
    store_rows<float, COLUMNS>(a.dw, n + below + 16 * i, live - 16 * i, k + beside, width, true,
                               total[i], one);
}

template <typename T>
static int square_weights(fsam_device *device, fsam_tensor *dw, const fsam_tensor *dy,
                          const fsam_tensor *x, const row_samples &samples) {
  const weight_arguments<T> a = {matrix_of<float>(dw),
                                 matrix_of<const T>(dy),
                                 matrix_of<const T>(x),
                                 dw->shape[0],
                                 dw->shape[1],
                                 (int)dy->shape[0],
                                 samples,
                                 is_wide(dy, x)};
  return FSAM_LAUNCH(device, linear_squares_k<T>,
                     dim3((unsigned)divide_up(a.K, TILE), (unsigned)divide_up(a.N, TILE)), THREADS,
                     0, a);
}

/* -- biases ------------------------------------------------------------------------------------ */

enum { BIAS_THREADS = 128 };

/* sums[run][columns]: a block has a chunk's rows and BIAS_THREADS octets of columns. */
template <typename T>
static __global__ void __launch_bounds__(BIAS_THREADS)
    bias_squares_k(float *sums, matrix<const T> dy, row_chunks chunks, row_samples samples,
                   int64_t columns, bool wide) {
  const int64_t column = ((int64_t)blockIdx.y * BIAS_THREADS + threadIdx.x) * OCTET;
  const int64_t first = (int64_t)blockIdx.x * chunks.each, left = columns - column;
  const int64_t end = first + chunks.each < chunks.rows ? first + chunks.each : chunks.rows;
  if (column >= columns) return;
  float sum[OCTET] = {0};
  for (int64_t row = first; row < end; row++) {
    const int sample = samples.of_row(row);
    float v[OCTET];
    if (sample < 0) continue;
    load8(v, dy.at(row, column), left, wide);
    for (int i = 0; i < OCTET; i++) sum[i] += v[i];
    if (row + 1 < end && samples.of_row(row + 1) == sample) continue;
    store8(sums + ((int64_t)blockIdx.x + sample) * columns + column, sum, left,
           columns % OCTET == 0);
    for (int i = 0; i < OCTET; i++) sum[i] = 0;
  }
}

template <typename T>
static int square_bias(fsam_device *device, fsam_tensor *db, const fsam_tensor *dy,
                       const row_samples &samples) {
  const row_chunks chunks = row_chunks_of(dy->shape[0]);
  const int64_t n = dy->shape[1];
  void *sums;
  FSAM_TRY(
      fsam__workspace(&sums, device, (size_t)(most_runs(chunks, samples) * n + 1) * sizeof(float)));
  FSAM_TRY(FSAM_LAUNCH(device, bias_squares_k<T>,
                       dim3((unsigned)chunks.count, (unsigned)divide_up(n, BIAS_THREADS * OCTET)),
                       BIAS_THREADS, 0, (float *)sums, matrix_of<const T>(dy), chunks, samples, n,
                       is_wide(dy)));
  sum_outputs outputs = {};
  set_output(&outputs, 0, db);
  return column_squares(device, outputs, (const float *)sums, chunks, samples, 1, n, n);
}

/* -- kernels ----------------------------------------------------------------------------------- */

int linear_backward_squares_cuda(fsam_tensor *dw, fsam_tensor *db, const fsam_tensor *dy,
                                 const fsam_tensor *x, const fsam_batch *batch, int per_sample) {
  fsam_device *device = fsam__device_of(dy);
  const row_samples samples = row_samples_of(batch, per_sample);
  const bool narrow = dy->dtype == FSAM_BF16;
  if (db)
    FSAM_TRY(narrow ? square_bias<bf16>(device, db, dy, samples)
                    : square_bias<float>(device, db, dy, samples));
  if (!dw) return FSAM_OK;
  return narrow ? square_weights<bf16>(device, dw, dy, x, samples)
                : square_weights<float>(device, dw, dy, x, samples);
}
