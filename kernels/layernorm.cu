/* layernorm.cu: z = residual + dropout(x + b), y = layernorm(z) gamma + beta, and the gradients
 * (layernorm.c). Bound by memory: one sweep forward, one backward; a block has a row, a thread an
 * octet of it. Forward reads x and the residual and writes z and y; backward reads dy and z, writes
 * dx and dresidual, and sums db, dgamma and dbeta along the way (columns.cuh). */
#include "kernels/cuda/layernorm_row.cuh"

/* -- forward ----------------------------------------------------------------------------------- */

template <typename T>
struct forward_arguments {
  matrix<T> y, z;
  matrix<float> stats;
  matrix<const T> x, residual;
  const float *b, *gamma, *beta;
  double eps;
  fsam_batch batch;
  drop_site site;
  int64_t columns;
  bool wide;
};

/* z of the thread's octet, with the rounding of the stored z. */
template <typename T>
__device__ __forceinline__ void sum_octet(float z[OCTET], const forward_arguments<T> &a,
                                          int64_t row, int64_t column, int64_t left) {
  float more[OCTET];
  load8(z, a.x.at(row, column), left, a.wide);
  if (a.b) {
    load8(more, a.b + column, left, a.wide);
    for (int i = 0; i < OCTET; i++) z[i] += more[i];
  }
  drop_octet(z, drop_site_in(a.site, &a.batch), batch_row_of(a.batch, row),
             (uint32_t)(column / OCTET));
  if (a.residual.data) {
    load8(more, a.residual.at(row, column), left, a.wide);
    for (int i = 0; i < OCTET; i++) z[i] += more[i];
  }
  round_octet<T>(z);
  store8(a.z.at(row, column), z, left, a.wide);
}

template <typename T>
static __global__ void __launch_bounds__(MAX_THREADS) layernorm_forward_k(forward_arguments<T> a) {
  wait_for_earlier();
  const int64_t row = blockIdx.x, column = (int64_t)threadIdx.x * OCTET, left = a.columns - column;
  float z[OCTET], y[OCTET];
  sum_octet(z, a, row, column, left);
  const statistics s = row_statistics(z, left, a.columns, a.eps);
  if (threadIdx.x == 0) {
    *a.stats.at(row, 0) = s.mean;
    *a.stats.at(row, 1) = s.scale;
  }
  scale_shift(y, z, s, a.gamma + column, a.beta + column, left, a.wide);
  store8(a.y.at(row, column), y, left, a.wide);
}

template <typename T>
static int forward(const fsam_device *device, const forward_arguments<T> &a, int64_t rows) {
  return FSAM_LAUNCH_EARLY(device, layernorm_forward_k<T>, dim3((unsigned)rows),
                           row_threads(a.columns), 0, a);
}

template <typename T>
static int forward(fsam_tensor *y, fsam_tensor *z, fsam_tensor *stats, const fsam_tensor *x,
                   const fsam_tensor *b, const fsam_tensor *residual, const fsam_tensor *gamma,
                   const fsam_tensor *beta, double eps, const fsam_batch *batch,
                   const fsam_dropout *dropout) {
  const forward_arguments<T> a = {matrix_of<T>(y),
                                  matrix_of<T>(z),
                                  matrix_of<float>(stats),
                                  matrix_of<const T>(x),
                                  matrix_of<const T>(residual),
                                  matrix_of<const float>(b).data,
                                  (const float *)gamma->data,
                                  (const float *)beta->data,
                                  eps,
                                  *batch,
                                  drop_site_of(dropout),
                                  z->shape[1],
                                  is_wide(y, z, x, b, residual, gamma, beta)};
  return forward(fsam__device_of(y), a, z->shape[0]);
}

int layernorm_forward_cuda(fsam_tensor *y, fsam_tensor *z, fsam_tensor *stats, const fsam_tensor *x,
                           const fsam_tensor *b, const fsam_tensor *residual,
                           const fsam_tensor *gamma, const fsam_tensor *beta, double eps,
                           const fsam_batch *batch, const fsam_dropout *dropout) {
  FSAM_TRY(check_width("layernorm_forward", z->shape[1]));
  return z->dtype == FSAM_BF16
             ? forward<bf16>(y, z, stats, x, b, residual, gamma, beta, eps, batch, dropout)
             : forward<float>(y, z, stats, x, b, residual, gamma, beta, eps, batch, dropout);
}

/* -- backward ---------------------------------------------------------------------------------- */

template <typename T>
struct backward_arguments {
  matrix<T> dx, dresidual; /* data NULL: not computed */
  matrix<const T> dy, z;
  matrix<const float> stats;
  const float *gamma;
  float *sums; /* [chunks, or runs][db, dgamma, dbeta][stride] */
  int64_t stride;
  row_chunks chunks;
  fsam_batch batch;
  drop_site site;
  int64_t columns;
  bool wide;
};

/* One row; in the tail dz is zero. */
template <typename T>
__device__ __forceinline__ void backward_row(const backward_arguments<T> &a, const drop_site &site,
                                             const float gamma[OCTET], float db[OCTET],
                                             float dgamma[OCTET], float dbeta[OCTET], int64_t row) {
  const int64_t column = (int64_t)threadIdx.x * OCTET, left = a.columns - column;
  const batch_row at = batch_row_of(a.batch, row);
  float dz[OCTET] = {0}, kept[OCTET];
  if (at.sample >= 0) { /* the same for the whole block */
    float dy[OCTET], z[OCTET];
    load8(dy, a.dy.at(row, column), left, a.wide);
    load8(z, a.z.at(row, column), left, a.wide);
    const statistics s = {*a.stats.at(row, 0), *a.stats.at(row, 1)};
    normalize_backward(dz, dgamma, dbeta, dy, z, s, gamma, a.columns);
  }
  for (int i = 0; i < OCTET; i++) kept[i] = dz[i];
  if (a.dresidual.data)
    store_or_add8(a.dresidual.at(row, column), dz, left, a.wide, a.dresidual.add);
  drop_octet(kept, site, at, (uint32_t)threadIdx.x);
  for (int i = 0; i < OCTET; i++) db[i] += kept[i];
  if (a.dx.data) store_or_add8(a.dx.at(row, column), kept, left, a.wide, a.dx.add);
}

__device__ __forceinline__ void store_sums(float *sums, int64_t stride, int64_t left,
                                           const float db[OCTET], const float dgamma[OCTET],
                                           const float dbeta[OCTET]) {
  store8(sums, db, left, true);
  store8(sums + stride, dgamma, left, true);
  store8(sums + 2 * stride, dbeta, left, true);
}

/* RUNS: the sums are of each run of a sample's rows, not of the chunk. */
template <typename T, bool RUNS>
static __global__ void __launch_bounds__(MAX_THREADS)
    layernorm_backward_k(backward_arguments<T> a) {
  wait_for_earlier();
  const int64_t column = (int64_t)threadIdx.x * OCTET, left = a.columns - column;
  const int64_t first = (int64_t)blockIdx.x * a.chunks.each;
  const int64_t end = first + a.chunks.each < a.chunks.rows ? first + a.chunks.each : a.chunks.rows;
  float gamma[OCTET], db[OCTET] = {0}, dgamma[OCTET] = {0}, dbeta[OCTET] = {0};
  const drop_site site = drop_site_in(a.site, &a.batch);
  load8(gamma, a.gamma + column, left, a.wide);
  for (int64_t row = first; row < end; row++) {
    backward_row(a, site, gamma, db, dgamma, dbeta, row);
    if (!RUNS) continue;
    const int sample = a.batch.sample[row]; /* the same for the whole block */
    if (sample < 0 || (row + 1 < end && a.batch.sample[row + 1] == sample)) continue;
    store_sums(a.sums + ((int64_t)blockIdx.x + sample) * 3 * a.stride + column, a.stride, left, db,
               dgamma, dbeta);
    for (int i = 0; i < OCTET; i++) db[i] = dgamma[i] = dbeta[i] = 0;
  }
  if (!RUNS)
    store_sums(a.sums + (int64_t)blockIdx.x * 3 * a.stride + column, a.stride, left, db, dgamma,
               dbeta);
}

template <typename T>
static int backward(fsam_tensor *dx, fsam_tensor *dresidual, fsam_tensor *db, fsam_tensor *dgamma,
                    fsam_tensor *dbeta, const fsam_tensor *dy, const fsam_tensor *z,
                    const fsam_tensor *stats, const fsam_tensor *gamma, const fsam_batch *batch,
                    const fsam_dropout *dropout, bool squares) {
  fsam_device *device = fsam__device_of(z);
  const int64_t n = z->shape[1], stride = divide_up(n, OCTET) * OCTET;
  const row_chunks chunks = row_chunks_of(z->shape[0]);
  const row_samples samples = row_samples_of(batch, false);
  const int64_t sets = squares ? most_runs(chunks, samples) : chunks.count;
  const size_t bytes = (size_t)(sets * 3 * stride) * sizeof(float);
  void *sums;
  FSAM_TRY(squares ? fsam__workspace(&sums, device, bytes)
                   : column_sums_memory(&sums, device, bytes));
  const backward_arguments<T> a = {matrix_of<T>(dx),
                                   matrix_of<T>(dresidual),
                                   matrix_of<const T>(dy),
                                   matrix_of<const T>(z),
                                   matrix_of<const float>(stats),
                                   (const float *)gamma->data,
                                   (float *)sums,
                                   stride,
                                   chunks,
                                   *batch,
                                   drop_site_of(dropout),
                                   n,
                                   is_wide(dx, dresidual, dy, z, gamma)};
  const dim3 grid((unsigned)chunks.count);
  const int threads = row_threads(n);
  FSAM_TRY(squares
               ? FSAM_LAUNCH(device, (layernorm_backward_k<T, true>), grid, threads, 0, a)
               : FSAM_LAUNCH_EARLY(device, (layernorm_backward_k<T, false>), grid, threads, 0, a));
  sum_outputs outputs = {};
  set_output(&outputs, 0, db);
  set_output(&outputs, 1, dgamma);
  set_output(&outputs, 2, dbeta);
  return squares
             ? column_squares(device, outputs, (const float *)sums, chunks, samples, 3, stride, n)
             : column_sums(device, outputs, (const float *)sums, chunks, 3, stride, n);
}

int layernorm_backward_cuda(fsam_tensor *dx, fsam_tensor *dresidual, fsam_tensor *db,
                            fsam_tensor *dgamma, fsam_tensor *dbeta, const fsam_tensor *dy,
                            const fsam_tensor *z, const fsam_tensor *stats,
                            const fsam_tensor *gamma, const fsam_batch *batch,
                            const fsam_dropout *dropout) {
  FSAM_TRY(check_width("layernorm_backward", z->shape[1]));
  const auto run = z->dtype == FSAM_BF16 ? backward<bf16> : backward<float>;
  return run(dx, dresidual, db, dgamma, dbeta, dy, z, stats, gamma, batch, dropout, false);
}

int layernorm_backward_squares_cuda(fsam_tensor *dx, fsam_tensor *dresidual, fsam_tensor *db,
                                    fsam_tensor *dgamma, fsam_tensor *dbeta, const fsam_tensor *dy,
                                    const fsam_tensor *z, const fsam_tensor *stats,
                                    const fsam_tensor *gamma, const fsam_batch *batch,
                                    const fsam_dropout *dropout) {
  FSAM_TRY(check_width("layernorm_backward_squares", z->shape[1]));
  const auto run = z->dtype == FSAM_BF16 ? backward<bf16> : backward<float>;
  return run(dx, dresidual, db, dgamma, dbeta, dy, z, stats, gamma, batch, dropout, true);
}
