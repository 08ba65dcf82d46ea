/* interpreter.h: the CPU's machine for vector programs. The interpreter (interpreter.c) walks a
 * block in strips that fit the first-level cache; each instruction is a function over one strip.
 * Owns what these functions share. Leaves to others: the functions (elementwise.c, memory.c,
 * reduce.c), what runs between sweeps (scalar.c). */
#ifndef FSAM_VECTOR_INTERPRETER_H
#define FSAM_VECTOR_INTERPRETER_H

#include "engine/program.h"
#include "kernels/simd/simd.h"

enum { STRIP = 128 }; /* elements: a multiple of 64, a divisor of BLOCK */

/* One thread's view of the strip in hand. Registers of bound f32 vectors point into them. */
typedef struct program_frame {
  float *r[MAX_BOUND + MAX_TEMPS];
  float u[MAX_UNIFORMS];
  _Alignas(64) double lanes[MAX_REDUCTIONS][WIDE]; /* of the reductions, over the block so far */
  const double *s;                                 /* scalar registers */
  void *const *bound;
  int64_t offset; /* the strip's first element */
  int64_t act;    /* the layout's */
  int n;          /* its elements … */
  int padded;     /* … rounded up to WIDE: all of these may be read */
  const float *key;
  float *copies; /* f32[MAX_BOUND][STRIP]: registers that some strips write instead */
} program_frame;

/* Input `index` (from 0) of an instruction: its register, or NULL for a uniform; the uniform; its
 * elements i … i + LANES - 1. `kinds` is a constant where the function is defined. */
#define REGISTER(index, field) (kinds >> (index)&1 ? NULL : f->r[in->field])
#define UNIFORM(index, field) (kinds >> (index)&1 ? v_set(f->u[in->field]) : (vf){0})
#define INPUT(index, name) (kinds >> (index)&1 ? name##_uniform : v_load(name + i))

/* For an instruction of 1 to 4 inputs: the parameters of a function of them; the variables that
 * INPUT needs; its arguments for elements i …. */
#define PARAMETERS_1 vf a
#define PARAMETERS_2 vf a, vf b
#define PARAMETERS_3 vf a, vf b, vf c
#define PARAMETERS_4 vf a, vf b, vf c, vf d
#define DECLARE(index, name)                       \
  const float *const name = REGISTER(index, name); \
  const vf name##_uniform = UNIFORM(index, name)
#define DECLARE_1 DECLARE(0, a)
#define DECLARE_2 \
  DECLARE_1;      \
  DECLARE(1, b)
#define DECLARE_3 \
  DECLARE_2;      \
  DECLARE(2, c)
#define DECLARE_4 \
  DECLARE_3;      \
  DECLARE(3, d)
#define INPUTS_1 INPUT(0, a)
#define INPUTS_2 INPUTS_1, INPUT(1, b)
#define INPUTS_3 INPUTS_2, INPUT(2, c)
#define INPUTS_4 INPUTS_3, INPUT(3, d)

/* The choices of uniform inputs that an instruction of 1 to 4 inputs may have: X(name, inputs,
 * kinds). One input is a vector, except of a copy and a store; products of four inputs have their
 * uniform second. Lua's compiler (lua/fsam/vector/compile) makes no others. */
#define KINDS_1(X, name) X(name, 1, 0) X(name, 1, 1)
#define KINDS_2(X, name) X(name, 2, 0) X(name, 2, 1) X(name, 2, 2)
#define KINDS_3(X, name) \
  X(name, 3, 0)          \
  X(name, 3, 1) X(name, 3, 2) X(name, 3, 3) X(name, 3, 4) X(name, 3, 5) X(name, 3, 6)
#define KINDS_4(X, name) X(name, 4, 0) X(name, 4, 2) X(name, 4, 8) X(name, 4, 10)
enum { KINDS = 16 };

/* Does `statement` for i = 0, LANES, … below `count`. A whole strip, the usual case, has a constant
 * length, so that gcc unrolls it. */
#define FOR_COUNT(count, statement)                                             \
  do {                                                                          \
    const int n_ = (count);                                                     \
    if (n_ == STRIP) {                                                          \
      _Pragma("GCC unroll 8") for (int i = 0; i < STRIP; i += LANES) statement; \
    } else {                                                                    \
      for (int i = 0; i < n_; i += LANES) statement;                            \
    }                                                                           \
  } while (0)
#define FOR_STRIP(f, statement) FOR_COUNT((f)->padded, statement)

/* One bit per lane of a comparison's result, lane 0 lowest. */
FSAM_INLINE uint64_t lane_bits(vi condition) {
#if FSAM_LANES == 16
  return _mm512_movepi32_mask((__m512i)condition);
#elif FSAM_LANES == 8
  return (uint64_t)(uint32_t)_mm256_movemask_ps((__m256)condition);
#elif defined __SSE2__
  return (uint64_t)(uint32_t)_mm_movemask_ps((__m128)condition);
#else
  uint64_t bits = 0;
  for (int k = 0; k < LANES; k++) bits |= (uint64_t)(condition[k] & 1) << k;
  return bits;
#endif
}

typedef void (*program_fn)(program_frame *f, const fsam_instruction *in);

/* The function of an instruction, or NULL when it is another file's. */
program_fn FSAM_CPU(program_elementwise)(int op, int kinds);
program_fn FSAM_CPU(program_memory)(int op, int kinds);
program_fn FSAM_CPU(program_reduce)(int op);

double FSAM_CPU(program_identity)(int op);                       /* a reduction's starting value */
double FSAM_CPU(program_combine)(int op, double a, double b);    /* b comes after a */
double FSAM_CPU(program_fold)(int op, const double lanes[WIDE]); /* as a tree */

/* The scalar and row part of a stage: instructions [from, to). `rows` has one row of `parameters`
 * per row register. Fills uniforms of scalars in u; of rows, notes the register in row_of (else
 * -1), because they change from parameter to parameter. */
void FSAM_CPU(program_scalars)(const fsam_program *p, const fsam_layout *l, const fsam_binding *b,
                               int from, int to, double *scalars, double *rows, float *u,
                               int *row_of);

/* An instruction with its function; a reduction's `d` is its number within the sweep. */
typedef struct program_step {
  program_fn fn;
  fsam_instruction in;
} program_step;

/* A program in the middle of a run. Memory: the layout's workspace. */
typedef struct program_state {
  const fsam_program *program;
  fsam_layout *layout;
  const fsam_binding *binding;
  double *scalars, *rows;
  double *sums;        /* [parameters], [layers]: while a reduction is finished */
  double *partials;    /* [reductions of the sweep][blocks] */
  program_step *steps; /* of the stage in hand */
  int step_count;
  int written[MAX_BOUND]; /* the registers of bound vectors that the steps write, each once */
  int written_count;
  float u[MAX_UNIFORMS];
  int row_of[MAX_UNIFORMS];
} program_state;

/* Called after the instructions of every strip; f->key is what KEY named. */
typedef void (*program_sink)(void *context, const program_frame *f);

int FSAM_CPU(program_begin)(program_state *s, const fsam_program *p, fsam_layout *l,
                            const fsam_binding *b);
/* Runs a stage's scalar part and makes its sweep ready. */
void FSAM_CPU(program_prepare)(program_state *s, const program_stage *stage);
/* A frame for program_block; `temps` is f32[MAX_TEMPS + MAX_BOUND][STRIP], 64-byte aligned. */
void FSAM_CPU(program_frame_init)(program_frame *f, const program_state *s, float *temps);
/* Runs the sweep on one block. */
void FSAM_CPU(program_block)(program_frame *f, const program_state *s, int64_t block,
                             program_sink sink, void *context);
/* Runs a stage whole: scalars, the sweep on this process's blocks and all threads, reductions. */
int FSAM_CPU(program_stage_run)(program_state *s, const program_stage *stage);

#endif
