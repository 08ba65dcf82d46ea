/* vector_math.cuh: the functions that the rows of program.def call, on CUDA, one element at a time,
 * and random numbers: the polynomials of simd_math.h and the draws of memory.c, bit for bit.
 * What the CPU leaves to its C library in f64 (pow of an arbitrary exponent; exp, log and pow of
 * scalars) is here CUDA's, whose last bit may differ before the result is rounded to f32. */
#ifndef FSAM_VECTOR_MATH_CUH
#define FSAM_VECTOR_MATH_CUH

#include "engine/philox.h"
#include "kernels/vector/generated.cuh"

__device__ __forceinline__ float truth(bool condition) { return condition ? 1.0f : 0.0f; }

/* -- of elements ------------------------------------------------------------------------------- */

__device__ __forceinline__ float choose(bool condition, float a, float b) {
  return condition ? a : b;
}
__device__ __forceinline__ float choose_or_zero(bool condition, float a) {
  return condition ? a : 0.0f;
}
__device__ __forceinline__ float magnitude(float x) { return fabsf(x); }
__device__ __forceinline__ float square_root(float x) { return sqrtf(x); }
__device__ __forceinline__ float rounded_down(float x) { return floorf(x); }
__device__ __forceinline__ float ratio(float a, float b) { return a / b; }
__device__ __forceinline__ float sign(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : x; }
__device__ __forceinline__ float smaller(float a, float b) { return a < b || a != a ? a : b; }
__device__ __forceinline__ float larger(float a, float b) { return a > b || a != a ? a : b; }
/* Dividing by a scalar or row that is 0 (or rounds to it) gives 0. */
__device__ __forceinline__ float quotient(float a, float b) { return b == 0 ? 0.0f : a / b; }

/* Adding it to |x| < 2^22 rounds x to the nearest integer and leaves that in the low bits. */
#define ROUND_SHIFT 12582912.0f
#define ROUND_BITS 0x4b400000u

__device__ __forceinline__ float exponential(float x) {
  x = 89.0f < x ? 89.0f : x; /* a NaN goes through */
  x = -104.0f > x ? -104.0f : x;
  const float shifted = x * 0x1.715476p+0f + ROUND_SHIFT;
  const float n = shifted - ROUND_SHIFT;
  const float r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;
  float p = r * 0x1.6a4d6p-10f + 0x1.12398ep-7f;
  p = p * r + 0x1.5558bp-5f;
  p = p * r + 0x1.555492p-3f;
  p = p * r + 0x1.fffffcp-2f;
  p = (p * (r * r) + r) + 1.0f;
  const int32_t whole = (int32_t)(float_to_bits(shifted) - ROUND_BITS), half = whole >> 1;
  return p * bits_to_float((uint32_t)(half + 127) << 23) *
         bits_to_float((uint32_t)(whole - half + 127) << 23);
}

__device__ __forceinline__ float logarithm(float x) {
  const bool tiny = x < 0x1p-126f;
  const uint32_t bits = float_to_bits(tiny ? x * 0x1p+23f : x) - 0x3f3504f3u;
  const float e = (float)(((int32_t)bits >> 23) + (tiny ? -23 : 0));
  const float f = bits_to_float((bits & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
  const float s = f / (f + 2.0f), z = s * s, h = f * f * 0.5f;
  const float q = z * (0x1.55557ap-1f + z * (0x1.995ed6p-2f + z * 0x1.31e08p-2f));
  const float y = e * 0x1.62e4p-1f - ((h - (s * (h + q) + e * 0x1.7f7d1cp-20f)) - f);
  if (x < 0.0f || x != x) return bits_to_float(0x7fc00000u);
  if (x == 0.0f) return bits_to_float(0xff800000u);
  return x == bits_to_float(0x7f800000u) ? x : y;
}

/* x^k for 1 <= k <= 16. */
template <typename T>
__device__ __forceinline__ T power_whole(T x, int k) {
  T y = x;
  int bit = 16;
  while (!(k & bit)) bit >>= 1;
  for (bit >>= 1; bit; bit >>= 1) {
    y = y * y;
    if (k & bit) y = y * x;
  }
  return y;
}

/* x ^ exponent for a uniform exponent. */
__device__ __forceinline__ float power_fixed(float x, float exponent) {
  const float size = fabsf(exponent);
  if (exponent == 0) return 1.0f;
  float y;
  if (size <= 16 && size == (float)(int)size)
    y = power_whole(x, (int)size);
  else if (size == 0.5f)
    y = sqrtf(x);
  else
    return (float)pow((double)x, (double)exponent);
  return exponent < 0 ? 1.0f / y : y;
}

__device__ __forceinline__ float power(float x, float exponent) {
  return exponent == 2 ? x * x : (float)pow((double)x, (double)exponent);
}

/* -- of scalars and rows ----------------------------------------------------------------------- */

__device__ __forceinline__ double choose(bool condition, double a, double b) {
  return condition ? a : b;
}
__device__ __forceinline__ double choose_or_zero(bool condition, double a) {
  return condition ? a : 0.0;
}
__device__ __forceinline__ double magnitude(double x) { return fabs(x); }
__device__ __forceinline__ double square_root(double x) { return sqrt(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ double logarithm(double x) { return log(x); }
__device__ __forceinline__ double rounded_down(double x) { return floor(x); }
__device__ __forceinline__ double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }
__device__ __forceinline__ double smaller(double a, double b) { return a < b || a != a ? a : b; }
__device__ __forceinline__ double larger(double a, double b) { return a > b || a != a ? a : b; }

/* 0 for a divisor of 0, and where the quotient is beyond f32's range; NaN stays. */
__device__ __forceinline__ double ratio(double a, double b) {
  if (a != a || b != b) return a + b;
  const double q = a / b;
  return b == 0 || fabs(q) > 3.4028234663852886e38 ? 0 : q;
}

__device__ __forceinline__ double power(double x, double exponent) {
  const double size = fabs(exponent);
  if (exponent == 0) return 1;
  double y;
  if (size == 0.5)
    y = sqrt(x);
  else if (size <= 16 && size == floor(size))
    y = power_whole(x, (int)size);
  else
    return pow(x, exponent);
  return exponent < 0 ? ratio(1.0, y) : y;
}

/* -- random numbers ---------------------------------------------------------------------------- */

enum : uint32_t { FOR_UNIFORM = 0xffffff01u, FOR_NORMAL, FOR_ROUNDING };

/* A whole number held as f64, modulo 2^32. */
__device__ __forceinline__ uint32_t word_of(double x) {
  const double whole = floor(x);
  return (uint32_t)(whole - floor(whole * 0x1p-32) * 0x1p+32);
}

/* 16 lanes have 64 elements. The counter of a lane gives four that lie 16 apart, those of its
 * column. This exchanges them, so that each lane has four that follow each other. */
__device__ __forceinline__ void exchange_columns(uint32_t w[QUAD]) {
  const int j = lane_id() % 16, row = j / 4;
  uint32_t mine[QUAD];
#pragma unroll
  for (int t = 0; t < QUAD; t++) {
    const int give = (j - t) & 3, take = (t + row) & 3;
    const uint32_t given = give == 0 ? w[0] : give == 1 ? w[1] : give == 2 ? w[2] : w[3];
    const uint32_t got = shuffle(given, lane_id() - j + 4 * (j % 4) + take);
#pragma unroll
    for (int k = 0; k < QUAD; k++)
      if (k == take) mine[k] = got;
  }
#pragma unroll
  for (int k = 0; k < QUAD; k++) w[k] = mine[k];
}

__device__ __forceinline__ void random_column(uint32_t w[QUAD], int64_t element, uint32_t seed,
                                              uint32_t step, uint32_t stream, uint32_t what) {
  const uint64_t counter = (uint64_t)element / 64 * 16 + (uint64_t)(lane_id() % 16);
  w[0] = (uint32_t)counter;
  w[1] = (uint32_t)(counter >> 32);
  w[2] = stream;
  w[3] = what;
  philox4x32(w, seed, step);
}

/* The upper 24 bits as k / 2^24. */
__device__ __forceinline__ float unit(uint32_t word) { return (float)(int)(word >> 8) * 0x1p-24f; }

__device__ __forceinline__ void random_uniform(float v[WIDTH], const elements &p, uint32_t seed,
                                               uint32_t step, uint32_t stream) {
#pragma unroll
  for (int q = 0; q < QUADS; q++) {
    uint32_t w[QUAD];
    random_column(w, p.at(q), seed, step, stream, FOR_UNIFORM);
    exchange_columns(w);
#pragma unroll
    for (int k = 0; k < QUAD; k++) v[q * QUAD + k] = unit(w[k]);
  }
}

/* sin and cos of 2 pi u for 0 <= u < 1. */
__device__ __forceinline__ void turn(float *sine, float *cosine, float u) {
  const float shifted = u * 4.0f + ROUND_SHIFT;
  const uint32_t quarter = float_to_bits(shifted) - ROUND_BITS;
  const float r = u - (shifted - ROUND_SHIFT) * 0.25f;
  const float z = r * r;
  float p = z * -0x1.2ddcecp+6f + 0x1.46607ep+6f;
  p = p * z - 0x1.4abbcp+5f;
  const float s = r * 0x1.921fb6p+2f + (r * -0x1.777a5cp-23f + r * (z * p));
  float q = z * 0x1.d47b48p+5f - 0x1.55b144p+6f;
  q = q * z + 0x1.03c1aep+6f;
  q = q * z - 0x1.3bd3ccp+4f;
  const float c = q * z + 1.0f;
  const bool odd = quarter & 1u;
  *sine = bits_to_float(float_to_bits(odd ? c : s) ^ (quarter & 2u) << 30);
  *cosine = bits_to_float(float_to_bits(odd ? s : c) ^ ((quarter + 1) & 2u) << 30);
}

/* Two uniform words become two normal numbers (Box & Muller 1958). */
__device__ __forceinline__ void normal_pair(uint32_t *w0, uint32_t *w1) {
  const float radius = sqrtf(-2.0f * logarithm(unit(*w0) + 0x1p-24f));
  float sine, cosine;
  turn(&sine, &cosine, unit(*w1));
  *w0 = float_to_bits(radius * cosine);
  *w1 = float_to_bits(radius * sine);
}

__device__ __forceinline__ void random_normal(float v[WIDTH], const elements &p, uint32_t seed,
                                              uint32_t step, uint32_t stream) {
#pragma unroll
  for (int q = 0; q < QUADS; q++) {
    uint32_t w[QUAD];
    random_column(w, p.at(q), seed, step, stream, FOR_NORMAL);
    normal_pair(&w[0], &w[1]);
    normal_pair(&w[2], &w[3]);
    exchange_columns(w);
#pragma unroll
    for (int k = 0; k < QUAD; k++) v[q * QUAD + k] = bits_to_float(w[k]);
  }
}

/* -- rounding to what the working copy can hold ------------------------------------------------ */

__device__ __forceinline__ void round_nearest(float v[WIDTH], const float x[WIDTH],
                                              const elements &p) {
  EACH v[k] = p.rounded() ? bits_to_float(nearest_bf16(x[k])) : x[k];
}

/* Adds 16 random bits below bf16's last place and cuts them off; infinities and NaN stay. */
__device__ __forceinline__ void round_stochastic(float v[WIDTH], const float x[WIDTH],
                                                 const elements &p, uint32_t seed, uint32_t step) {
#pragma unroll
  for (int q = 0; q < QUADS; q++) {
    uint32_t w[QUAD];
    random_column(w, p.at(q), seed, step, 0, FOR_ROUNDING);
    exchange_columns(w);
#pragma unroll
    for (int k = 0; k < QUAD; k++) {
      const float value = x[q * QUAD + k];
      const uint32_t bits = float_to_bits(value);
      const bool up_or_down = p.rounded() && (bits & 0x7fffffffu) < 0x7f800000u;
      v[q * QUAD + k] = up_or_down ? bits_to_float((bits + (w[k] & 0xffffu)) & 0xffff0000u) : value;
    }
  }
}

#endif
