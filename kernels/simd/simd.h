/* simd.h: the vectors that all CPU kernels are written in. Owns: lane types, loads and stores with
 * bf16 conversion, lane-wise helpers, sums in a fixed order. Leaves to others: functions such as
 * exp and tanh (simd_math.h), random bits (simd_random.h).
 *
 * Every kernel file is compiled once per instruction set (FSAM_ISA), and all levels give the same
 * bits. Three rules make that so:
 *  - A vector has LANES lanes, as many as a register: 16, 8 or 4. Code that works lane by lane is
 *    written once, with + - * / & | ^ << >> and comparisons on vectors (GCC's vector extension; a
 *    comparison gives a vi of 0 and -1). gcc lowers vectors wider than a register badly (through
 *    the stack, comparisons one lane at a time), hence not one width for all.
 *  - Code that adds lanes to each other works on WIDE = 16 columns, LANES at a time: element i of a
 *    row goes to lane i mod 16 of a vf16 (or vd16 in f64), and v_sum adds its 16 lanes as a tree.
 *        vf16 sum = {0};
 *        for (int64_t c = 0; c < n; c += WIDE)
 *          for (int p = 0; p < PARTS; p++)
 *            sum.part[p] += v_load_n(x + c + p * LANES, n - c - p * LANES);
 *        float total = v_sum(sum);
 *  - The compiler may neither contract nor reorder (-ffp-contract=off). Results that it or the
 *    processor could choose (max of a NaN, conversion of a large float) are defined here. */
#ifndef FSAM_SIMD_H
#define FSAM_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined __SSE2__
#include <immintrin.h>
#endif

#include "engine/engine.h"

/* FSAM_CPU(tanh_forward) is tanh_forward_cpu_avx512 in the AVX-512 build, and so on. */
#define FSAM_PASTE_(name, isa) name##_cpu_##isa
#define FSAM_PASTE(name, isa) FSAM_PASTE_(name, isa)
#define FSAM_CPU(name) FSAM_PASTE(name, FSAM_ISA)

#define FSAM_KERNEL(name, signature) int FSAM_CPU(name) signature;
#include "kernels/kernels.def"
#undef FSAM_KERNEL

#if defined __AVX512F__
#define FSAM_LANES 16
#elif defined __AVX2__
#define FSAM_LANES 8
#else
#define FSAM_LANES 4
#endif

/* For small functions, and for bodies specialised by a constant argument (a type, a flag). */
#define FSAM_INLINE static inline __attribute__((always_inline))

enum {
  LANES = FSAM_LANES,  /* lanes of a vector */
  WIDE = 16,           /* columns that sums are laid out in, at every level */
  PARTS = WIDE / LANES /* vectors that make up WIDE columns */
};

typedef float vf __attribute__((vector_size(4 * FSAM_LANES)));      /* LANES f32 */
typedef int32_t vi __attribute__((vector_size(4 * FSAM_LANES)));    /* LANES i32 */
typedef uint32_t vu __attribute__((vector_size(4 * FSAM_LANES)));   /* LANES u32 */
typedef double vd __attribute__((vector_size(4 * FSAM_LANES)));     /* LANES / 2 f64 */
typedef uint16_t vh __attribute__((vector_size(2 * FSAM_LANES)));   /* LANES 16-bit halves */
typedef uint16_t vh2 __attribute__((vector_size(4 * FSAM_LANES)));  /* a vf as its halves */
typedef float vf_half __attribute__((vector_size(2 * FSAM_LANES))); /* half a vf */

/* 16 sums side by side: lane i of part p takes columns p * LANES + i (mod 16). */
typedef struct vf16 {
  vf part[PARTS];
} vf16;
/* The same in f64: the lower and upper half of part p are at 2p and 2p + 1. */
typedef struct vd16 {
  vd part[2 * PARTS];
} vd16;

/* -- making vectors ---------------------------------------------------------------------------- */

/* Not 0 + x, which would turn -0 into 0. */
FSAM_INLINE vf v_set(float x) { return x - (vf){0}; }
FSAM_INLINE vi v_set_int(int32_t x) { return (vi){0} + x; }

/* 0, 1, … LANES - 1. */
FSAM_INLINE vi v_iota(void) {
#if FSAM_LANES == 16
  return (vi){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif FSAM_LANES == 8
  return (vi){0, 1, 2, 3, 4, 5, 6, 7};
#else
  return (vi){0, 1, 2, 3};
#endif
}

/* -- loads and stores: any alignment ----------------------------------------------------------- */

FSAM_INLINE vf v_load(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}

FSAM_INLINE void v_store(float *p, vf v) { memcpy(p, &v, sizeof v); }

/* bf16 is the upper half of an f32. */
FSAM_INLINE vf v_load_bf16(const uint16_t *p) {
  vh half;
  memcpy(&half, p, sizeof half);
#if FSAM_LANES == 16
  vu wide = (vu)_mm512_cvtepu16_epi32((__m256i)half);
#elif FSAM_LANES == 8
  vu wide = (vu)_mm256_cvtepu16_epi32((__m128i)half);
#else
  vu wide = __builtin_convertvector(half, vu);
#endif
  return (vf)(wide << 16);
}

/* Rounds to nearest even; a NaN stays a (quiet) NaN. */
FSAM_INLINE void v_store_bf16(uint16_t *p, vf v) {
  vu bits = (vu)v;
  vu rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
#if FSAM_LANES == 16
  const __mmask16 nan = _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_set1_epi32(0x400000);
  const __m512i result = _mm512_mask_or_epi32((__m512i)rounded, nan, (__m512i)bits, quiet);
  const __m512i upper = (__m512i)(vh2){1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};
  vh half = (vh)_mm512_castsi512_si256(_mm512_permutexvar_epi16(upper, result));
#else
  vu nan = (vu)(v != v);
  rounded = (nan & (bits | 0x400000u)) | (~nan & rounded);
  vh half = __builtin_convertvector(rounded >> 16, vh);
#endif
  memcpy(p, &half, sizeof half);
}

/* The first n lanes, the others 0 (n <= 0: all 0; n >= LANES: a whole vector). Nothing is touched
 * beyond p + n. */
FSAM_INLINE vf v_load_n(const float *p, int64_t n) {
  if (__builtin_expect(n >= LANES, 1)) return v_load(p);
  vf v = {0};
  if (n > 0) memcpy(&v, p, (size_t)n * 4);
  return v;
}

FSAM_INLINE void v_store_n(float *p, vf v, int64_t n) {
  if (__builtin_expect(n >= LANES, 1))
    v_store(p, v);
  else if (n > 0)
    memcpy(p, &v, (size_t)n * 4);
}

FSAM_INLINE vf v_load_bf16_n(const uint16_t *p, int64_t n) {
  if (__builtin_expect(n >= LANES, 1)) return v_load_bf16(p);
  uint16_t padded[LANES] = {0};
  if (n > 0) memcpy(padded, p, (size_t)n * 2);
  return v_load_bf16(padded);
}

FSAM_INLINE void v_store_bf16_n(uint16_t *p, vf v, int64_t n) {
  if (__builtin_expect(n >= LANES, 1)) {
    v_store_bf16(p, v);
  } else if (n > 0) {
    uint16_t padded[LANES];
    v_store_bf16(padded, v);
    memcpy(p, padded, (size_t)n * 2);
  }
}

/* Is every bit of n floats 0? Where the first is not 0, as nearly always in dense data, the answer
 * costs nothing. */
FSAM_INLINE bool v_all_zero(const float *p, int64_t n) {
  uint32_t bits[LANES] = {0};
  if (n > 0) memcpy(bits, p, sizeof *bits);
  if (bits[0]) return false;
  vu any = {0};
  for (int64_t i = 0; i < n; i += LANES) any |= (vu)v_load_n(p + i, n - i);
  memcpy(bits, &any, sizeof bits);
  for (int i = 1; i < LANES; i++) bits[0] |= bits[i];
  return !bits[0];
}

/* Elements i … of an array of activations, n of them (as above). dtype must be a constant where
 * the call is inlined: write the body once as FSAM_INLINE with a dtype argument and call it from
 * two branches. */
FSAM_INLINE vf v_load_act(int dtype, const void *base, int64_t i, int64_t n) {
  if (dtype == FSAM_BF16) return v_load_bf16_n((const uint16_t *)base + i, n);
  return v_load_n((const float *)base + i, n);
}

FSAM_INLINE void v_store_act(int dtype, void *base, int64_t i, vf v, int64_t n) {
  if (dtype == FSAM_BF16)
    v_store_bf16_n((uint16_t *)base + i, v, n);
  else
    v_store_n((float *)base + i, v, n);
}

/* -- lane by lane ------------------------------------------------------------------------------ */

/* condition ? a : b; condition is a comparison's result, 0 or -1. */
FSAM_INLINE vf v_select(vi condition, vf a, vf b) {
  return (vf)((condition & (vi)a) | (~condition & (vi)b));
}

FSAM_INLINE vf v_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }

/* The magnitude of x with the sign of s. */
FSAM_INLINE vf v_copysign(vf x, vf s) {
  return (vf)(((vi)x & 0x7fffffff) | ((vi)s & (int32_t)0x80000000));
}

/* a > b ? a : b: where either is NaN, and where both are zeros, the second argument. */
FSAM_INLINE vf v_max(vf a, vf b) {
#if FSAM_LANES == 16
  return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif FSAM_LANES == 8
  return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined __SSE2__
  return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
  return v_select(a > b, a, b);
#endif
}

/* a < b ? a : b: where either is NaN, and where both are zeros, the second argument. */
FSAM_INLINE vf v_min(vf a, vf b) {
#if FSAM_LANES == 16
  return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif FSAM_LANES == 8
  return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined __SSE2__
  return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
  return v_select(a < b, a, b);
#endif
}

FSAM_INLINE vf v_sqrt(vf x) {
#if FSAM_LANES == 16
  return (vf)_mm512_sqrt_ps((__m512)x);
#elif FSAM_LANES == 8
  return (vf)_mm256_sqrt_ps((__m256)x);
#elif defined __SSE2__
  return (vf)_mm_sqrt_ps((__m128)x);
#else
  for (int i = 0; i < LANES; i++) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

/* Integers to floats and back. v_to_int truncates and needs |x| < 2^31: clamp first, because the
 * result for a larger value or a NaN differs between processors. */
FSAM_INLINE vf v_to_float(vi x) { return __builtin_convertvector(x, vf); }
FSAM_INLINE vi v_to_int(vf x) { return __builtin_convertvector(x, vi); }

/* -- f64: the lower and upper half of a vf ----------------------------------------------------- */

FSAM_INLINE vd v_low(vf x) {
#if FSAM_LANES == 16
  return (vd)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x));
#elif FSAM_LANES == 8
  return (vd)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x));
#elif defined __SSE2__
  return (vd)_mm_cvtps_pd((__m128)x);
#else
  vf_half half;
  memcpy(&half, &x, sizeof half);
  return __builtin_convertvector(half, vd);
#endif
}

FSAM_INLINE vd v_high(vf x) {
#if FSAM_LANES == 16
  return (vd)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)x, 1));
#elif FSAM_LANES == 8
  return (vd)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1));
#elif defined __SSE2__
  return (vd)_mm_cvtps_pd(_mm_movehl_ps((__m128)x, (__m128)x));
#else
  vf_half half;
  memcpy(&half, (const char *)&x + sizeof half, sizeof half);
  return __builtin_convertvector(half, vd);
#endif
}

/* Back to f32, rounding to nearest even. */
FSAM_INLINE vf v_narrow(vd low, vd high) {
#if FSAM_LANES == 16
  __m512 both = _mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)low));
  return (vf)_mm512_insertf32x8(both, _mm512_cvtpd_ps((__m512d)high), 1);
#elif FSAM_LANES == 8
  return (vf)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)high), _mm256_cvtpd_ps((__m256d)low));
#elif defined __SSE2__
  return (vf)_mm_movelh_ps(_mm_cvtpd_ps((__m128d)low), _mm_cvtpd_ps((__m128d)high));
#else
  vf_half halves[2] = {__builtin_convertvector(low, vf_half),
                       __builtin_convertvector(high, vf_half)};
  vf both;
  memcpy(&both, halves, sizeof both);
  return both;
#endif
}

FSAM_INLINE vd v_set_f64(double x) { return x - (vd){0}; }

/* -- a product and a sum with one rounding ----------------------------------------------------- */

#if FSAM_LANES == 4 && !defined __FP_FAST_FMAF
/* a b + c of f32 values, rounded so that rounding it to f32 again gives what one rounding gives:
 * where it is inexact, to the neighbour whose last bit is 1 (Boldo & Melquiond 2008). The product
 * is exact in f64, and what the sum loses is found without loss (Knuth's TwoSum). */
FSAM_INLINE vd v_fma_odd(vd a, vd b, vd c) {
  typedef int64_t vl __attribute__((vector_size(4 * FSAM_LANES)));
  const vd product = a * b, sum = product + c, rest = sum - product;
  const vd lost = (product - (sum - rest)) + (c - rest);
  const vl inexact = (lost > 0) | (lost < 0); /* not of infinity and NaN */
  const vl even = ((vl)sum & 1) - 1;
  const vl away = ((lost > 0) ^ (sum < 0)) | 1; /* from 0: -1, towards it: 1 */
  return (vd)((vl)sum - (away & inexact & even));
}
#endif

/* a b + c, rounded once, at every level. One instruction where the processor has it: up to twice as
 * fast as a product and a sum. */
FSAM_INLINE vf v_fma(vf a, vf b, vf c) {
#if FSAM_LANES == 16
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif FSAM_LANES == 8
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined __FP_FAST_FMAF
  for (int i = 0; i < LANES; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
#else
  return v_narrow(v_fma_odd(v_low(a), v_low(b), v_low(c)),
                  v_fma_odd(v_high(a), v_high(b), v_high(c)));
#endif
}

/* -- exchanges between lanes ------------------------------------------------------------------- */

/* Interleaves the low or high words (or pairs of words) of each group of four lanes of a and b: two
 * rounds of these transpose four vectors within the groups. */
#if FSAM_LANES == 16
#define V_LOW_WORDS(a, b) \
  __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define V_HIGH_WORDS(a, b) \
  __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define V_LOW_PAIRS(a, b) \
  __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define V_HIGH_PAIRS(a, b) \
  __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#elif FSAM_LANES == 8
#define V_LOW_WORDS(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define V_HIGH_WORDS(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define V_LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define V_HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define V_LOW_WORDS(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define V_HIGH_WORDS(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define V_LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define V_HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)
#endif

/* -- sums and maxima over WIDE lanes, as a tree: i with i + 8, then + 4, + 2, + 1 -------------- */

/* v with its lanes i and i ^ distance exchanged (distance 8, 4, 2 or 1, below LANES). */
#if FSAM_LANES == 16
#define V_SWAP8(v) \
  __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
#define V_SWAP4(v) \
  __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
#define V_SWAP2(v) \
  __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define V_SWAP1(v) \
  __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
#elif FSAM_LANES == 8
#define V_SWAP4(v) __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3)
#define V_SWAP2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5)
#define V_SWAP1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6)
#else
#define V_SWAP2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1)
#define V_SWAP1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2)
#endif

FSAM_INLINE float v_sum(vf16 s) {
#if FSAM_LANES == 16
  vf v = s.part[0];
  v += V_SWAP8(v);
  v += V_SWAP4(v);
#elif FSAM_LANES == 8
  vf v = s.part[0] + s.part[1];
  v += V_SWAP4(v);
#else
  vf v = (s.part[0] + s.part[2]) + (s.part[1] + s.part[3]);
#endif
  v += V_SWAP2(v);
  v += V_SWAP1(v);
  return v[0];
}

/* The largest of 16 lanes; a NaN may be lost. */
FSAM_INLINE float v_max_all(vf16 s) {
#if FSAM_LANES == 16
  vf v = s.part[0];
  v = v_max(v, V_SWAP8(v));
  v = v_max(v, V_SWAP4(v));
#elif FSAM_LANES == 8
  vf v = v_max(s.part[0], s.part[1]);
  v = v_max(v, V_SWAP4(v));
#else
  vf v = v_max(v_max(s.part[0], s.part[2]), v_max(s.part[1], s.part[3]));
#endif
  v = v_max(v, V_SWAP2(v));
  v = v_max(v, V_SWAP1(v));
  return v[0];
}

/* Adds LANES columns, part p of their 16, to f64 sums. */
FSAM_INLINE void v_add_f64(vd16 *s, int p, vf x) {
  s->part[2 * p] += v_low(x);
  s->part[2 * p + 1] += v_high(x);
}

FSAM_INLINE double v_sum_f64(vd16 s) {
  double lanes[WIDE];
  memcpy(lanes, &s, sizeof lanes);
  for (int half = WIDE / 2; half; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

#endif
