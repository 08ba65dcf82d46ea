/* arguments.h: what the host hands to a vector program's CUDA kernels, as both see it. The
 * generated source appends the program's own part: pointers to its bound vectors and cells, and its
 * numbers (source_cuda.c). Read by NVRTC too: nothing but structs of whole words. */
#ifndef FSAM_VECTOR_ARGUMENTS_H
#define FSAM_VECTOR_ARGUMENTS_H

#include <stdint.h>

/* layout_block of engine/program.h. */
typedef struct program_piece {
  int64_t offset;
  int32_t count;
  int32_t parameter;
  int64_t slot;
} program_piece;

/* All pointers are to device memory. */
typedef struct program_fixed {
  const program_piece *blocks;
  const int32_t *first_span;  /* [parameters + 1] */
  const int32_t *span_blocks; /* [spans]: how many blocks each has */
  const int32_t *layer;       /* [parameters] */
  double *scalars, *rows;     /* registers; a row has one f64 per parameter */
  double *partials;           /* [reductions of the sweep][SPAN][spans] */
  double *sums;               /* [reductions of the sweep][parameters] */
  float *uniforms;            /* those of scalars, as they were when broadcast */
  float *keys;                /* f32[total] for what KEY names, or NULL */
  int64_t block_count, act;
  int64_t partial_count; /* those of one reduction */
  int32_t parameters, spans;
} program_fixed;

#endif
