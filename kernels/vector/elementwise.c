/* elementwise.c: a vector program's arithmetic on the CPU, SIMD vector by SIMD vector. Owns the
 * functions that the rows of program.def call, over vectors of f32. The rows themselves become one
 * function for each choice of inputs that are uniforms. Outputs may be inputs: element i depends on
 * element i only. Leaves to others: instructions that depend on where an element lies (memory.c),
 * the same arithmetic in f64 (scalar.c). */
#include <math.h>

#include "kernels/vector/interpreter.h"
#include "kernels/simd/simd_math.h"

FSAM_INLINE vf truth(vi condition) { return (vf)(condition & (vi)v_set(1)); }

FSAM_INLINE vf choose(vi condition, vf a, vf b) { return v_select(condition, a, b); }

FSAM_INLINE vf choose_or_zero(vi condition, vf a) { return v_select(condition, a, (vf){0}); }

FSAM_INLINE vf magnitude(vf a) { return v_abs(a); }

FSAM_INLINE vf square_root(vf a) { return v_sqrt(a); }

FSAM_INLINE vf exponential(vf a) { return v_exp(a); }

FSAM_INLINE vf logarithm(vf a) { return v_log(a); }

FSAM_INLINE vf sign(vf a) { return choose(a > 0, v_set(1), choose(a < 0, v_set(-1), a)); }

/* Adding and subtracting 2^23 rounds |a| < 2^23 to a whole number; larger ones are whole. */
FSAM_INLINE vf rounded_down(vf a) {
  const vf size = v_abs(a), near = v_copysign((size + 0x1p23f) - 0x1p23f, a);
  const vf down = v_copysign(near - truth(near > a), a);
  return choose(size < 0x1p23f, down, a);
}

FSAM_INLINE vf smaller(vf a, vf b) { return choose((a < b) | (a != a), a, b); }

FSAM_INLINE vf larger(vf a, vf b) { return choose((a > b) | (a != a), a, b); }

FSAM_INLINE vf ratio(vf a, vf b) { return a / b; }

/* Dividing by a scalar or row that is 0 (or rounds to it) gives 0. */
FSAM_INLINE vf quotient(vf a, vf b) { return choose(b == 0, (vf){0}, a / b); }

static vf power(vf x, vf exponent) {
  vf y;
  for (int k = 0; k < LANES; k++)
    y[k] = exponent[k] == 2 ? x[k] * x[k] : (float)pow(x[k], exponent[k]);
  return y;
}

/* x^k for 1 <= k <= 16: square, and multiply by x where k's next bit is 1. */
FSAM_INLINE vf power_whole(vf x, int k) {
  vf y = x;
  int bit = 16;
  while (!(k & bit)) bit >>= 1;
  for (bit >>= 1; bit; bit >>= 1) {
    y = y * y;
    if (k & bit) y = y * x;
  }
  return y;
}

/* x ^ exponent where all lanes have the same exponent. */
FSAM_INLINE vf power_fixed(vf x, vf exponents) {
  const float exponent = exponents[0], size = fabsf(exponent);
  vf y;
  if (exponent == 0) return v_set(1);
  if (size <= 16 && size == (float)(int)size) {
    y = power_whole(x, (int)size);
  } else if (size == 0.5f) {
    y = v_sqrt(x);
  } else {
    for (int k = 0; k < LANES; k++) y[k] = (float)pow(x[k], exponent);
    return y;
  }
  return exponent < 0 ? v_set(1) / y : y;
}

/* ADD_2: ADD of a vector and a uniform. */
#define INSTANCE(name, inputs, kinds_)                                        \
  static void name##_##kinds_(program_frame *f, const fsam_instruction *in) { \
    enum { kinds = kinds_ };                                                  \
    float *out = f->r[in->out];                                               \
    DECLARE_##inputs;                                                         \
    FOR_STRIP(f, v_store(out + i, name##_of(INPUTS_##inputs)));               \
  }
#define FSAM_ARITHMETIC(name, inputs, commutes, text) FSAM_ELEMENTWISE(name, inputs, text)
#define FSAM_ELEMENTWISE(name, inputs, text)                     \
  FSAM_INLINE vf name##_of(PARAMETERS_##inputs) { return text; } \
  KINDS_##inputs(INSTANCE, name)
#include "engine/program.def"

program_fn FSAM_CPU(program_elementwise)(int op, int kinds) {
#define ENTRY(name, inputs, kinds) [OP_##name][kinds] = name##_##kinds,
#define FSAM_ARITHMETIC(name, inputs, commutes, text) KINDS_##inputs(ENTRY, name)
#define FSAM_ELEMENTWISE(name, inputs, text) KINDS_##inputs(ENTRY, name)
  static const program_fn table[OP_COUNT][KINDS] = {
#include "engine/program.def"
  };
  return kinds < KINDS ? table[op][kinds] : NULL;
}
