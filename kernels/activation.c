/* activation.c: y[T,F] = f(x + b) and its gradients, with the bias of the layer before it fused in,
 * so that only x is kept for backward. With u = x + b the forms of f are
 *     GELU_ERF   u Φ(u) with derivative Φ(u) + u φ(u); Φ, φ: normal distribution and density
 *     GELU_TANH  u (1 + t) / 2, t = tanh(sqrt(2 / pi) (u + 0.044715 u^3))
 *     RELU       max(u, 0), whose derivative at 0 is 0
 *     SILU       u s(u), s(u) = 1 / (1 + exp(-u))
 *     TANH       tanh(u)
 * (Hendrycks & Gimpel 2016 for the first two and SILU). Backward computes u again. dx may be dy.
 * Any row strides. */
#include "kernels/simd/simd_math.h"

#if FSAM_PUBLIC

static int check(const char *op, const fsam_tensor *x, const fsam_tensor *b, int form) {
  FSAM_TRY(fsam__expect(op, "x", x, -1, 2, -1, -1));
  FSAM_TRY(fsam__expect_optional(op, "b", b, FSAM_F32, 1, x->shape[1], -1));
  if (form >= FSAM_GELU_ERF && form <= FSAM_TANH) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL,
                    "%s: form %d is unknown (0: gelu, 1: gelu's tanh form, 2: relu, 3: silu, "
                    "4: tanh)",
                    op, form);
}

int fsam_activation_forward(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *b, int form) {
  FSAM_TRY(check("activation_forward", x, b, form));
  FSAM_TRY(fsam__expect("activation_forward", "y", y, x->dtype, 2, x->shape[0], x->shape[1]));
  return fsam__device_of(y)->kernels->activation_forward(y, x, b, form);
}

int fsam_activation_backward(fsam_tensor *dx, fsam_tensor *db, const fsam_tensor *dy,
                             const fsam_tensor *x, const fsam_tensor *b, int form) {
  FSAM_TRY(check("activation_backward", x, b, form));
  FSAM_TRY(fsam__expect("activation_backward", "dy", dy, x->dtype, 2, x->shape[0], x->shape[1]));
  FSAM_TRY(fsam__expect("activation_backward", "dx", dx, x->dtype, 2, x->shape[0], x->shape[1]));
  FSAM_TRY(fsam__expect_optional("activation_backward", "db", db, FSAM_F32, 1, x->shape[1], -1));
  return fsam__device_of(dx)->kernels->activation_backward(dx, db, dy, x, b, form);
}

#endif

/* -- the function and its derivative ----------------------------------------------------------- */

/* c[0] + c[1] z + … + c[n-1] z^(n-1). */
FSAM_INLINE vf polynomial(const float *c, int n, vf z) {
  vf p = v_set(c[n - 1]);
  for (int i = n - 2; i >= 0; i--) p = p * z + c[i];
  return p;
}

/* u within [-end, end]; a NaN goes through. */
FSAM_INLINE vf clamp(vf u, float end) { return v_max(v_set(-end), v_min(v_set(end), u)); }

/* Φ(u) - 1/2 = u P(u^2) / Q(u^2) within 2e-7 (3e-8 on average): a minimax fit of our own. Its ends
 * are where f32 has Φ = 0 or 1, and it meets them exactly. */
FSAM_INLINE vf normal_cdf_less_half(vf u) {
  static const float P[] = {0x1.46d04p-1f,   0x1.b56ab2p-5f,  0x1.e7ad5ap-8f,
                            0x1.13afb2p-12f, 0x1.557358p-17f, 0x1.416c84p-25f};
  static const float Q[] = {0x1.99999ap+0f, 0x1.9a1ef2p-2f,  0x1.73f71cp-5f,
                            0x1.85db5ap-9f, 0x1.e5de92p-14f, 0x1.0542a8p-19f};
  u = clamp(u, 5.4f);
  vf z = u * u;
  return u * polynomial(P, 6, z) / polynomial(Q, 6, z);
}

/* Φ(u) - 1/2 + u φ(u), the same way, within 2e-7 (4e-8 on average); 1/2 from |u| = 5.95 on. */
FSAM_INLINE vf erf_slope_less_half(vf u) {
  static const float P[] = {0x1.562204p+0f,  -0x1.093708p-5f, 0x1.75c9bp-6f,   0x1.cbf486p-12f,
                            0x1.c21bfcp-15f, 0x1.dca5dcp-20f, 0x1.6a5b92p-26f, -0x1.a54ebp-35f};
  static const float Q[] = {0x1.acccccp+0f,  0x1.091768p-1f,  0x1.357a3ep-4f, 0x1.c05534p-8f,
                            0x1.bc0a12p-12f, 0x1.276198p-16f, 0x1.37fdd4p-21f};
  u = clamp(u, 5.95f);
  vf z = u * u;
  return u * polynomial(P, 8, z) / polynomial(Q, 7, z);
}

#define SQRT_2_OVER_PI 0x1.988454p-1f
#define CUBIC 0.044715f

FSAM_INLINE vf gelu_tanh_derivative(vf u) {
  /* From |u| = 10 on t is 1 or -1, and u^2 must not overflow beside a factor 1 - t^2 = 0. */
  u = clamp(u, 10.0f);
  vf z = u * u;
  vf t = v_tanh(u * (SQRT_2_OVER_PI + SQRT_2_OVER_PI * CUBIC * z));
  vf inner = SQRT_2_OVER_PI + 3.0f * SQRT_2_OVER_PI * CUBIC * z;
  return 0.5f * (1.0f + t) + 0.5f * u * ((1.0f - t * t) * inner);
}

FSAM_INLINE vf logistic(vf u) { return 1.0f / (1.0f + v_exp(-u)); }

FSAM_INLINE vf function(int form, vf u) {
  switch (form) {
    case FSAM_GELU_ERF:
      return u * (0.5f + normal_cdf_less_half(u));
    case FSAM_GELU_TANH:
      return 0.5f * u * (1.0f + v_tanh(u * (SQRT_2_OVER_PI + SQRT_2_OVER_PI * CUBIC * (u * u))));
    case FSAM_RELU:
      return v_max(v_set(0.0f), u); /* a NaN goes through */
    case FSAM_SILU:
      return u * logistic(u);
    default:
      return v_tanh(u);
  }
}

FSAM_INLINE vf derivative(int form, vf u) {
  switch (form) {
    case FSAM_GELU_ERF:
      return 0.5f + erf_slope_less_half(u);
    case FSAM_GELU_TANH:
      return gelu_tanh_derivative(u);
    case FSAM_RELU:
      return v_select(u > 0.0f, v_set(1.0f), v_select(u <= 0.0f, v_set(0.0f), u));
    case FSAM_SILU: {
      vf s = logistic(u);
      return s * (1.0f + u * (1.0f - s));
    }
    default: {
      vf t = v_tanh(u);
      return 1.0f - t * t;
    }
  }
}

/* -- forward ----------------------------------------------------------------------------------- */

FSAM_INLINE vf bias_at(const float *b, int64_t c, int64_t n) {
  return b ? v_load_n(b + c, n) : v_set(0.0f);
}

FSAM_INLINE void forward_row(int dtype, int form, void *y, int64_t y_at, const void *x,
                             int64_t x_at, const float *b, int64_t n) {
  for (int64_t c = 0; c < n; c += LANES) {
    vf u = v_load_act(dtype, x, x_at + c, n - c) + bias_at(b, c, n - c);
    v_store_act(dtype, y, y_at + c, function(form, u), n - c);
  }
}

enum { SERIAL = 1 << 13 /* elements below which one thread is faster */ };

/* `call` with FORM as a constant, so that loops have no test of the form. */
#define WITH_FORM(form, call)         \
  switch (form) {                     \
    case FSAM_GELU_ERF: {             \
      enum { FORM = FSAM_GELU_ERF };  \
      call;                           \
    } break;                          \
    case FSAM_GELU_TANH: {            \
      enum { FORM = FSAM_GELU_TANH }; \
      call;                           \
    } break;                          \
    case FSAM_RELU: {                 \
      enum { FORM = FSAM_RELU };      \
      call;                           \
    } break;                          \
    case FSAM_SILU: {                 \
      enum { FORM = FSAM_SILU };      \
      call;                           \
    } break;                          \
    default: {                        \
      enum { FORM = FSAM_TANH };      \
      call;                           \
    }                                 \
  }

FSAM_INLINE void forward_row_of(int dtype, int form, void *y, int64_t y_at, const void *x,
                                int64_t x_at, const float *b, int64_t n) {
  WITH_FORM(form, forward_row(dtype, FORM, y, y_at, x, x_at, b, n))
}

int FSAM_CPU(activation_forward)(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *b,
                                 int form) {
  const int64_t rows = x->shape[0], n = x->shape[1], ys = y->row_stride, xs = x->row_stride;
  const float *bias = b ? b->data : NULL;
  const bool bf16 = x->dtype == FSAM_BF16;
#pragma omp parallel for schedule(static) if (rows * n > SERIAL)
  for (int64_t r = 0; r < rows; r++) {
    if (bf16)
      forward_row_of(FSAM_BF16, form, y->data, r * ys, x->data, r * xs, bias, n);
    else
      forward_row_of(FSAM_F32, form, y->data, r * ys, x->data, r * xs, bias, n);
  }
  return FSAM_OK;
}

/* -- backward ---------------------------------------------------------------------------------- */

/* Each thread takes one tile of the matrix at a time. The tile's column sums lie in the device's
 * workspace and are added in the order of the rows, so that the number of threads changes no bit.
 */
enum { TILE_ROWS = 64, TILE_COLUMNS = 512 };

typedef struct backward {
  fsam_tensor *dx;
  const fsam_tensor *dy, *x, *b;
  float *sums; /* [rows of tiles, F]; NULL without db */
} backward;

/* Rows r0 … r1, columns c0 … c1: stores dx, and the sums of the columns in sums[c0 … c1]. */
FSAM_INLINE void backward_tile(int dtype, int form, const backward *a, float *sums, int64_t r0,
                               int64_t r1, int64_t c0, int64_t c1) {
  const fsam_tensor *x = a->x, *dy = a->dy;
  fsam_tensor *dx = a->dx;
  const float *bias = a->b ? a->b->data : NULL;
  if (sums) memset(sums + c0, 0, (size_t)(c1 - c0) * sizeof *sums);
  for (int64_t r = r0; r < r1; r++)
    for (int64_t c = c0; c < c1; c += LANES) {
      int64_t n = c1 - c, at = r * dx->row_stride + c;
      vf u = v_load_act(dtype, x->data, r * x->row_stride + c, n) + bias_at(bias, c, n);
      vf gradient = v_load_act(dtype, dy->data, r * dy->row_stride + c, n) * derivative(form, u);
      if (sums) v_store_n(sums + c, v_load_n(sums + c, n) + gradient, n);
      if (dx->filled) gradient += v_load_act(dtype, dx->data, at, n);
      v_store_act(dtype, dx->data, at, gradient, n);
    }
}

FSAM_INLINE void backward_tile_of(int dtype, int form, const backward *a, float *sums, int64_t r0,
                                  int64_t r1, int64_t c0, int64_t c1) {
  WITH_FORM(form, backward_tile(dtype, FORM, a, sums, r0, r1, c0, c1))
}

/* db[n] = the sum of the rows of sums[rows, n]. */
static void add_up(fsam_tensor *db, const float *sums, int64_t rows, int64_t n) {
  float *out = db->data;
  for (int64_t c = 0; c < n; c += LANES) {
    vf total = {0};
    for (int64_t r = 0; r < rows; r++) total += v_load_n(sums + r * n + c, n - c);
    if (db->filled) total += v_load_n(out + c, n - c);
    v_store_n(out + c, total, n - c);
  }
}

int FSAM_CPU(activation_backward)(fsam_tensor *dx, fsam_tensor *db, const fsam_tensor *dy,
                                  const fsam_tensor *x, const fsam_tensor *b, int form) {
  const int64_t rows = x->shape[0], n = x->shape[1];
  const int64_t tile_rows = (rows + TILE_ROWS - 1) / TILE_ROWS;
  const bool bf16 = x->dtype == FSAM_BF16;
  void *sums = NULL;
  if (db)
    FSAM_TRY(fsam__workspace(&sums, fsam__device_of(dx), (size_t)(tile_rows * n) * sizeof(float)));
  const backward a = {dx, dy, x, b, sums};
#pragma omp parallel for collapse(2) schedule(static) if (rows * n > SERIAL)
  for (int64_t t = 0; t < tile_rows; t++)
    for (int64_t c = 0; c < n; c += TILE_COLUMNS) {
      int64_t r0 = t * TILE_ROWS, r1 = r0 + TILE_ROWS < rows ? r0 + TILE_ROWS : rows;
      int64_t c1 = c + TILE_COLUMNS < n ? c + TILE_COLUMNS : n;
      float *row = a.sums ? a.sums + t * n : NULL;
      if (bf16)
        backward_tile_of(FSAM_BF16, form, &a, row, r0, r1, c, c1);
      else
        backward_tile_of(FSAM_F32, form, &a, row, r0, r1, c, c1);
    }
  if (db) add_up(db, a.sums, tile_rows, n);
  return FSAM_OK;
}
