/* columns.cuh: sums over the rows of a matrix, one for each column, the same bits on any GPU. Rows
 * are cut into chunks by their number alone. A kernel's block takes a chunk, row after row, sums in
 * registers and leaves the chunk's sums in the workspace; column_sums adds those.
 *
 * Where the squares of single samples' sums are wanted, a chunk leaves one set of sums for each
 * sample that has rows in it, and column_squares adds each sample's up, squares and adds. */
#ifndef FSAM_COLUMNS_CUH
#define FSAM_COLUMNS_CUH

#include "kernels/cuda/common.cuh"

struct row_chunks {
  int64_t rows; /* of the matrix */
  int each;     /* rows of a chunk: at least 4, so that sums are a quarter of what is read … */
  int count;    /* … and at most 512 chunks: four blocks for each multiprocessor of the largest */
};

static inline row_chunks row_chunks_of(int64_t rows) {
  row_chunks c;
  c.rows = rows;
  c.each = (int)divide_up(rows, 512);
  if (c.each < 4) c.each = 4;
  c.count = (int)divide_up(rows, c.each);
  return c;
}

enum { MAX_SUMS = 3 };

/* Where up to three sums go that were computed together, as chunk_sums[chunk][sum][stride]. */
struct sum_outputs {
  float *out[MAX_SUMS]; /* f32[columns] or NULL */
  bool add[MAX_SUMS];
};

/* The sum's output; a subscript would put the outputs into local memory. */
__device__ __forceinline__ float *output_of(const sum_outputs &o, unsigned sum) {
  return sum == 0 ? o.out[0] : sum == 1 ? o.out[1] : o.out[2];
}
__device__ __forceinline__ bool output_adds(const sum_outputs &o, unsigned sum) {
  return sum == 0 ? o.add[0] : sum == 1 ? o.add[1] : o.add[2];
}

enum { SUM_COLUMNS = 32, SUM_ROWS = 16 };

/* Memory for the sums of a kernel's chunks, which column_sums then adds up. A kernel calls both
 * once, and needs no workspace beside it. */
int column_sums_memory(void **out, fsam_device *device, size_t bytes);

/* Adds up chunk_sums[chunk][sum][stride]; at once, or with others of their kind in one launch
 * (column_sums.cu). */
int column_sums(fsam_device *device, const sum_outputs &outputs, const float *chunk_sums,
                const row_chunks &chunks, int sums, int64_t stride, int64_t columns);

/* -- squares of the samples' sums ---------------------------------------------------------------
 * The rows of one sample in one chunk are a run. Going through the rows, each new run is in a later
 * chunk, or of a later sample, or both: so the number `chunk + sample` is a run's own, and the runs
 * of a sample follow each other. */

/* Whose rows are which: sample b has the rows starts[b] … starts[b+1] - 1, and row r is of
 * sample[r] (-1: of none). Without starts, row b is sample b. */
struct row_samples {
  const int32_t *starts, *sample;
  int count;
  __device__ __forceinline__ int of_row(int64_t row) const {
    return starts ? sample[row] : (int)row;
  }
  __device__ __forceinline__ int64_t first(int b) const { return starts ? starts[b] : b; }
};

static inline row_samples row_samples_of(const fsam_batch *batch, bool per_sample) {
  return {per_sample ? NULL : batch->starts, batch->sample, batch->samples};
}

/* How many runs there may be. */
static inline int64_t most_runs(const row_chunks &chunks, const row_samples &samples) {
  return (int64_t)chunks.count + samples.count;
}

/* As column_sums_k (column_sums.cu); run_sums is [run][sum][stride], and a warp takes every
 * sixteenth sample. */
static __global__ void column_squares_k(sum_outputs outputs, const float *run_sums,
                                        row_chunks chunks, row_samples samples, int sums,
                                        int64_t stride, int64_t columns) {
  FSAM_SHARED(float, warp_sums, SUM_ROWS *SUM_COLUMNS);
  const int64_t column = (int64_t)blockIdx.x * SUM_COLUMNS + lane_id();
  float *out = output_of(outputs, blockIdx.y);
  if (!out) return;
  float total = 0;
  for (int b = warp_id(); b < samples.count && column < columns; b += SUM_ROWS) {
    const int64_t first = samples.first(b), end = samples.first(b + 1);
    if (first < 0 || first >= end || end > chunks.rows) continue;
    float sum = 0;
    for (int64_t i = first / chunks.each + b; i <= (end - 1) / chunks.each + b; i++)
      sum += run_sums[(i * sums + blockIdx.y) * stride + column];
    total += sum * sum;
  }
  warp_sums[threadIdx.x] = total;
  __syncthreads();
  if (warp_id() || column >= columns) return;
  total = 0;
  for (int i = 0; i < SUM_ROWS; i++) total += warp_sums[i * SUM_COLUMNS + lane_id()];
  out[column] = output_adds(outputs, blockIdx.y) ? out[column] + total : total;
}

static inline int column_squares(const fsam_device *device, const sum_outputs &outputs,
                                 const float *run_sums, const row_chunks &chunks,
                                 const row_samples &samples, int sums, int64_t stride,
                                 int64_t columns) {
  return FSAM_LAUNCH(
      device, column_squares_k, dim3((unsigned)divide_up(columns, SUM_COLUMNS), (unsigned)sums),
      SUM_COLUMNS * SUM_ROWS, 0, outputs, run_sums, chunks, samples, sums, stride, columns);
}

/* Sets outputs.out[i] to a gradient, which may be NULL. */
static inline void set_output(sum_outputs *outputs, int i, const fsam_tensor *t) {
  outputs->out[i] = t ? (float *)t->data : NULL;
  outputs->add[i] = t && t->filled;
}

#endif
