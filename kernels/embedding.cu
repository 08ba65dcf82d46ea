/* embedding.cu: z = word[id] + position[pos] + token_type[type], y = dropout(layernorm(z) gamma +
 * beta), and the gradients (embedding.c). Bound by memory: a block has a row, a thread an octet of
 * it. Forward and backward are one sweep each; backward leaves dz in f32 for the tables' gradients.
 *
 * Those are sums without atomics. In a table of many rows the first token that names a row owns it
 * and adds all others that name it, in order. To find them, each token scans the indices (T^2
 * comparisons of 4 bytes that lie in the L2 cache: little beside the rest of a pass, up to some
 * 10,000 tokens). A table of few rows, that of token types, is summed over chunks of tokens like a
 * bias. An index outside its table is a fault of the device. */
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
  float *sums; /* [chunks][dgamma, dbeta][stride] */
  int64_t stride;
  row_chunks chunks;
  fsam_batch batch;
  drop_site site;
  int64_t columns;
  bool wide;
};

template <typename T>
static __global__ void __launch_bounds__(MAX_THREADS)
    embedding_backward_k(backward_arguments<T> a) {
  const int64_t column = (int64_t)threadIdx.x * OCTET, left = a.columns - column;
  const int64_t first = (int64_t)blockIdx.x * a.chunks.each;
  float gamma[OCTET], dgamma[OCTET] = {0}, dbeta[OCTET] = {0};
  const drop_site site = drop_site_in(a.site, &a.batch);
  load8(gamma, a.gamma + column, left, a.wide);
  for (int64_t row = first; row < first + a.chunks.each && row < a.chunks.rows; row++) {
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
  }
  float *sums = a.sums + (int64_t)blockIdx.x * 2 * a.stride + column;
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

/* Block (token, columns): if the token is the first to name its row, the sum of dz over all that
 * name it goes to that row. */
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
  float sum[OCTET] = {0};
  for (int64_t first = 0; first < a.batch.tokens; first += THREADS) {
    const int count = find(found, a, first, row);
    if (first <= token && count && found[0] < token) return; /* another token owns the row */
    for (int k = 0; k < count; k++) {
      float v[OCTET];
      load8(v, a.dz + found[k] * a.stride + column, left, true);
      for (int i = 0; i < OCTET; i++) sum[i] += v[i];
    }
  }
  store_or_add8(a.table + row * a.columns + column, sum, left, a.columns % OCTET == 0, true);
}

/* Block (chunk, columns, row of the table): the chunk's sum for that row. sums: f32[chunks][rows]
 * [columns], so that all rows are added up as if they were one. */
static __global__ void __launch_bounds__(THREADS)
    few_rows_k(scatter_arguments a, row_chunks chunks, float *sums) {
  const int64_t column = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * OCTET;
  const int64_t left = a.columns - column, first = (int64_t)blockIdx.x * chunks.each;
  if (left <= 0) return;
  float sum[OCTET] = {0};
  for (int64_t t = first; t < first + chunks.each && t < chunks.rows; t++) {
    if (a.indices[t] < 0 || a.indices[t] >= a.rows) *a.fault = a.which;
    if (!names(a, t, blockIdx.z)) continue;
    float v[OCTET];
    load8(v, a.dz + t * a.stride + column, left, true);
    for (int i = 0; i < OCTET; i++) sum[i] += v[i];
  }
  store8(sums + ((int64_t)blockIdx.x * a.rows + blockIdx.z) * a.columns + column, sum, left,
         a.columns % OCTET == 0);
}

static int few_rows(const fsam_device *device, fsam_tensor *table, const scatter_arguments &a,
                    const row_chunks &chunks, float *sums) {
  const unsigned wide = (unsigned)divide_up(a.columns, OCTET * THREADS);
  FSAM_TRY(FSAM_LAUNCH(device, few_rows_k, dim3((unsigned)chunks.count, wide, (unsigned)a.rows),
                       THREADS, 0, a, chunks, sums));
  sum_outputs outputs = {};
  set_output(&outputs, 0, table);
  return column_sums(device, outputs, sums, chunks, 1, a.rows * a.columns, a.rows * a.columns);
}

/* Adds dz into a table's gradient; `sums` has room for FEW rows of each chunk. */
static int backward_table(fsam_device *device, fsam_tensor *table, const int32_t *indices,
                          int32_t which, const float *dz, int64_t stride, const row_chunks &chunks,
                          float *sums, const fsam_batch *batch) {
  if (!table) return FSAM_OK;
  const int64_t rows = table->shape[0], n = table->shape[1];
  const scatter_arguments a = {(float *)table->data, indices, dz, stride, rows, n, *batch,
                               device->fault,        which};
  if (rows <= FEW) return few_rows(device, table, a, chunks, sums);
  if (!table->filled)
    FSAM_TRY(device->memory->zero(device, table->data, (size_t)(rows * n) * sizeof(float)));
  const unsigned wide = (unsigned)divide_up(n, OCTET * THREADS);
  return FSAM_LAUNCH(device, scatter_k, dim3((unsigned)batch->tokens, wide), THREADS, 0, a);
}

template <typename T>
static int backward(fsam_device *device, float *dz, float *sums, int64_t stride,
                    const row_chunks &chunks, const fsam_tensor *dy, const fsam_tensor *z,
                    const fsam_tensor *stats, const fsam_tensor *gamma, const fsam_batch *batch,
                    const fsam_dropout *dropout) {
  const backward_arguments<T> a = {matrix_of<const T>(dy),
                                   matrix_of<const T>(z),
                                   matrix_of<const float>(stats),
                                   (const float *)gamma->data,
                                   dz,
                                   sums,
                                   stride,
                                   chunks,
                                   *batch,
                                   drop_site_of(dropout),
                                   z->shape[1],
                                   is_wide(dy, z, gamma)};
  return FSAM_LAUNCH(device, embedding_backward_k<T>, dim3((unsigned)chunks.count),
                     row_threads(a.columns), 0, a);
}

int embedding_backward_cuda(fsam_tensor *dword, fsam_tensor *dposition, fsam_tensor *dtoken_type,
                            fsam_tensor *dgamma, fsam_tensor *dbeta, const fsam_tensor *dy,
                            const fsam_tensor *z, const fsam_tensor *stats,
                            const fsam_tensor *gamma, const fsam_batch *batch,
                            const fsam_dropout *dropout) {
  const char *op = "embedding_backward";
  fsam_device *device = fsam__device_of(z);
  const int64_t n = z->shape[1], rows = z->shape[0], stride = divide_up(n, OCTET) * OCTET;
  const row_chunks chunks = row_chunks_of(rows);
  void *workspace;
  FSAM_TRY(check_width(op, n));
  FSAM_TRY(check_indices(op, batch, dword, dposition, dtoken_type));
  FSAM_TRY(fsam__workspace(&workspace, device,
                           (size_t)((rows + chunks.count * FEW) * stride) * sizeof(float)));
  float *dz = (float *)workspace, *sums = dz + rows * stride;
  FSAM_TRY(
      z->dtype == FSAM_BF16
          ? backward<bf16>(device, dz, sums, stride, chunks, dy, z, stats, gamma, batch, dropout)
          : backward<float>(device, dz, sums, stride, chunks, dy, z, stats, gamma, batch, dropout));
  sum_outputs outputs = {};
  set_output(&outputs, 0, dgamma);
  set_output(&outputs, 1, dbeta);
  FSAM_TRY(column_sums(device, outputs, sums, chunks, 2, stride, n));
  FSAM_TRY(backward_table(device, dword, batch->ids, FAULT_IDS, dz, stride, chunks, sums, batch));
  FSAM_TRY(backward_table(device, dposition, batch->positions, FAULT_POSITIONS, dz, stride, chunks,
                          sums, batch));
  return backward_table(device, dtoken_type, batch->token_types, FAULT_TOKEN_TYPES, dz, stride,
                        chunks, sums, batch);
}
