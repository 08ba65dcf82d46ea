/* tiles.cuh: products of small matrices that lie in shared memory, for attention. Leaves to others:
 * products with the layers' weights (vendor/cublaslt.cuh). A warp has 16 rows of a product, as
 * fragments of 8 columns in registers, spread over its lanes as the matrix unit wants them
 * (multiply_add in common.cuh). bf16 goes to the matrix unit; f32 uses the same spread and plain
 * multiplications, so that everything around a product is written once. */
#ifndef FSAM_TILES_CUH
#define FSAM_TILES_CUH

#include "kernels/cuda/common.cuh"

enum { WARP_ROWS = 16 }; /* of a product */

/* A lane's share of 16 rows and 8 columns: element i is in row lane / 4 (i = 0, 1) or lane / 4 + 8
 * (i = 2, 3), column 2 (lane % 4) + i % 2. */
struct fragment {
  float v[4];
};
__device__ __forceinline__ int fragment_row(int i) { return lane_id() / 4 + i / 2 * 8; }
__device__ __forceinline__ int fragment_column(int i) { return lane_id() % 4 * 2 + i % 2; }

/* Elements of a row of D in shared memory: 16 bytes more, so that neighbouring rows lie in other
 * banks. */
template <typename T, int D>
struct tile_row {
  static constexpr int stride = D + 16 / (int)sizeof(T);
};

/* A pair of floats as the matrix unit takes them. */
__device__ __forceinline__ uint32_t pair_of(const fragment &f, int i) {
  return pack_bf16(f.v[i], f.v[i + 1]);
}

/* c[16, 8 N] += x[16, D] y[8 N, D]^T; both in shared memory, rows as tile_row. Blocks from `blocks`
 * on are left alone (an odd one at the end may be computed). */
template <int D, int N>
__device__ __forceinline__ void multiply_transposed(fragment (&c)[N], const bf16 *x, const bf16 *y,
                                                    int blocks) {
  const int stride = tile_row<bf16, D>::stride, lane = lane_id();
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    uint32_t a[4], b[4];
    load_matrices(a, x + lane % 16 * stride + k + lane / 16 * 8);
#pragma unroll
    for (int j = 0; j < N; j += 2) {
      if (j >= blocks) continue;
      load_matrices(b, y + (8 * j + lane % 8 + lane / 16 * 8) * stride + k + lane / 8 % 2 * 8);
      multiply_add(c[j].v, a, b[0], b[1]);
      multiply_add(c[j + 1].v, a, b[2], b[3]);
    }
  }
}

template <int D, int N>
__device__ __forceinline__ void multiply_transposed(fragment (&c)[N], const float *x,
                                                    const float *y, int blocks) {
  const int stride = tile_row<float, D>::stride;
  const float *upper = x + fragment_row(0) * stride, *lower = x + fragment_row(2) * stride;
#pragma unroll 4
  for (int k = 0; k < D; k++) {
    const float a[2] = {upper[k], lower[k]};
#pragma unroll
    for (int j = 0; j < N; j++) {
      if (j >= blocks) continue;
#pragma unroll
      for (int i = 0; i < 4; i++)
        c[j].v[i] += a[i / 2] * y[(8 * j + fragment_column(i)) * stride + k];
    }
  }
}

/* c[16, D] += p[16, 8 N] y[8 N, D]; p in registers, zero from block `blocks` on; y in shared
 * memory, finite in the rows of an odd block at the end. */
template <int D, int N>
__device__ __forceinline__ void multiply(fragment (&c)[D / 8], const fragment (&p)[N],
                                         const bf16 *y, int blocks) {
  const int stride = tile_row<bf16, D>::stride, lane = lane_id();
#pragma unroll
  for (int k = 0; k < N; k += 2) {
    if (k >= blocks) continue;
    const uint32_t a[4] = {pair_of(p[k], 0), pair_of(p[k], 2), pair_of(p[k + 1], 0),
                           pair_of(p[k + 1], 2)};
#pragma unroll
    for (int j = 0; j < D / 8; j += 2) {
      uint32_t b[4];
      load_matrices_transposed(b, y + (8 * k + lane % 16) * stride + 8 * j + lane / 16 * 8);
      multiply_add(c[j].v, a, b[0], b[1]);
      multiply_add(c[j + 1].v, a, b[2], b[3]);
    }
  }
}

template <int D, int N>
__device__ __forceinline__ void multiply(fragment (&c)[D / 8], const fragment (&p)[N],
                                         const float *y, int blocks) {
  const int stride = tile_row<float, D>::stride, quad = lane_id() / 4 * 4;
#pragma unroll
  for (int k = 0; k < N; k++) {
    if (k >= blocks) continue;
#pragma unroll
    for (int column = 0; column < 8; column++) {
      const float a[2] = {shuffle(p[k].v[column % 2], quad + column / 2),
                          shuffle(p[k].v[2 + column % 2], quad + column / 2)};
      const float *row = y + (8 * k + column) * stride;
#pragma unroll
      for (int j = 0; j < D / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) c[j].v[i] += a[i / 2] * row[8 * j + fragment_column(i)];
    }
  }
}

/* The sum and the maximum over the four lanes that share a row of a fragment. */
__device__ __forceinline__ float row_sum(float x) {
  x += shuffle_xor(x, 1);
  return x + shuffle_xor(x, 2);
}
__device__ __forceinline__ float row_max(float x) {
  x = fmaxf(x, shuffle_xor(x, 1));
  return fmaxf(x, shuffle_xor(x, 2));
}

/* to[ROWS, D] (rows as tile_row) = the rows first … of the columns column … column + d - 1 of t,
 * zeros beyond `live` rows and d columns; by all THREADS of the block. wide: octets of t are
 * 16-byte aligned. Heads of D columns, the usual case, are on their way when this returns:
 * copies_commit and copies_wait say when they are there. */
template <typename T, int D, int ROWS, int THREADS>
__device__ __forceinline__ void load_tile(T *to, const matrix<const T> &t, int64_t first, int live,
                                          int64_t column, int d, bool wide) {
  constexpr int STRIDE = tile_row<T, D>::stride, PIECE = 16 / (int)sizeof(T), PIECES = D / PIECE;
  constexpr int STEP = THREADS / PIECES; /* rows from one of a thread's pieces to the next */
  static_assert(THREADS % PIECES == 0 && ROWS % STEP == 0, "each thread has whole pieces");
  if (wide && d == D) {
    const int row = (int)threadIdx.x / PIECES, at = (int)threadIdx.x % PIECES * PIECE;
    const T *from = t.at(first + row, column + at);
    to += row * STRIDE + at;
#pragma unroll
    for (int i = 0; i < ROWS; i += STEP)
      start_copy<16>(to + i * STRIDE, from + i * t.stride, row + i < live);
    return;
  }
#pragma unroll 1
  for (int i = (int)threadIdx.x; i < ROWS * (D / OCTET); i += THREADS) {
    const int row = i / (D / OCTET), at = i % (D / OCTET) * OCTET;
    float v[OCTET] = {0};
    if (row < live) load8(v, t.at(first + row, column + at), d - at, wide);
    store_octet(to + row * STRIDE + at, v);
  }
}

/* Two neighbours of a row, the first at an even column of aligned memory. */
__device__ __forceinline__ void store_pair(float *p, float a, float b) { p[0] = a, p[1] = b; }
__device__ __forceinline__ void store_pair(bf16 *p, float a, float b) {
  *(uint32_t *)p = pack_bf16(a, b);
}

/* Stores or, with t.add, adds c[16, D] times factor to `live` rows of t from `first` on, columns
 * column … column + d - 1. wide as for load_tile. */
template <typename T, int D>
__device__ __forceinline__ void store_rows(const matrix<T> &t, int64_t first, int live,
                                           int64_t column, int d, bool wide,
                                           const fragment (&c)[D / 8], const float (&factor)[2]) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int row = fragment_row(2 * half);
    if (row >= live) continue;
    T *to = t.at(first + row, column + fragment_column(0));
    const float by = factor[half];
    if (wide && d == D && !t.add) {
#pragma unroll
      for (int j = 0; j < D / 8; j++)
        store_pair(to + 8 * j, c[j].v[2 * half] * by, c[j].v[2 * half + 1] * by);
      continue;
    }
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        if (8 * j + fragment_column(i) >= d) continue;
        T *p = to + 8 * j + i;
        const float v = c[j].v[2 * half + i] * by;
        *p = from_float<T>(t.add ? to_float(*p) + v : v);
      }
  }
}

#endif
