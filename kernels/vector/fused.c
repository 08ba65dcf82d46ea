/* fused.c: pairs of arithmetic instructions run as one, so that what passes between them
 * stays in a register. Every operation is rounded by itself (-ffp-contract=off): the result is that
 * of the pair, bit for bit. */
#include "kernels/vector/interpreter.h"

enum { FUSED_ADD, FUSED_SUB, FUSED_RSUB, FUSED_MUL, FUSED_DIV, FUSED_RDIV };

FSAM_INLINE vf apply(int op, vf a, vf b) {
  switch (op) {
    case FUSED_ADD:
      return a + b;
    case FUSED_SUB:
      return a - b;
    case FUSED_RSUB:
      return b - a;
    case FUSED_MUL:
      return a * b;
    case FUSED_DIV:
      return a / b;
    default:
      return b / a; /* FUSED_RDIV */
  }
}

/* out = (a first b) second c */
FSAM_INLINE void run_three(program_frame *f, const fsam_instruction *in, int first, int second,
                           int kinds) {
  const float *a = REGISTER(0, a), *b = REGISTER(1, b), *c = REGISTER(2, c);
  const vf a_uniform = UNIFORM(0, a), b_uniform = UNIFORM(1, b), c_uniform = UNIFORM(2, c);
  float *out = f->r[in->out];
  FOR_STRIP(f,
            v_store(out + i, apply(second, apply(first, INPUT(0, a), INPUT(1, b)), INPUT(2, c))));
}

/* out = a b second c d */
FSAM_INLINE void run_four(program_frame *f, const fsam_instruction *in, int second, int kinds) {
  const float *a = REGISTER(0, a), *b = REGISTER(1, b);
  const float *c = REGISTER(2, c), *d = REGISTER(3, d);
  const vf a_uniform = UNIFORM(0, a), b_uniform = UNIFORM(1, b);
  const vf c_uniform = UNIFORM(2, c), d_uniform = UNIFORM(3, d);
  float *out = f->r[in->out];
  FOR_STRIP(f,
            v_store(out + i, apply(second, INPUT(0, a) * INPUT(1, b), INPUT(2, c) * INPUT(3, d))));
}

#define THREE(first, second, kinds)                                                      \
  static void first##_##second##_##kinds(program_frame *f, const fsam_instruction *in) { \
    run_three(f, in, FUSED_##first, FUSED_##second, kinds);                              \
  }
/* Sums and products have their uniform second; the compiler sees to it. */
#define KINDS_COMMUTING(X, first, second) \
  X(first, second, 0) X(first, second, 2) X(first, second, 4) X(first, second, 6)
#define KINDS_ALL(X, first, second) \
  KINDS_COMMUTING(X, first, second) X(first, second, 1) X(first, second, 5)
#define SECONDS(X, KINDS, first) \
  KINDS(X, first, ADD)           \
  KINDS(X, first, SUB)           \
  KINDS(X, first, RSUB) KINDS(X, first, MUL) KINDS(X, first, DIV) KINDS(X, first, RDIV)
#define EACH_THREE(X)              \
  SECONDS(X, KINDS_COMMUTING, ADD) \
  SECONDS(X, KINDS_ALL, SUB) SECONDS(X, KINDS_COMMUTING, MUL) SECONDS(X, KINDS_ALL, DIV)

#define FOUR(second, kinds)                                                              \
  static void MUL_MUL_##second##_##kinds(program_frame *f, const fsam_instruction *in) { \
    run_four(f, in, FUSED_##second, kinds);                                              \
  }
#define EACH_FOUR(X) \
  X(ADD, 0) X(ADD, 2) X(ADD, 8) X(ADD, 10) X(SUB, 0) X(SUB, 2) X(SUB, 8) X(SUB, 10)

EACH_THREE(THREE)
EACH_FOUR(FOUR)

program_fn FSAM_CPU(program_fused)(int op, int kinds) {
#define ENTRY(first, second, kinds) [OP_##first##_##second][kinds] = first##_##second##_##kinds,
#define ENTRY_FOUR(second, kinds) [OP_MUL_MUL_##second][kinds] = MUL_MUL_##second##_##kinds,
  static const program_fn table[OP_COUNT][16] = {EACH_THREE(ENTRY) EACH_FOUR(ENTRY_FOUR)};
  return kinds < 16 ? table[op][kinds] : NULL;
}
