/* gelu.c: y[T,F] = gelu(x + b) and its gradients, with the bias of the layer before it fused in, so
 * that only x is kept for backward. With u = x + b (Hendrycks & Gimpel 2016):
 *     erf form   u Φ(u), Φ(u) = (1 + erf(u / sqrt 2)) / 2;     derivative Φ(u) + u φ(u)
 *     tanh form  u (1 + t) / 2, t = tanh(sqrt(2 / pi) (u + 0.044715 u^3))
 * Backward computes u again. dx may be dy. Any row strides. */
#include "simd_math.h"

#if FSAM_PUBLIC

static int check(const char *op, const fsam_tensor *x, const fsam_tensor *b, int form) {
  FSAM_TRY(fsam__expect(op, "x", x, -1, 2, -1, -1));
  FSAM_TRY(fsam__expect_optional(op, "b", b, FSAM_F32, 1, x->shape[1], -1));
  if (form == FSAM_GELU_ERF || form == FSAM_GELU_TANH) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL, "%s: form %d is unknown (0: erf, 1: tanh)", op, form);
}

int fsam_gelu_forward(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *b, int form) {
  FSAM_TRY(check("gelu_forward", x, b, form));
  FSAM_TRY(fsam__expect("gelu_forward", "y", y, x->dtype, 2, x->shape[0], x->shape[1]));
  return fsam__device_of(y)->kernels->gelu_forward(y, x, b, form);
}

int fsam_gelu_backward(fsam_tensor *dx, fsam_tensor *db, const fsam_tensor *dy,
                       const fsam_tensor *x, const fsam_tensor *b, int form) {
  FSAM_TRY(check("gelu_backward", x, b, form));
  FSAM_TRY(fsam__expect("gelu_backward", "dy", dy, x->dtype, 2, x->shape[0], x->shape[1]));
  FSAM_TRY(fsam__expect("gelu_backward", "dx", dx, x->dtype, 2, x->shape[0], x->shape[1]));
  FSAM_TRY(fsam__expect_optional("gelu_backward", "db", db, FSAM_F32, 1, x->shape[1], -1));
  return fsam__device_of(dx)->kernels->gelu_backward(dx, db, dy, x, b, form);
}

#endif

/* -- the function and its derivative ------------------------------------------------------------ */

#define SQRT_HALF 0x1.6a09e6p-1f         /* 1 / sqrt 2 */
#define INVERSE_SQRT_2PI 0x1.988454p-2f  /* 1 / sqrt(2 pi) */
#define SQRT_2_OVER_PI 0x1.988454p-1f    /* sqrt(2 / pi) */
#define CUBIC 0.044715f

FSAM_INLINE vf gelu(int form, vf u) {
  vf s = form == FSAM_GELU_ERF ? v_erf(u * SQRT_HALF)
                               : v_tanh(u * (SQRT_2_OVER_PI + SQRT_2_OVER_PI * CUBIC * (u * u)));
  return 0.5f * u * (1.0f + s);
}

FSAM_INLINE vf gelu_derivative(int form, vf u) {
  if (form == FSAM_GELU_ERF)
    return 0.5f * (1.0f + v_erf(u * SQRT_HALF)) + u * (v_exp(u * u * -0.5f) * INVERSE_SQRT_2PI);
  /* From |u| = 10 on t is 1 or -1, and u^2 must not overflow beside a factor 1 - t^2 = 0. */
  u = v_max(v_set(-10.0f), v_min(v_set(10.0f), u));
  vf z = u * u;
  vf t = v_tanh(u * (SQRT_2_OVER_PI + SQRT_2_OVER_PI * CUBIC * z));
  vf inner = SQRT_2_OVER_PI + 3.0f * SQRT_2_OVER_PI * CUBIC * z;
  return 0.5f * (1.0f + t) + 0.5f * u * ((1.0f - t * t) * inner);
}

/* -- forward ------------------------------------------------------------------------------------ */

FSAM_INLINE vf bias_at(const float *b, int64_t c, int64_t n) {
  return b ? v_load_n(b + c, n) : v_set(0.0f);
}

FSAM_INLINE void forward_row(int dtype, int form, void *y, int64_t y_at, const void *x,
                             int64_t x_at, const float *b, int64_t n) {
  for (int64_t c = 0; c < n; c += LANES) {
    vf u = v_load_act(dtype, x, x_at + c, n - c) + bias_at(b, c, n - c);
    v_store_act(dtype, y, y_at + c, gelu(form, u), n - c);
  }
}

#define SERIAL (1 << 13) /* elements below which one thread is faster */

int FSAM_CPU(gelu_forward)(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *b, int form) {
  const int64_t rows = x->shape[0], n = x->shape[1], ys = y->row_stride, xs = x->row_stride;
  const float *bias = b ? b->data : NULL;
  const bool bf16 = x->dtype == FSAM_BF16, erf_form = form == FSAM_GELU_ERF;
#pragma omp parallel for schedule(static) if (rows * n > SERIAL)
  for (int64_t r = 0; r < rows; r++) {
    if (bf16 && erf_form)
      forward_row(FSAM_BF16, FSAM_GELU_ERF, y->data, r * ys, x->data, r * xs, bias, n);
    else if (bf16)
      forward_row(FSAM_BF16, FSAM_GELU_TANH, y->data, r * ys, x->data, r * xs, bias, n);
    else if (erf_form)
      forward_row(FSAM_F32, FSAM_GELU_ERF, y->data, r * ys, x->data, r * xs, bias, n);
    else forward_row(FSAM_F32, FSAM_GELU_TANH, y->data, r * ys, x->data, r * xs, bias, n);
  }
  return FSAM_OK;
}

/* -- backward ----------------------------------------------------------------------------------- */

enum {
  STRIP = 32,    /* columns of one piece of work; threads share columns, never a sum */
  ROW_BLOCK = 64 /* rows of db summed by themselves before they join the total */
};

typedef struct backward {
  fsam_tensor *dx, *db;
  const fsam_tensor *dy, *x, *b;
} backward;

/* Rows r0 … r1 of the n <= LANES columns from c on: stores dx, returns the sums of its columns. */
FSAM_INLINE vf backward_block(int dtype, int form, const backward *a, int64_t r0, int64_t r1,
                              int64_t c, int64_t n) {
  const fsam_tensor *x = a->x, *dy = a->dy;
  fsam_tensor *dx = a->dx;
  vf bias = bias_at(a->b ? a->b->data : NULL, c, n), sum = {0};
  for (int64_t r = r0; r < r1; r++) {
    vf u = v_load_act(dtype, x->data, r * x->row_stride + c, n) + bias;
    vf gradient = v_load_act(dtype, dy->data, r * dy->row_stride + c, n) *
                  gelu_derivative(form, u);
    sum += gradient;
    int64_t at = r * dx->row_stride + c;
    if (dx->filled) gradient += v_load_act(dtype, dx->data, at, n);
    v_store_act(dtype, dx->data, at, gradient, n);
  }
  return sum;
}

FSAM_INLINE void backward_strip(int dtype, int form, const backward *a, int64_t first,
                                int64_t end) {
  vf total[STRIP / LANES] = {0};
  const int64_t rows = a->x->shape[0];
  for (int64_t r = 0; r < rows; r += ROW_BLOCK)
    for (int64_t c = first, i = 0; c < end; c += LANES, i++)
      total[i] += backward_block(dtype, form, a, r, r + ROW_BLOCK < rows ? r + ROW_BLOCK : rows, c,
                                 end - c);
  if (!a->db) return;
  float *db = a->db->data;
  for (int64_t c = first, i = 0; c < end; c += LANES, i++) {
    if (a->db->filled) total[i] += v_load_n(db + c, end - c);
    v_store_n(db + c, total[i], end - c);
  }
}

int FSAM_CPU(gelu_backward)(fsam_tensor *dx, fsam_tensor *db, const fsam_tensor *dy,
                            const fsam_tensor *x, const fsam_tensor *b, int form) {
  const backward a = {dx, db, dy, x, b};
  const int64_t n = x->shape[1];
  const bool bf16 = x->dtype == FSAM_BF16, erf_form = form == FSAM_GELU_ERF;
#pragma omp parallel for schedule(static) if (x->shape[0] * n > SERIAL)
  for (int64_t c = 0; c < n; c += STRIP) {
    int64_t end = c + STRIP < n ? c + STRIP : n;
    if (bf16 && erf_form) backward_strip(FSAM_BF16, FSAM_GELU_ERF, &a, c, end);
    else if (bf16) backward_strip(FSAM_BF16, FSAM_GELU_TANH, &a, c, end);
    else if (erf_form) backward_strip(FSAM_F32, FSAM_GELU_ERF, &a, c, end);
    else backward_strip(FSAM_F32, FSAM_GELU_TANH, &a, c, end);
  }
  return FSAM_OK;
}
