/* reduce.c: a vector program's reductions over one block. Element i goes to f64 lane i mod 16; the
 * lanes are folded as a tree at the block's end. Leaves to others: combining the blocks
 * (interpreter.c), in an order that the layout alone decides. So neither threads nor the
 * instruction set change a bit. */
#include <math.h>

#include "kernels/vector/interpreter.h"

/* Adds n elements to the sums, lane by lane; products of two f32 are exact in f64. */
FSAM_INLINE void add_elements(double *lanes, int op, const float *a, const float *b, int n) {
  vd16 sum;
  for (int k = 0; k < 2 * PARTS; k++) memcpy(&sum.part[k], lanes + k * LANES / 2, sizeof(vd));
  for (int i = 0; i < n; i += WIDE) {
    for (int p = 0; p < PARTS; p++) {
      const int at = i + p * LANES;
      vf x = v_load_n(a + at, n - at);
      if (op == OP_SUM) {
        v_add_f64(&sum, p, x);
        continue;
      }
      vf y = b == a ? x : v_load_n(b + at, n - at);
      if (op == OP_SUM_SQUARE_PRODUCT) x = y = x * y;
      sum.part[2 * p] += v_low(x) * v_low(y);
      sum.part[2 * p + 1] += v_high(x) * v_high(y);
    }
  }
  for (int k = 0; k < 2 * PARTS; k++) memcpy(lanes + k * LANES / 2, &sum.part[k], sizeof(vd));
}

/* The length of a whole strip, the usual case, is a constant where it is inlined. */
FSAM_INLINE void run_sum(program_frame *f, const fsam_instruction *in, int op, const float *a,
                         const float *b) {
  double *lanes = f->lanes[in->d];
  if (f->n == STRIP)
    add_elements(lanes, op, a, b, STRIP);
  else
    add_elements(lanes, op, a, b, f->n);
}

static void run_add(program_frame *f, const fsam_instruction *in) {
  const float *a = f->r[in->a];
  run_sum(f, in, OP_SUM, a, a);
}

static void run_dot(program_frame *f, const fsam_instruction *in) {
  const float *a = f->r[in->a];
  if (in->a == in->b)
    run_sum(f, in, OP_DOT, a, a);
  else
    run_sum(f, in, OP_DOT, a, f->r[in->b]);
}

static void run_sum_square_product(program_frame *f, const fsam_instruction *in) {
  run_sum(f, in, OP_SUM_SQUARE_PRODUCT, f->r[in->a], f->r[in->b]);
}

FSAM_INLINE vf better(int op, vf best, vf x) {
  vi keep = op == OP_MIN_OF ? best <= x : best >= x;
  return v_select(keep | (best != best), best, x);
}

FSAM_INLINE void run_extreme(program_frame *f, const fsam_instruction *in, int op) {
  const float *a = f->r[in->a];
  const int n = f->n;
  float lanes[WIDE];
  for (int k = 0; k < WIDE; k++) lanes[k] = (float)f->lanes[in->d][k];
  for (int p = 0; p < PARTS; p++) {
    vf best = v_load(lanes + p * LANES);
    int i = p * LANES;
    for (; i + LANES <= n; i += WIDE) {
      vf x = v_load(a + i);
      best = better(op, best, op == OP_MAX_ABS ? v_abs(x) : x);
    }
    v_store(lanes + p * LANES, best);
    for (int k = 0; i + k < n && k < LANES; k++) { /* the parameter's last elements */
      float x = op == OP_MAX_ABS ? fabsf(a[i + k]) : a[i + k];
      lanes[p * LANES + k] = (float)FSAM_CPU(program_combine)(op, lanes[p * LANES + k], x);
    }
  }
  for (int k = 0; k < WIDE; k++) f->lanes[in->d][k] = lanes[k];
}

static void max_abs(program_frame *f, const fsam_instruction *in) {
  run_extreme(f, in, OP_MAX_ABS);
}

static void min_of(program_frame *f, const fsam_instruction *in) { run_extreme(f, in, OP_MIN_OF); }

static void max_of(program_frame *f, const fsam_instruction *in) { run_extreme(f, in, OP_MAX_OF); }

program_fn FSAM_CPU(program_reduce)(int op) {
  switch (op) {
    case OP_SUM:
      return run_add;
    case OP_DOT:
      return run_dot;
    case OP_SUM_SQUARE_PRODUCT:
      return run_sum_square_product;
    case OP_MAX_ABS:
      return max_abs;
    case OP_MIN_OF:
      return min_of;
    case OP_MAX_OF:
      return max_of;
    default:
      return NULL;
  }
}

static double infinite(void) { return INFINITY; }

double FSAM_CPU(program_identity)(int op) {
  switch (op) {
#define FSAM_REDUCTION(name, operands, identity, element, combine) \
  case OP_##name:                                                  \
    return identity;
#include "engine/program.def"
    default:
      return NAN;
  }
}

double FSAM_CPU(program_combine)(int op, double a, double b) {
  switch (op) {
#define FSAM_REDUCTION(name, operands, identity, element, combine) \
  case OP_##name:                                                  \
    return combine;
#include "engine/program.def"
    default:
      return NAN;
  }
}

double FSAM_CPU(program_fold)(int op, const double lanes[WIDE]) {
  double x[WIDE];
  memcpy(x, lanes, sizeof x);
  for (int half = WIDE / 2; half; half /= 2)
    for (int i = 0; i < half; i++) x[i] = FSAM_CPU(program_combine)(op, x[i], x[i + half]);
  return x[0];
}
