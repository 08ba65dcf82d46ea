/* early_squares.cu: the sums of squares of a gradient's blocks, while the rest of the gradient is
 * still being made. With them known the program that begins with the gradient's norm need not read
 * it again (programs_cuda.c). At the few tokens of a sentence a pass waits for its launches and not
 * for memory, so that reading beside it costs little. The bits are those of the program's own
 * sweep: each block is added up by the same functions. Bound by memory. */
#include "engine/program.h"
#include "kernels/cuda/common.cuh"
#include "kernels/vector/generated.cuh"
#include "kernels/vector/programs_cuda.h"

enum {
  THREADS = 256,
  CHUNK = THREADS * WIDTH,
  PER_UNIT = 4 /* blocks on a multiprocessor: half of its threads are left to other work */
};

/* partials[slot] = the sum of a block's squares, of the layout's blocks from `first` to `end`. One
 * warp of a block adds; another one in each of the blocks that share a multiprocessor. */
static __global__ void __launch_bounds__(THREADS)
    early_squares_k(double *partials, const program_block *blocks, const float *vector,
                    int64_t first, int64_t end, int units) {
  FSAM_SHARED(float, staged, CHUNK);
  const bool adds = warp_id() == (int)blockIdx.x / units % (THREADS / WARP);
  for (int64_t b = first + blockIdx.x; b < end; b += gridDim.x) {
    const program_block block = blocks[b];
    double sum = identity(DOT);
    for (int at = 0; at < block.count; at += CHUNK) {
      float v[WIDTH];
      load(v, vector, elements_of(block, at, THREADS, 0));
      lay(staged, v, THREADS);
      const int left = block.count - at;
      __syncthreads();
      if (adds) sum = add_chunk(DOT, sum, staged, staged, left < CHUNK ? left : CHUNK);
      __syncthreads();
    }
    if (!adds) continue;
    sum = fold(DOT, sum);
    if (lane_id() == 0) partials[block.slot] = sum;
  }
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
  const int units = program_module_units(l->device);
  const int64_t most = PER_UNIT * units, blocks = end - from < most ? end - from : most;
  const size_t slots = (size_t)SPAN * (size_t)l->first_span[l->parameters];
  return FSAM_LAUNCH(l->device, early_squares_k, dim3((unsigned)blocks), THREADS, 0, l->squares,
                     (const program_block *)(l->squares + slots), (const float *)vector->data, from,
                     end, units);
}
