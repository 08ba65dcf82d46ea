/* program.h: layouts and vector programs as the devices see them. Owns the structs behind
 * fsam_layout and fsam_program and the instruction numbers; private to the library. */
#ifndef FSAM_PROGRAM_H
#define FSAM_PROGRAM_H

#include "engine/engine.h"

/* OP_ADD, … in the order of program.def. */
enum {
#define FSAM_OP(name, operands) OP_##name,
#include "engine/program.def"
#undef FSAM_OP
  OP_COUNT
};

enum { SPACE_SCALAR = 0, SPACE_ROW = 1, SPACE_VECTOR = 2 };
enum { GROUP_ALL = 0, GROUP_PARAMETER = 1, GROUP_LAYER = 2 };

static inline bool op_reduces(int op) { return op >= OP_SUM && op <= OP_GREATEST; }

/* Limits of one program; what exceeds them is refused when it is made. */
enum {
  BLOCK = 4096, /* elements over which a reduction's partial sum runs */
  SPAN = 64,    /* blocks whose partial sums are added before those of others */
  MAX_BOUND = 96,
  MAX_TEMPS = 32,
  MAX_UNIFORMS = 192,
  MAX_REDUCTIONS = 32 /* in one pass */
};

/* Up to BLOCK consecutive elements of one parameter. A parameter's blocks are cut into spans of
 * SPAN. `slot`: where a GPU puts the partial sum, first blocks of all spans, then second ones, ….
 */
typedef struct layout_block {
  int64_t offset;
  int32_t count;
  int32_t parameter;
  int64_t slot;
} layout_block;

struct fsam_layout {
  fsam_device *device;
  int parameters, layers;
  int64_t total, act; /* elements with padding; how many of them the working copy rounds */
  int64_t block_count;
  layout_block *blocks;    /* of the parameters that are not frozen, in order */
  int64_t *first_block;    /* [parameters + 1] */
  int32_t *first_span;     /* [parameters + 1] */
  int32_t *span_blocks;    /* [spans]: how many each has */
  int64_t *offset, *count; /* [parameters] */
  int32_t *layer;          /* [parameters], 0 … layers - 1 */
  double *workspace;       /* a run's registers and partial sums */
  int64_t workspace_count;
  void *on_device; /* a GPU's copies of the above, and its registers, in its memory; or NULL */
  size_t on_device_bytes;
};

/* Instructions [scalars, pass) run once, then [vectors, end) on every block. */
typedef struct program_stage {
  int scalars, pass, vectors, end;
  int reductions;
} program_stage;

struct fsam_program {
  fsam_program_size size;
  int count, stage_count;
  fsam_instruction *code;
  program_stage *stages; /* the last one may have no pass (vectors == end) */
  const void *compiled;  /* what the device made of it, which outlives it; NULL: it interprets */
};

/* The layout's scratch memory, at least `count` doubles. NULL without memory. */
double *fsam__layout_workspace(fsam_layout *layout, int64_t count);

#endif
