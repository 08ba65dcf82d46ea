/* layernorm_row.cuh: layer normalisation of one row by one block, forward and backward. Owns what
 * layernorm.cu and embedding.cu share; leaves to them where rows come from and where gradients go.
 * A thread keeps one octet of the row in registers throughout, so that nothing is read twice.
 * Statistics and sums are f32. */
#ifndef FSAM_LAYERNORM_ROW_CUH
#define FSAM_LAYERNORM_ROW_CUH

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/drop.cuh"

/* Columns of a row: an octet for each thread. (With 1,024 threads registers would not suffice.) */
enum { MAX_THREADS = 512, MAX_WIDTH = MAX_THREADS * OCTET };

/* Fails for a row that has more octets than a block has threads. */
static inline int check_width(const char *op, int64_t columns) {
  if (columns <= MAX_WIDTH) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL, "%s: rows of %lld columns, on cuda at most %d", op,
                    (long long)columns, (int)MAX_WIDTH);
}

/* Threads that a row takes. */
static inline int row_threads(int64_t columns) {
  return columns ? WARP * (int)divide_up(divide_up(columns, OCTET), WARP) : WARP;
}

/* The values as memory will hold them: rounded where T is bf16. */
template <typename T>
__device__ __forceinline__ void round_octet(float v[OCTET]) {
  for (int i = 0; i < OCTET; i++) v[i] = to_float(from_float<T>(v[i]));
}

struct statistics {
  float mean, scale; /* scale: 1 / sqrt(variance + eps) */
};

/* Of the block's row, of which each thread holds `left` columns (at most 8). Two sums, the second
 * of squares about the mean: the shorter formula cancels. The root is the machine's estimate and
 * one step of Newton's method, in f32: in f64 it would take each thread as long as all the rest. */
__device__ __forceinline__ statistics row_statistics(const float z[OCTET], int64_t left,
                                                     int64_t columns, double eps) {
  float sum[1] = {0}, squares[1] = {0};
  for (int i = 0; i < OCTET; i++) sum[0] += i < left ? z[i] : 0;
  block_sums(sum);
  const float mean = sum[0] / (float)columns;
  for (int i = 0; i < OCTET; i++) {
    const float d = i < left ? z[i] - mean : 0;
    squares[0] += d * d;
  }
  block_sums(squares);
  const float variance = squares[0] / (float)columns + (float)eps;
  const float scale = rsqrtf(variance);
  return {mean, scale * (1.5f - 0.5f * variance * scale * scale)};
}

/* y = h gamma + beta of the thread's octet, h = (z - mean) / deviation. */
__device__ __forceinline__ void scale_shift(float y[OCTET], const float z[OCTET], statistics s,
                                            const float *gamma, const float *beta, int64_t left,
                                            bool wide) {
  float g[OCTET], b[OCTET];
  load8(g, gamma, left, wide);
  load8(b, beta, left, wide);
  for (int i = 0; i < OCTET; i++) y[i] = (z[i] - s.mean) * s.scale * g[i] + b[i];
}

/* dz of the thread's octet, from dy and z (zeros beyond the row), and the row's share of dgamma and
 * dbeta added to the thread's sums. With g = dy gamma:
 *     dz = (g - mean(g) - h mean(g h)) / deviation */
__device__ __forceinline__ void normalize_backward(float dz[OCTET], float dgamma[OCTET],
                                                   float dbeta[OCTET], const float dy[OCTET],
                                                   const float z[OCTET], statistics s,
                                                   const float gamma[OCTET], int64_t columns) {
  float sums[2] = {0, 0}, h[OCTET];
  for (int i = 0; i < OCTET; i++) {
    h[i] = (z[i] - s.mean) * s.scale;
    dgamma[i] += dy[i] * h[i];
    dbeta[i] += dy[i];
    dz[i] = dy[i] * gamma[i];
    sums[0] += dz[i];
    sums[1] += dz[i] * h[i];
  }
  block_sums(sums);
  const float mean = sums[0] / (float)columns, mean_h = sums[1] / (float)columns;
  for (int i = 0; i < OCTET; i++) dz[i] = (dz[i] - mean - h[i] * mean_h) * s.scale;
}

#endif
