/* embedding.cu: z = word[id] + position[pos] + token_type[type], y = dropout(layernorm(z) gamma +
 * beta), and the gradients (embedding.c). Bound by memory: a block has a row, a thread an octet of
 * it. Forward and backward are one sweep each; backward leaves dz in f32 for the tables' gradients.
 *
 * Those are sums without atomics. In a table of many rows the first token that names a row owns it
 * and adds all others that name it, in order. To find them, each token scans the indices (T^2
 * comparisons of 4 bytes that lie in the L2 cache: little beside the rest of a pass, up to some
 * 10,000 tokens). A table of few rows, that of token types, is summed over chunks of tokens like a
 * bias. An index outside its table is a fault of the device.
 *
 * Squares of the samples' gradients come from the same sweeps: a sample's tokens follow each other,
 * so that a sum ends, and its square is added, where the next sample begins. */
#include "kernels/cuda/layernorm_row.cuh"

/* indices[row], if a table of `rows` rows has it; else 0, and a fault. */
__device__ __forceinline__ int64_t table_row(const int32_t *indices, int64_t row, int64_t rows,
                                             int32_t *fault, int32_t which) {
  const int32_t index = indices[row];
  if (index >= 0 && index < rows) return index;
  *fault = which;
  return 0;
}

/* -- forward ----------------------------------------------------------------------------------- */

template <typename T>
struct forward_arguments {
  matrix<T> y, z;
  matrix<float> stats;
  matrix<const T> word, position, token_type; /* token_type.data may be NULL */
  int64_t words, positions, token_types;      /* rows of the tables */
  const float *gamma, *beta;
  double eps;
  fsam_batch batch;
  drop_site site;
  int32_t *fault;
  int64_t columns;
  bool wide;
};

template <typename T>
__device__ __forceinline__ void add_octet(float z[OCTET], const matrix<const T> &table, int64_t row,
                                          int64_t column, int64_t left, bool wide) {
  float v[OCTET];
  load8(v, table.at(row, column), left, wide);
  for (int i = 0; i < OCTET; i++) z[i] += v[i];
}

template <typename T>
static __global__ void __launch_bounds__(MAX_THREADS) embedding_forward_k(forward_arguments<T> a) {
  const int64_t row = blockIdx.x, column = (int64_t)threadIdx.x * OCTET, left = a.columns - column;
  const int64_t word = table_row(a.batch.ids, row, a.words, a.fault, FAULT_IDS);
  const int64_t position = table_row(a.batch.positions, row, a.positions, a.fault, FAULT_POSITIONS);
  float z[OCTET], y[OCTET];
  load8(z, a.word.at(word, column), left, a.wide);
  add_octet(z, a.position, position, column, left, a.wide);
  if (a.token_type.data) {
    const int64_t token_type =
        table_row(a.batch.token_types, row, a.token_types, a.fault, FAULT_TOKEN_TYPES);
    add_octet(z, a.token_type, token_type, column, left, a.wide);
  }
  round_octet<T>(z);
  store8(a.z.at(row, column), z, left, a.wide);
  const statistics s = row_statistics(z, left, a.columns, a.eps);
  if (threadIdx.x == 0) {
    *a.stats.at(row, 0) = s.mean;
    *a.stats.at(row, 1) = s.scale;
  }
  scale_shift(y, z, s, a.gamma + column, a.beta + column, left, a.wide);
  drop_octet(y, drop_site_in(a.site, &a.batch), batch_row_of(a.batch, row), (uint32_t)threadIdx.x);
  store8(a.y.at(row, column), y, left, a.wide);
}

template <typename T>
static int forward(fsam_tensor *y, fsam_tensor *z, fsam_tensor *stats, const fsam_tensor *word,
                   const fsam_tensor *position, const fsam_tensor *token_type,
                   const fsam_tensor *gamma, const fsam_tensor *beta, double eps,
                   const fsam_batch *batch, const fsam_dropout *dropout) {
  fsam_device *device = fsam__device_of(y);
  const forward_arguments<T> a = {matrix_of<T>(y),
                                  matrix_of<T>(z),
                                  matrix_of<float>(stats),
                                  matrix_of<const T>(word),
                                  matrix_of<const T>(position),
                                  matrix_of<const T>(token_type),
                                  word->shape[0],
                                  position->shape[0],
                                  token_type ? token_type->shape[0] : 0,
                                  (const float *)gamma->data,
                                  (const float *)beta->data,
                                  eps,
                                  *batch,
                                  drop_site_of(dropout),
                                  device->fault,
                                  z->shape[1],
                                  is_wide(y, z, word, position, token_type, gamma, beta)};
  return FSAM_LAUNCH(device, embedding_forward_k<T>, dim3((unsigned)batch->tokens),
                     row_threads(a.columns), 0, a);
}

/* Fails unless the batch has indices for every table that is given. */
static int check_indices(const char *op, const fsam_batch *batch, const fsam_tensor *word,
                         const fsam_tensor *position, const fsam_tensor *token_type) {
  const char *what = word && !batch->ids                 ? "ids"
                     : position && !batch->positions     ? "positions"
                     : token_type && !batch->token_types ? "token_types"
                                                         : NULL;
  return what ? fsam__fail(FSAM_EINVAL, "%s: the batch has no %s", op, what) : FSAM_OK;
}

int embedding_forward_cuda(fsam_tensor *y, fsam_tensor *z, fsam_tensor *stats,
                           const fsam_tensor *word, const fsam_tensor *position,
                           const fsam_tensor *token_type, const fsam_tensor *gamma,
                           const fsam_tensor *beta, double eps, const fsam_batch *batch,
                           const fsam_dropout *dropout) {
  FSAM_TRY(check_width("embedding_forward", z->shape[1]));
  FSAM_TRY(check_indices("embedding_forward", batch, word, position, token_type));
  return z->dtype == FSAM_BF16 ? forward<bf16>(y, z, stats, word, position, token_type, gamma, beta,
                                               eps, batch, dropout)
                               : forward<float>(y, z, stats, word, position, token_type, gamma,
                                                beta, eps, batch, dropout);
}

/* -- backward: of the normalisation ------------------------------------------------------------ */

template <typename T>
struct backward_arguments {
  matrix<const T> dy, z;
  matrix<const float> stats;
  const float *gamma;
  float *dz;   /* [rows][stride]: zero in the tail */
  float *sums; /* [chunks, or runs][dgamma, dbeta][stride] */
  int64_t stride;
  row_chunks chunks;
  fsam_batch batch;
  drop_site site;
  int64_t columns;
  bool wide;
};

/* RUNS: the sums are of each run of a sample's rows, not of the chunk. */
template <typename T, bool RUNS>
static __global__ void __launch_bounds__(MAX_THREADS)
    embedding_backward_k(backward_arguments<T> a) {
  const int64_t column = (int64_t)threadIdx.x * OCTET, left = a.columns - column;
  const int64_t first = (int64_t)blockIdx.x * a.chunks.each;
  const int64_t end = first + a.chunks.each < a.chunks.rows ? first + a.chunks.each : a.chunks.rows;
  float gamma[OCTET], dgamma[OCTET] = {0}, dbeta[OCTET] = {0};
  float *sums = a.sums + (int64_t)blockIdx.x * 2 * a.stride + column;
  const drop_site site = drop_site_in(a.site, &a.batch);
  load8(gamma, a.gamma + column, left, a.wide);
  for (int64_t row = first; row < end; row++) {
    const batch_row at = batch_row_of(a.batch, row);
    float dz[OCTET] = {0};
    if (at.sample >= 0) { /* the same for the whole block */
      float dy[OCTET], z[OCTET];
      load8(dy, a.dy.at(row, column), left, a.wide);
      load8(z, a.z.at(row, column), left, a.wide);
      drop_octet(dy, site, at, (uint32_t)threadIdx.x);
      const statistics s = {*a.stats.at(row, 0), *a.stats.at(row, 1)};
      normalize_backward(dz, dgamma, dbeta, dy, z, s, gamma, a.columns);
    }
    store8(a.dz + row * a.stride + column, dz, left, true);
    if (!RUNS || at.sample < 0 || (row + 1 < end && a.batch.sample[row + 1] == at.sample)) continue;
    float *run = sums + at.sample * 2 * a.stride;
    store8(run, dgamma, left, true);
    store8(run + a.stride, dbeta, left, true);
    for (int i = 0; i < OCTET; i++) dgamma[i] = dbeta[i] = 0;
  }
  if (RUNS) return;
  store8(sums, dgamma, left, true);
  store8(sums + a.stride, dbeta, left, true);
}

/* -- backward: of the tables ------------------------------------------------------------------- */

enum { THREADS = 128, FEW = 8 /* rows of a table that is summed by chunks */ };

struct scatter_arguments {
  float *table; /* f32[rows][columns] */
  const int32_t *indices;
  const float *dz;
  int64_t stride, rows, columns;
  fsam_batch batch;
  int32_t *fault;
  int32_t which;
  bool squares; /* of the samples' sums, added up */
};

/* Does token t name row `row` of the table? */
__device__ __forceinline__ bool names(const scatter_arguments &a, int64_t t, int64_t row) {
  return a.indices[t] == row && a.batch.sample[t] >= 0;
}

/* found[0 … *count) = the tokens first … first + THREADS - 1 that name `row`, in order. */
__device__ __forceinline__ int find(int *found, const scatter_arguments &a, int64_t first,
                                    int64_t row) {
  FSAM_SHARED(int, counts, THREADS / WARP);
  const int64_t t = first + threadIdx.x;
  const bool hit = t < a.batch.tokens && names(a, t, row);
  const uint32_t hits = warp_ballot(hit);
  if (lane_id() == 0) counts[warp_id()] = __popc(hits);
  __syncthreads(); /* also: no thread still reads what an earlier call found */
  int before = __popc(hits & ((1u << lane_id()) - 1)), total = 0;
  for (int w = 0; w < THREADS / WARP; w++) {
    before += w < warp_id() ? counts[w] : 0;
    total += counts[w];
  }
  if (hit) found[before] = (int)t;
  __syncthreads();
  return total;
}

/* total += sum^2, and a new sum begins. */
__device__ __forceinline__ void end_square(float total[OCTET], float sum[OCTET]) {
  for (int i = 0; i < OCTET; i++) {
    total[i] += sum[i] * sum[i];
    sum[i] = 0;
  }
}

/* Block (token, columns): if the token is the first to name its row, the sum of dz over all that
 * name it goes to that row; with `squares` the sum of the samples' squares. */
template <bool SQUARES>
static __global__ void __launch_bounds__(THREADS) scatter_k(scatter_arguments a) {
  FSAM_SHARED(int, found, THREADS);
  const int64_t token = blockIdx.x;
  const int64_t column = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * OCTET;
  const int64_t left = a.columns - column;
  if (a.batch.sample[token] < 0) return;
  const int64_t row = a.indices[token];
  if (row < 0 || row >= a.rows) {
    *a.fault = a.which;
    return;
  }
  float sum[OCTET] = {0}, total[OCTET] = {0};
  int sample = a.batch.sample[token];
  for (int64_t first = 0; first < a.batch.tokens; first += THREADS) {
    const int count = find(found, a, first, row);
    if (first <= token && count && found[0] < token) return; /* another token owns the row */
    for (int k = 0; k < count; k++) {
      float v[OCTET];
      if (SQUARES && a.batch.sample[found[k]] != sample) {
        end_square(total, sum);
        sample = a.batch.sample[found[k]];
      }
      load8(v, a.dz + found[k] * a.stride + column, left, true);
      for (int i = 0; i < OCTET; i++) sum[i] += v[i];
    }
  }
  if (SQUARES) {
    end_square(total, sum);
    for (int i = 0; i < OCTET; i++) sum[i] = total[i];
  }
  store_or_add8(a.table + row * a.columns + column, sum, left, a.columns % OCTET == 0, true);
}

/* Block (chunk, columns, row of the table): the chunk's sum for that row, or that of each run of a
 * sample's tokens. sums: f32[chunks, or runs][rows][columns], so that all rows are added up as if
 * they were one. */
template <bool RUNS>
static __global__ void __launch_bounds__(THREADS)
    few_rows_k(scatter_arguments a, row_chunks chunks, float *sums) {
  const int64_t column = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * OCTET;
  const int64_t left = a.columns - column, first = (int64_t)blockIdx.x * chunks.each;
  const int64_t end = first + chunks.each < chunks.rows ? first + chunks.each : chunks.rows;
  const int64_t step = a.rows * a.columns; /* from the sums of one chunk to the next */
  const bool wide = a.columns % OCTET == 0;
  if (left <= 0) return;
  float sum[OCTET] = {0};
  sums += blockIdx.x * step + blockIdx.z * a.columns + column;
  for (int64_t t = first; t < end; t++) {
    if (a.indices[t] < 0 || a.indices[t] >= a.rows) *a.fault = a.which;
    if (names(a, t, blockIdx.z)) {
      float v[OCTET];
      load8(v, a.dz + t * a.stride + column, left, true);
      for (int i = 0; i < OCTET; i++) sum[i] += v[i];
    }
    if (!RUNS) continue;
    const int sample = a.batch.sample[t];
    if (sample < 0 || (t + 1 < end && a.batch.sample[t + 1] == sample)) continue;
    store8(sums + sample * step, sum, left, wide);
    for (int i = 0; i < OCTET; i++) sum[i] = 0;
  }
  if (!RUNS) store8(sums, sum, left, wide);
}

static int few_rows(fsam_device *device, fsam_tensor *table, const scatter_arguments &a,
                    const row_chunks &chunks, float *sums) {
  const int64_t columns = a.rows * a.columns;
  const dim3 grid((unsigned)chunks.count, (unsigned)divide_up(a.columns, OCTET * THREADS),
                  (unsigned)a.rows);
  sum_outputs outputs = {};
  set_output(&outputs, 0, table);
  if (!a.squares) {
    FSAM_TRY(FSAM_LAUNCH(device, few_rows_k<false>, grid, THREADS, 0, a, chunks, sums));
    return column_sums(device, outputs, sums, chunks, 1, columns, columns);
  }
  FSAM_TRY(FSAM_LAUNCH(device, few_rows_k<true>, grid, THREADS, 0, a, chunks, sums));
  return column_squares(device, outputs, sums, chunks, row_samples_of(&a.batch, false), 1, columns,
                        columns);
}

/* What all parts of a backward share: dz[rows][stride], and room for FEW rows of sums for each
 * chunk or run. */
struct backward_memory {
  fsam_device *device;
  float *dz, *sums;
  int64_t stride;
  row_chunks chunks;
  bool squares;
};

/* Adds dz into a table's gradient, or the squares of the samples' shares in it. */
static int backward_table(const backward_memory &m, fsam_tensor *table, const int32_t *indices,
                          int32_t which, const fsam_batch *batch) {
  if (!table) return FSAM_OK;
  const int64_t rows = table->shape[0], n = table->shape[1];
  const scatter_arguments a = {(float *)table->data, indices, m.dz,     m.stride, rows, n, *batch,
                               m.device->fault,      which,   m.squares};
  if (rows <= FEW) return few_rows(m.device, table, a, m.chunks, m.sums);
  if (!table->filled)
    FSAM_TRY(m.device->memory->zero(m.device, table->data, (size_t)(rows * n) * sizeof(float)));
  const dim3 grid((unsigned)batch->tokens, (unsigned)divide_up(n, OCTET * THREADS));
  return m.squares ? FSAM_LAUNCH(m.device, scatter_k<true>, grid, THREADS, 0, a)
                   : FSAM_LAUNCH(m.device, scatter_k<false>, grid, THREADS, 0, a);
}

template <typename T>
static int backward_norm(const backward_memory &m, const fsam_tensor *dy, const fsam_tensor *z,
                         const fsam_tensor *stats, const fsam_tensor *gamma,
                         const fsam_batch *batch, const fsam_dropout *dropout) {
  const backward_arguments<T> a = {matrix_of<const T>(dy),
                                   matrix_of<const T>(z),
                                   matrix_of<const float>(stats),
                                   (const float *)gamma->data,
                                   m.dz,
                                   m.sums,
                                   m.stride,
                                   m.chunks,
                                   *batch,
                                   drop_site_of(dropout),
                                   z->shape[1],
                                   is_wide(dy, z, gamma)};
  const dim3 grid((unsigned)m.chunks.count);
  const int threads = row_threads(a.columns);
  return m.squares ? FSAM_LAUNCH(m.device, (embedding_backward_k<T, true>), grid, threads, 0, a)
                   : FSAM_LAUNCH(m.device, (embedding_backward_k<T, false>), grid, threads, 0, a);
}

static int backward(const char *op, fsam_tensor *dword, fsam_tensor *dposition,
                    fsam_tensor *dtoken_type, fsam_tensor *dgamma, fsam_tensor *dbeta,
                    const fsam_tensor *dy, const fsam_tensor *z, const fsam_tensor *stats,
                    const fsam_tensor *gamma, const fsam_batch *batch, const fsam_dropout *dropout,
                    bool squares) {
  fsam_device *device = fsam__device_of(z);
  const int64_t n = z->shape[1], rows = z->shape[0], stride = divide_up(n, OCTET) * OCTET;
  const row_chunks chunks = row_chunks_of(rows);
  const row_samples samples = row_samples_of(batch, false);
  const int64_t sets = squares ? most_runs(chunks, samples) : chunks.count;
  void *workspace;
  FSAM_TRY(check_width(op, n));
  FSAM_TRY(check_indices(op, batch, dword, dposition, dtoken_type));
  FSAM_TRY(
      fsam__workspace(&workspace, device, (size_t)((rows + sets * FEW) * stride) * sizeof(float)));
  float *dz = (float *)workspace;
  const backward_memory m = {device, dz, dz + rows * stride, stride, chunks, squares};
  FSAM_TRY(z->dtype == FSAM_BF16 ? backward_norm<bf16>(m, dy, z, stats, gamma, batch, dropout)
                                 : backward_norm<float>(m, dy, z, stats, gamma, batch, dropout));
  sum_outputs outputs = {};
  set_output(&outputs, 0, dgamma);
  set_output(&outputs, 1, dbeta);
  FSAM_TRY(squares ? column_squares(device, outputs, m.sums, chunks, samples, 2, stride, n)
                   : column_sums(device, outputs, m.sums, chunks, 2, stride, n));
  FSAM_TRY(backward_table(m, dword, batch->ids, FAULT_IDS, batch));
  FSAM_TRY(backward_table(m, dposition, batch->positions, FAULT_POSITIONS, batch));
  return backward_table(m, dtoken_type, batch->token_types, FAULT_TOKEN_TYPES, batch);
}

int embedding_backward_cuda(fsam_tensor *dword, fsam_tensor *dposition, fsam_tensor *dtoken_type,
                            fsam_tensor *dgamma, fsam_tensor *dbeta, const fsam_tensor *dy,
                            const fsam_tensor *z, const fsam_tensor *stats,
                            const fsam_tensor *gamma, const fsam_batch *batch,
                            const fsam_dropout *dropout) {
  return backward("embedding_backward", dword, dposition, dtoken_type, dgamma, dbeta, dy, z, stats,
                  gamma, batch, dropout, false);
}

int embedding_backward_squares_cuda(fsam_tensor *dword, fsam_tensor *dposition,
                                    fsam_tensor *dtoken_type, fsam_tensor *dgamma,
                                    fsam_tensor *dbeta, const fsam_tensor *dy, const fsam_tensor *z,
                                    const fsam_tensor *stats, const fsam_tensor *gamma,
                                    const fsam_batch *batch, const fsam_dropout *dropout) {
  return backward("embedding_backward_squares", dword, dposition, dtoken_type, dgamma, dbeta, dy, z,
                  stats, gamma, batch, dropout, true);
}
