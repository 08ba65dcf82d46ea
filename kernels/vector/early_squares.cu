/* early_squares.cu: the sums of squares of a gradient's blocks, while the rest of the gradient is
 * still being made. With them known the program that begins with the gradient's norm need not read
 * it again (programs_cuda.c). At the few tokens of a sentence a pass waits for its launches and not
 * for memory, so that reading beside it costs little. The bits are those of the program's own
 * sweep: each block is added up in the same order. Bound by memory. */
#include "engine/program.h"
#include "kernels/cuda/common.cuh"
#include "kernels/vector/generated.cuh"

enum {
  THREADS = 128,
  AT_ONCE = THREADS / LANES_OF_SUM, /* blocks of the layout */
  AHEAD = 16                        /* elements that a lane has on their way */
};

/* partials[slot] = the sum of a block's squares, of the layout's blocks from `first` to `end`, each
 * by sixteen lanes: lane i takes elements i, i + 16, … in order. */
static __global__ void __launch_bounds__(THREADS)
    early_squares_k(double *partials, const program_block *blocks, const float *vector,
                    int64_t first, int64_t end) {
  wait_for_earlier();
  const int64_t b = first + (int64_t)blockIdx.x * AT_ONCE + threadIdx.x / LANES_OF_SUM;
  const program_block block = b < end ? blocks[b] : program_block{0, 0, 0, 0};
  const float *x = vector + block.offset;
  double sum = identity(DOT);
  for (int i = (int)threadIdx.x % LANES_OF_SUM; i < block.count; i += AHEAD * LANES_OF_SUM) {
    float next[AHEAD];
#pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      const int at = i + k * LANES_OF_SUM;
      next[k] = at < block.count ? x[at] : 0; /* adding 0 to a sum of squares changes no bit */
    }
#pragma unroll
    for (int k = 0; k < AHEAD; k++) sum = combine(DOT, sum, element(DOT, next[k], next[k]));
  }
  sum = fold(DOT, sum);
  if (b < end && threadIdx.x % LANES_OF_SUM == 0) partials[block.slot] = sum;
}

/* The first block that begins at this element or behind it. */
static int64_t block_at(const fsam_layout *l, int64_t element) {
  int64_t from = 0, end = l->block_count;
  while (from < end) {
    const int64_t middle = (from + end) / 2;
    if (l->blocks[middle].offset < element)
      from = middle + 1;
    else
      end = middle;
  }
  return from;
}

/* Their own copy of the blocks: a graph names it, and the one for programs moves when it grows. */
static int prepare(fsam_layout *l) {
  if (l->squares) return FSAM_OK;
  fsam_device *device = l->device;
  const size_t table = (size_t)l->block_count * sizeof *l->blocks;
  const size_t slots = (size_t)SPAN * (size_t)l->first_span[l->parameters];
  FSAM_TRY(fsam__not_recording(device, "make room for early squares"));
  double *memory = (double *)device->memory->alloc(device, slots * sizeof(double) + table + 64);
  if (!memory) return fsam__fail(FSAM_ENOMEM, "squares: no memory on the device for their sums");
  l->squares = memory;
  return device->memory->copy_in(device, memory + slots, l->blocks, table);
}

int squares_part_cuda(fsam_layout *l, const fsam_tensor *vector, int64_t first, int64_t count) {
  FSAM_TRY(prepare(l));
  const int64_t from = block_at(l, first), end = block_at(l, first + count);
  const size_t slots = (size_t)SPAN * (size_t)l->first_span[l->parameters];
  return FSAM_LAUNCH_EARLY(l->device, early_squares_k,
                           dim3((unsigned)divide_up(end - from, AT_ONCE)), THREADS, 0, l->squares,
                           (const program_block *)(l->squares + slots), (const float *)vector->data,
                           from, end);
}
