/* scalar.c: the part of a vector program between passes, on scalars and rows, in f64. It is
 * a few instructions on a few hundred numbers: plain loops, one thread. */
#include <math.h>

#include "kernels/vector/interpreter.h"

/* 0 for a divisor of 0, and where the quotient is beyond f32's range; NaN stays. */
static double quotient(double a, double b) {
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
  return exponent < 0 ? quotient(1, y) : y;
}

static double apply(int op, double a, double b, double c) {
  switch (op) {
    case OP_COPY:
      return a;
    case OP_NEG:
      return -a;
    case OP_ABS:
      return fabs(a);
    case OP_SQRT:
      return sqrt(a);
    case OP_SIGN:
      return a > 0 ? 1 : a < 0 ? -1 : a;
    case OP_EXP:
      return exp(a);
    case OP_LOG:
      return log(a);
    case OP_NOT:
      return a == 0;
    case OP_ADD:
      return a + b;
    case OP_SUB:
      return a - b;
    case OP_MUL:
      return a * b;
    case OP_DIV:
      return quotient(a, b);
    case OP_MIN:
      return a < b || isnan(a) ? a : b;
    case OP_MAX:
      return a > b || isnan(a) ? a : b;
    case OP_POW:
      return power(a, b);
    case OP_GT:
      return a > b;
    case OP_GE:
      return a >= b;
    case OP_EQ:
      return a == b;
    case OP_KEEP:
      return a != 0 ? b : 0;
    case OP_SELECT:
      return a != 0 ? b : c;
    default:
      return NAN; /* vectors only; the compiler never sends it here */
  }
}

/* How many inputs an instruction has; the fields of the others are not registers. */
static int inputs_of(int op) { return op == OP_SELECT ? 3 : op >= OP_ADD && op <= OP_KEEP ? 2 : 1; }

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
    } else if (in->op == OP_SPREAD) {
      row_of[in->out] = row ? in->a : -1;
      if (!row) u[in->out] = (float)scalars[in->a];
    } else {
      const int field[3] = {in->a, in->b, in->c}, inputs = inputs_of(in->op);
      for (size_t k = 0; k < width; k++) {
        double x[3] = {0};
        for (int j = 0; j < inputs; j++)
          x[j] = !row || (in->kinds >> j & 1) ? scalars[field[j]] : rows[(size_t)field[j] * n + k];
        base[(size_t)in->out * width + k] = apply(in->op, x[0], x[1], x[2]);
      }
    }
  }
}
