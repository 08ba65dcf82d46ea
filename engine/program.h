/* program.h: layouts and vector programs as the devices see them. Owns the structs behind
 * fsam_layout and fsam_program, and the instructions' numbers and rows; private to the library.
 * Leaves to others: what an instruction computes (program.def), computing it (kernels/vector). */
#ifndef FSAM_PROGRAM_H
#define FSAM_PROGRAM_H

#include <string.h>

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* OP_ADD, … */
enum {
#define FSAM_OP(name, operands, op_class, commutes, text) OP_##name,
#include "engine/program.def"
  OP_COUNT
};

enum { SPACE_SCALAR = 0, SPACE_ROW = 1, SPACE_VECTOR = 2 };
enum { GROUP_ALL = 0, GROUP_PARAMETER = 1, GROUP_LAYER = 2 };

/* The rows of program.def by number; libfsam-cuda.so reads them too. */
#pragma GCC visibility push(default)
extern const fsam_op fsam__ops[OP_COUNT];
#pragma GCC visibility pop

static inline bool op_reduces(int op) { return fsam__ops[op].op_class == FSAM_OP_REDUCTION; }

/* How many of its fields are inputs: a, b, …. */
static inline int op_inputs(int op) {
  const char *operands = fsam__ops[op].operands;
  return operands[0] ? (int)strlen(operands) - 1 : 0;
}

/* The letter of operand `i` (0: out, 1: a, …); 0 where the instruction has no such operand. */
static inline char op_letter(int op, int i) {
  return i <= op_inputs(op) ? fsam__ops[op].operands[i] : 0;
}

/* Field `i` of an instruction: out, a, b, c, d. */
static inline int op_field(const fsam_instruction *in, int i) {
  const int32_t fields[] = {in->out, in->a, in->b, in->c, in->d};
  return fields[i];
}

/* Is operand `i` one step smaller than the instruction's space? */
static inline bool op_smaller(const fsam_instruction *in, int i) {
  return i > 0 && (in->kinds >> (i - 1) & 1);
}

/* The group of a reduction; GROUP_ALL of other instructions. */
static inline int op_group(const fsam_instruction *in) {
  const char *operands = fsam__ops[in->op].operands, *g = strchr(operands, 'g');
  return g ? op_field(in, (int)(g - operands)) : GROUP_ALL;
}

/* Limits of one program; fsam_program_new refuses a larger one. */
enum {
  BLOCK = 4096, /* elements over which a reduction's partial sum runs */
  SPAN = 64,    /* blocks whose partial sums are added before those of others */
  MAX_BOUND = 96,
  MAX_TEMPS = 32,
  MAX_UNIFORMS = 192,
  MAX_REDUCTIONS = 32 /* in one sweep */
};

/* Up to BLOCK consecutive elements of one parameter. SPAN consecutive blocks of a parameter are a
 * span; its last one may have fewer. `slot`: where a GPU puts the block's partial sum: the first
 * blocks of all spans, then all second blocks, and so on. */
typedef struct layout_block {
  int64_t offset;
  int32_t count;
  int32_t parameter;
  int64_t slot;
} layout_block;

struct fsam_layout {
  fsam_device *device;
  int parameters, layers;
  int64_t total, act; /* elements with padding; the working copy rounds the first `act` */
  int64_t block_count;
  int64_t first, end;      /* the blocks that sweeps of this process run over: all, or its share */
  int64_t *share_blocks;   /* [ranks + 1]: where each rank's share begins, in blocks; NULL: whole */
  int64_t *share_starts;   /* the same in elements */
  int share, ranks;        /* this process's, of how many */
  layout_block *blocks;    /* of the parameters that are not frozen, in order */
  int64_t *first_block;    /* [parameters + 1] */
  int32_t *first_span;     /* [parameters + 1] */
  int32_t *span_blocks;    /* [spans]: how many each has */
  int64_t *offset, *count; /* [parameters] */
  int32_t *layer;          /* [parameters], 0 … layers - 1 */
  double *workspace;       /* registers and partial sums of fsam_program_run on the CPU */
  int64_t workspace_count;
  void *on_device; /* in a GPU's memory: copies of the above, and registers; or NULL */
  size_t on_device_bytes;
  float *keys; /* in a GPU's memory: of selections by computed values; or NULL */
  double *squares;     /* in a GPU's memory: sums of blocks' squares, by slots; or NULL */
  const void *squared; /* the vector of which these are (fsam_squares_of), or NULL */
};

/* Instructions [scalars, sweep) run once, then [vectors, end) on every block. */
typedef struct program_stage {
  int scalars, sweep, vectors, end;
  int reductions;
} program_stage;

struct fsam_program {
  fsam_program_size size;
  int count, stage_count;
  fsam_instruction *code;
  program_stage *stages; /* the last one may have no sweep (vectors == end) */
  const void *compiled;  /* the device's kernels for it, which outlive it; NULL: interpreted */
};

/* Does each rank hold a share of the vectors? */
static inline bool layout_is_shared(const fsam_layout *l) { return l->share_blocks != NULL; }

/* The layout's scratch memory, at least `count` doubles. NULL without memory. */
double *fsam__layout_workspace(fsam_layout *layout, int64_t count);

#ifdef __cplusplus
}
#endif

#endif
