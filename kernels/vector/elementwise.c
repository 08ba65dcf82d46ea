/* elementwise.c: a vector program's instructions that are one f32 operation per element.
 * Each is written once, as a function of its operation and of which inputs are uniforms, both
 * constants where it is instantiated. Outputs may be inputs: element i depends on element i only.
 */
#include <math.h>

#include "kernels/vector/interpreter.h"
#include "kernels/simd/simd_math.h"

FSAM_INLINE vf truth(vi condition) { return (vf)(condition & (vi)v_set(1)); }

FSAM_INLINE vf apply_one(int op, vf a) {
  const vf zero = {0};
  switch (op) {
    case OP_NEG:
      return -a;
    case OP_ABS:
      return v_abs(a);
    case OP_SQRT:
      return v_sqrt(a);
    case OP_SIGN:
      return v_select(a > zero, v_set(1), v_select(a < zero, v_set(-1), a));
    case OP_EXP:
      return v_exp(a);
    case OP_LOG:
      return v_log(a);
    case OP_NOT:
      return truth(a == zero);
    default:
      return a;
  }
}

FSAM_INLINE vf apply_two(int op, vf a, vf b) {
  switch (op) {
    case OP_ADD:
      return a + b;
    case OP_SUB:
      return a - b;
    case OP_MUL:
      return a * b;
    case OP_DIV:
      return a / b;
    case OP_MIN:
      return v_select((a < b) | (a != a), a, b);
    case OP_MAX:
      return v_select((a > b) | (a != a), a, b);
    case OP_GT:
      return truth(a > b);
    case OP_GE:
      return truth(a >= b);
    case OP_EQ:
      return truth(a == b);
    case OP_ABS_ADD:
      return v_abs(a) + b;
    default:
      return v_select(a != (vf){0}, b, (vf){0}); /* OP_KEEP */
  }
}

FSAM_INLINE void run_one(program_frame *f, const fsam_instruction *in, int op, int kinds) {
  const float *a = REGISTER(0, a);
  const vf a_uniform = UNIFORM(0, a);
  float *out = f->r[in->out];
  FOR_STRIP(f, v_store(out + i, apply_one(op, INPUT(0, a))));
}

FSAM_INLINE void run_two(program_frame *f, const fsam_instruction *in, int op, int kinds) {
  const float *a = REGISTER(0, a), *b = REGISTER(1, b);
  const vf a_uniform = UNIFORM(0, a), b_uniform = UNIFORM(1, b);
  float *out = f->r[in->out];
  FOR_STRIP(f, v_store(out + i, apply_two(op, INPUT(0, a), INPUT(1, b))));
}

FSAM_INLINE void run_select(program_frame *f, const fsam_instruction *in, int kinds) {
  const float *a = REGISTER(0, a), *b = REGISTER(1, b), *c = REGISTER(2, c);
  const vf a_uniform = UNIFORM(0, a), b_uniform = UNIFORM(1, b), c_uniform = UNIFORM(2, c);
  float *out = f->r[in->out];
  FOR_STRIP(f, v_store(out + i, v_select(INPUT(0, a) != (vf){0}, INPUT(1, b), INPUT(2, c))));
}

/* Dividing by a scalar or row that is 0 (or rounds to it) gives 0. */
static void run_quotient(program_frame *f, const fsam_instruction *in) {
  const float *a = f->r[in->a];
  const float divisor = f->u[in->b];
  float *out = f->r[in->out];
  const vf b = v_set(divisor);
  const int n = f->padded;
  for (int i = 0; i < n; i += LANES) v_store(out + i, divisor == 0 ? (vf){0} : v_load(a + i) / b);
}

/* x^k for 1 <= k <= 16: square, and multiply by x where k's next bit is 1. */
static vf power_whole(vf x, int k) {
  vf y = x;
  int bit = 16;
  while (!(k & bit)) bit >>= 1;
  for (bit >>= 1; bit; bit >>= 1) {
    y = y * y;
    if (k & bit) y = y * x;
  }
  return y;
}

static void power_fixed(float *out, const float *x, float exponent, int n) {
  const float size = fabsf(exponent);
  const bool inverse = exponent < 0, whole = size <= 16 && size == (float)(int)size;
  for (int i = 0; i < n; i += LANES) {
    vf a = v_load(x + i), y;
    if (exponent == 0) {
      y = v_set(1);
    } else if (whole || size == 0.5f) {
      y = whole ? power_whole(a, (int)size) : v_sqrt(a);
      if (inverse) y = v_set(1) / y;
    } else {
      for (int k = 0; k < LANES; k++) y[k] = (float)pow(a[k], exponent);
    }
    v_store(out + i, y);
  }
}

static void run_power(program_frame *f, const fsam_instruction *in) {
  float *out = f->r[in->out];
  const int n = f->padded;
  if (in->kinds == 2) {
    power_fixed(out, f->r[in->a], f->u[in->b], n);
    return;
  }
  for (int i = 0; i < n; i++) {
    float base = in->kinds & 1 ? f->u[in->a] : f->r[in->a][i];
    float exponent = in->kinds & 2 ? f->u[in->b] : f->r[in->b][i];
    if (exponent == 2)
      out[i] = base * base;
    else
      out[i] = (float)pow(base, exponent);
  }
}

#define ONE(op, kinds)                                                     \
  static void op##_##kinds(program_frame *f, const fsam_instruction *in) { \
    run_one(f, in, OP_##op, kinds);                                        \
  }
#define TWO(op, kinds)                                                     \
  static void op##_##kinds(program_frame *f, const fsam_instruction *in) { \
    run_two(f, in, OP_##op, kinds);                                        \
  }
#define THREE(op, kinds)                                                   \
  static void op##_##kinds(program_frame *f, const fsam_instruction *in) { \
    run_select(f, in, kinds);                                              \
  }

#define EACH_ONE(X) \
  X(NEG, 0) X(ABS, 0) X(SQRT, 0) X(SIGN, 0) X(EXP, 0) X(LOG, 0) X(NOT, 0) X(COPY, 0) X(COPY, 1)
#define KINDS_TWO(X, op) X(op, 0) X(op, 1) X(op, 2)
#define EACH_TWO(X)                                                                      \
  KINDS_TWO(X, ADD)                                                                      \
  KINDS_TWO(X, SUB)                                                                      \
  KINDS_TWO(X, MUL)                                                                      \
  KINDS_TWO(X, DIV)                                                                      \
  KINDS_TWO(X, MIN) KINDS_TWO(X, MAX) KINDS_TWO(X, GT) KINDS_TWO(X, GE) KINDS_TWO(X, EQ) \
      KINDS_TWO(X, KEEP) X(ABS_ADD, 0) X(ABS_ADD, 2)
#define EACH_THREE(X) \
  X(SELECT, 0) X(SELECT, 1) X(SELECT, 2) X(SELECT, 3) X(SELECT, 4) X(SELECT, 5) X(SELECT, 6)

EACH_ONE(ONE)
EACH_TWO(TWO)
EACH_THREE(THREE)

program_fn FSAM_CPU(program_elementwise)(int op, int kinds) {
#define ENTRY(op, kinds) [OP_##op][kinds] = op##_##kinds,
  static const program_fn table[OP_COUNT][8] = {EACH_ONE(ENTRY) EACH_TWO(ENTRY) EACH_THREE(ENTRY)};
  if (op == OP_POW) return run_power;
  if (op == OP_QUOTIENT && kinds == 2) return run_quotient;
  return kinds < 8 ? table[op][kinds] : NULL;
}
