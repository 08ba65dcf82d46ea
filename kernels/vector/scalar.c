/* scalar.c: the part of a vector program between sweeps, on scalars and rows, in f64. It is a few
 * instructions on a few hundred numbers: plain loops, one thread. Owns the functions that the rows
 * of program.def call, over f64. */
#include <math.h>

#include "kernels/vector/interpreter.h"

static double truth(bool condition) { return condition; }

static double choose(bool condition, double a, double b) { return condition ? a : b; }

static double choose_or_zero(bool condition, double a) { return condition ? a : 0; }

static double magnitude(double a) { return fabs(a); }

static double square_root(double a) { return sqrt(a); }

static double exponential(double a) { return exp(a); }

static double logarithm(double a) { return log(a); }

static double sign(double a) { return a > 0 ? 1 : a < 0 ? -1 : a; }

static double rounded_down(double a) { return floor(a); }

static double smaller(double a, double b) { return a < b || isnan(a) ? a : b; }

static double larger(double a, double b) { return a > b || isnan(a) ? a : b; }

/* 0 for a divisor of 0, and where the quotient is beyond f32's range; NaN stays. */
static double ratio(double a, double b) {
  if (isnan(a) || isnan(b)) return a + b;
  double q = a / b;
  return b == 0 || fabs(q) > 3.4028234663852886e38 ? 0 : q;
}

static double power(double x, double exponent) {
  double size = fabs(exponent), y = x;
  if (exponent == 0) return 1;
  if (size == 0.5) {
    y = sqrt(x);
  } else if (size <= 16 && size == floor(size)) {
    int k = (int)size, bit = 16;
    while (!(k & bit)) bit >>= 1;
    for (bit >>= 1; bit; bit >>= 1) {
      y = y * y;
      if (k & bit) y = y * x;
    }
  } else {
    return pow(x, exponent);
  }
  return exponent < 0 ? ratio(1, y) : y;
}

static double apply(int op, double a, double b, double c) {
  switch (op) {
#define FSAM_ARITHMETIC(name, inputs, commutes, text) \
  case OP_##name:                                     \
    return text;
#include "engine/program.def"
    default:
      return NAN; /* never: the engine refuses other instructions here */
  }
}

void FSAM_CPU(program_scalars)(const fsam_program *p, const fsam_layout *l, const fsam_binding *b,
                               int from, int to, double *scalars, double *rows, float *u,
                               int *row_of) {
  const size_t n = (size_t)l->parameters;
  for (int i = from; i < to; i++) {
    const fsam_instruction *in = &p->code[i];
    const bool row = in->space == SPACE_ROW;
    const size_t bytes = (row ? n : 1) * sizeof(double);
    double *base = row ? rows : scalars;
    const size_t width = row ? n : 1;
    if (in->op == OP_LOAD) {
      memcpy(base + (size_t)in->out * width, b->cells[in->a], bytes);
    } else if (in->op == OP_STORE) {
      memcpy(b->cells[in->out], base + (size_t)in->a * width, bytes);
    } else if (in->op == OP_BROADCAST) {
      row_of[in->out] = row ? in->a : -1;
      if (!row) u[in->out] = (float)scalars[in->a];
    } else {
      const int inputs = op_inputs(in->op);
      for (size_t k = 0; k < width; k++) {
        double x[4] = {0}; /* a, b, c behind out */
        for (int j = 1; j <= inputs; j++) {
          const size_t at = (size_t)op_field(in, j);
          x[j] = !row || op_smaller(in, j) ? scalars[at] : rows[at * n + k];
        }
        base[(size_t)in->out * width + k] = apply(in->op, x[1], x[2], x[3]);
      }
    }
  }
}
