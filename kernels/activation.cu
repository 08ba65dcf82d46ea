/* activation.cu: y = f(x + b) and its gradients (activation.c has the formulas). Bound by memory:
 * forward reads x and writes y, backward reads x and dy, writes dx and sums db along the way
 * (columns.cuh). A thread has one octet of columns. */
#include "kernels/cuda/columns.cuh"

enum { THREADS = 128 };

#define SQRT_HALF 0.70710678118654752f
#define INVERSE_SQRT_2_PI 0.39894228040143268f
#define SQRT_2_OVER_PI 0.79788456080286536f
#define CUBIC 0.044715f

__device__ __forceinline__ float gelu_tanh_derivative(float u) {
  /* From |u| = 10 on t is 1 or -1, and u^2 must not overflow beside a factor 1 - t^2 = 0. */
  u = u > 10 ? 10 : u < -10 ? -10 : u;
  const float t = tanhf(u * (SQRT_2_OVER_PI + SQRT_2_OVER_PI * CUBIC * (u * u)));
  const float inner = SQRT_2_OVER_PI + 3 * SQRT_2_OVER_PI * CUBIC * (u * u);
  return 0.5f * (1 + t) + 0.5f * u * ((1 - t * t) * inner);
}

/* P(u) + u p(u), of the normal distribution P and its density p. One exponential serves
 * both: P(-a) = exp(-a²/2) M(a), and M is a polynomial of 1 / (1 + 0.28 a), found as the one whose
 * largest error times the exponential is least: 9.3e-9. */
__device__ __forceinline__ float gelu_erf_derivative(float u) {
  const float a = fabsf(u), t = __fdividef(1, 1 + 0.28f * a);
  float m = -0.10580687f;
  m = m * t + 0.38986847f;
  m = m * t - 0.23698457f;
  m = m * t + 0.26890305f;
  m = m * t + 0.06749957f;
  m = m * t + 0.11652033f;
  const float part = expf(-0.5f * a * a) * (m * t - a * INVERSE_SQRT_2_PI);
  return u < 0 ? part : 1 - part;
}

__device__ __forceinline__ float logistic(float u) { return 1 / (1 + expf(-u)); }

template <int FORM>
__device__ __forceinline__ float function(float u) {
  switch (FORM) {
    case FSAM_GELU_ERF:
      return 0.5f * u * (1 + erff(u * SQRT_HALF));
    case FSAM_GELU_TANH:
      return 0.5f * u * (1 + tanhf(u * (SQRT_2_OVER_PI + SQRT_2_OVER_PI * CUBIC * (u * u))));
    case FSAM_RELU:
      return u <= 0 ? 0 : u; /* a NaN goes through */
    case FSAM_SILU:
      return u * logistic(u);
    default:
      return tanhf(u);
  }
}

template <int FORM>
__device__ __forceinline__ float derivative(float u) {
  switch (FORM) {
    case FSAM_GELU_ERF:
      return gelu_erf_derivative(u);
    case FSAM_GELU_TANH:
      return gelu_tanh_derivative(u);
    case FSAM_RELU:
      return u > 0 ? 1 : u <= 0 ? 0 : u;
    case FSAM_SILU: {
      const float s = logistic(u);
      return s * (1 + u * (1 - s));
    }
    default: {
      const float t = tanhf(u);
      return 1 - t * t;
    }
  }
}

/* u = x + b of one octet. */
template <typename T>
__device__ __forceinline__ void load_input(float u[OCTET], const matrix<const T> &x, const float *b,
                                           int64_t row, int64_t column, int64_t left, bool wide) {
  float bias[OCTET];
  load8(u, x.at(row, column), left, wide);
  if (!b) return;
  load8(bias, b + column, left, wide);
  for (int i = 0; i < OCTET; i++) u[i] += bias[i];
}

/* -- forward ----------------------------------------------------------------------------------- */

template <typename T, int FORM>
static __global__ void __launch_bounds__(THREADS)
    activation_forward_k(matrix<T> y, matrix<const T> x, const float *b, int64_t columns,
                         bool wide) {
  wait_for_earlier();
  const int64_t row = blockIdx.x;
  const int64_t column = ((int64_t)blockIdx.y * blockDim.x + threadIdx.x) * OCTET;
  if (column >= columns) return;
  float u[OCTET];
  load_input(u, x, b, row, column, columns - column, wide);
  for (int i = 0; i < OCTET; i++) u[i] = function<FORM>(u[i]);
  store8(y.at(row, column), u, columns - column, wide);
}

/* Threads of a block: at most as many as one row has octets. */
static int threads_of(int64_t columns) {
  const int64_t warps = divide_up(divide_up(columns, OCTET), WARP);
  return WARP * (int)(warps < THREADS / WARP ? warps : THREADS / WARP);
}

static dim3 grid_of(int64_t rows, int64_t columns) {
  return dim3((unsigned)rows, (unsigned)divide_up(columns, OCTET * threads_of(columns)));
}

template <typename T, int FORM>
static int forward(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *b) {
  const int64_t rows = x->shape[0], n = x->shape[1];
  return FSAM_LAUNCH_EARLY(fsam__device_of(y), (activation_forward_k<T, FORM>), grid_of(rows, n),
                           threads_of(n), 0, matrix_of<T>(y), matrix_of<const T>(x),
                           matrix_of<const float>(b).data, n, is_wide(y, x, b));
}

template <typename T>
static int forward_of(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *b, int form) {
  switch (form) {
    case FSAM_GELU_ERF:
      return forward<T, FSAM_GELU_ERF>(y, x, b);
    case FSAM_GELU_TANH:
      return forward<T, FSAM_GELU_TANH>(y, x, b);
    case FSAM_RELU:
      return forward<T, FSAM_RELU>(y, x, b);
    case FSAM_SILU:
      return forward<T, FSAM_SILU>(y, x, b);
    default:
      return forward<T, FSAM_TANH>(y, x, b);
  }
}

int activation_forward_cuda(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *b, int form) {
  return x->dtype == FSAM_BF16 ? forward_of<bf16>(y, x, b, form) : forward_of<float>(y, x, b, form);
}

/* -- backward ---------------------------------------------------------------------------------- */

/* sums: f32[chunks][columns]; NULL without db. */
template <typename T, int FORM>
static __global__ void __launch_bounds__(THREADS, 8)
    activation_backward_k(matrix<T> dx, matrix<const T> dy, matrix<const T> x, const float *b,
                          float *sums, row_chunks chunks, int64_t columns, bool wide) {
  wait_for_earlier();
  const int64_t column = ((int64_t)blockIdx.y * blockDim.x + threadIdx.x) * OCTET;
  const int64_t first = (int64_t)blockIdx.x * chunks.each, left = columns - column;
  if (column >= columns) return;
  float sum[OCTET] = {0};
  for (int64_t row = first; row < first + chunks.each && row < chunks.rows; row++) {
    float u[OCTET], gradient[OCTET];
    load_input(u, x, b, row, column, left, wide);
    load8(gradient, dy.at(row, column), left, wide);
    for (int i = 0; i < OCTET; i++) {
      gradient[i] *= derivative<FORM>(u[i]);
      sum[i] += gradient[i];
    }
    store_or_add8(dx.at(row, column), gradient, left, wide, dx.add);
  }
  if (sums) store8(sums + blockIdx.x * columns + column, sum, left, columns % OCTET == 0);
}

template <typename T, int FORM>
static int backward(fsam_tensor *dx, fsam_tensor *db, const fsam_tensor *dy, const fsam_tensor *x,
                    const fsam_tensor *b) {
  fsam_device *device = fsam__device_of(dx);
  const int64_t n = x->shape[1];
  const row_chunks chunks = row_chunks_of(x->shape[0]);
  void *sums = NULL;
  if (db) FSAM_TRY(column_sums_memory(&sums, device, (size_t)(chunks.count * n) * sizeof(float)));
  FSAM_TRY(FSAM_LAUNCH_EARLY(device, (activation_backward_k<T, FORM>), grid_of(chunks.count, n),
                             threads_of(n), 0, matrix_of<T>(dx), matrix_of<const T>(dy),
                             matrix_of<const T>(x), matrix_of<const float>(b).data, (float *)sums,
                             chunks, n, is_wide(dx, dy, x, b)));
  if (!db) return FSAM_OK;
  sum_outputs outputs = {};
  set_output(&outputs, 0, db);
  return column_sums(device, outputs, (const float *)sums, chunks, 1, n, n);
}

template <typename T>
static int backward_of(fsam_tensor *dx, fsam_tensor *db, const fsam_tensor *dy,
                       const fsam_tensor *x, const fsam_tensor *b, int form) {
  switch (form) {
    case FSAM_GELU_ERF:
      return backward<T, FSAM_GELU_ERF>(dx, db, dy, x, b);
    case FSAM_GELU_TANH:
      return backward<T, FSAM_GELU_TANH>(dx, db, dy, x, b);
    case FSAM_RELU:
      return backward<T, FSAM_RELU>(dx, db, dy, x, b);
    case FSAM_SILU:
      return backward<T, FSAM_SILU>(dx, db, dy, x, b);
    default:
      return backward<T, FSAM_TANH>(dx, db, dy, x, b);
  }
}

int activation_backward_cuda(fsam_tensor *dx, fsam_tensor *db, const fsam_tensor *dy,
                             const fsam_tensor *x, const fsam_tensor *b, int form) {
  return x->dtype == FSAM_BF16 ? backward_of<bf16>(dx, db, dy, x, b, form)
                               : backward_of<float>(dx, db, dy, x, b, form);
}
