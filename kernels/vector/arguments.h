/* arguments.h: the arguments of a vector program's CUDA kernels, for host and device. The generated
 * source appends the program's own fields: pointers to its bound vectors and cells, and its numbers
 * (source_cuda.c). NVRTC reads this too, so that it has only structs of whole words. */
#ifndef FSAM_VECTOR_ARGUMENTS_H
#define FSAM_VECTOR_ARGUMENTS_H

#include <stdint.h>

/* The same as layout_block of engine/program.h, which NVRTC does not see. */
typedef struct program_block {
  int64_t offset;
  int32_t count;
  int32_t parameter;
  int64_t slot;
} program_block;

/* All pointers are to device memory. */
typedef struct program_fixed {
  const program_block *blocks;
  const int32_t *first_span;  /* [parameters + 1] */
  const int32_t *span_blocks; /* [spans]: how many blocks each has */
  const int32_t *layer;       /* [parameters] */
  double *scalars, *rows;     /* registers; a row has one f64 per parameter */
  double *partials;           /* [reductions of the sweep][SPAN][spans] */
  double *sums;               /* [reductions of the sweep][parameters] */
  float *uniforms;            /* broadcast scalars, with their values at BROADCAST */
  float *keys;                /* f32[total] for the vector that KEY names, or NULL */
  int64_t block_count, act;
  int64_t partial_count; /* partials of one reduction: SPAN * spans */
  int32_t parameters, spans;
  int32_t units, unused; /* units: multiprocessors of the device */
} program_fixed;

#endif
