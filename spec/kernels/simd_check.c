/* simd_check.c: measures the vector functions of kernels/simd/*.h against the C library's double
 * ones. simd_spec.lua compiles it once per instruction set and reads what it prints: a line for
 * each function with its worst error in units in the last place over floats spread evenly over all
 * bit patterns, how many results are of the wrong kind (infinite, NaN, or not), and a digest of all
 * results; then a line for each part of simd.h that simply must hold. */
#include <math.h>
#include <stdio.h>

#include "kernels/simd/drop.h"
#include "kernels/simd/simd_math.h"

enum { STRIDE = 2503 }; /* between the bit patterns that are tried; coprime to 2^32 */

static float from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

static uint32_t to_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return x != x ? 0x7fc00000u : bits; /* one NaN for all */
}

static double ulp(float x) {
  int exponent;
  if (fabsf(x) < 0x1p-126f) return 0x1p-149;
  frexpf(x, &exponent);
  return ldexp(1, exponent - 24);
}

/* -- functions --------------------------------------------------------------------------------- */

static vf sine(vf u) {
  vf s, c;
  v_sincos_turns(&s, &c, u);
  return s;
}

static vf cosine(vf u) {
  vf s, c;
  v_sincos_turns(&s, &c, u);
  return c;
}

/* Exact in the argument: u is a float, and its distance to the next quarter turn has no error. */
static double sine_turns(double u) {
  const double quarter = floor(4 * u + 0.5), r = (u - quarter / 4) * 6.28318530717958647693;
  const double values[4] = {sin(r), cos(r), -sin(r), -cos(r)};
  return values[(int)quarter & 3];
}

static double cosine_turns(double u) { return sine_turns(u + 0.25); }

typedef struct function {
  const char *name;
  vf (*vector)(vf);
  double (*reference)(double);
  uint32_t first, end; /* bit patterns to try */
} function;

static const function functions[] = {
    {"exp", v_exp, exp, 0, 0xffffffffu},        {"log", v_log, log, 0, 0xffffffffu},
    {"tanh", v_tanh, tanh, 0, 0xffffffffu},     {"erf", v_erf, erf, 0, 0xffffffffu},
    {"sine", sine, sine_turns, 0, 0x3f800000u}, {"cosine", cosine, cosine_turns, 0, 0x3f800000u},
    {"sqrt", v_sqrt, sqrt, 0, 0xffffffffu},
};

static void measure(const function *f) {
  double worst = 0;
  uint32_t wrong = 0, digest = 0;
  for (uint64_t bits = f->first; bits < f->end; bits += LANES * STRIDE) {
    vf x = {0};
    for (int i = 0; i < LANES; i++)
      if (bits + (uint64_t)i * STRIDE < f->end) x[i] = from_bits((uint32_t)bits + i * STRIDE);
    vf y = f->vector(x);
    for (int i = 0; i < LANES && bits + (uint64_t)i * STRIDE < f->end; i++) {
      double exact = f->reference(x[i]);
      float nearest = (float)exact, got = y[i];
      digest = digest * 2654435769u + to_bits(got);
      if (isfinite(nearest) != isfinite(got) || isnan(nearest) != isnan(got))
        wrong++;
      else if (isfinite(got))
        worst = fmax(worst, fabs(got - exact) / ulp(nearest));
      else if (isinf(got) && got != nearest)
        wrong++;
    }
  }
  printf("%s %.3f %u %08x\n", f->name, worst, wrong, digest);
}

/* -- parts ------------------------------------------------------------------------------------- */

/* Partial loads and stores touch n elements and no more, for every n. */
static int partial_access(void) {
  float from[LANES], to[LANES + 1];
  for (int i = 0; i < LANES; i++) from[i] = (float)(i + 1);
  for (int n = -1; n <= LANES + 1; n++) {
    vf v = v_load_n(from, n);
    for (int i = 0; i <= LANES; i++) to[i] = -1;
    v_store_n(to, v + 1.0f, n);
    for (int i = 0; i < LANES; i++)
      if (v[i] != (i < n ? from[i] : 0) || to[i] != (i < n ? from[i] + 1 : -1)) return 0;
    if (to[LANES] != -1) return 0;
  }
  return 1;
}

/* bf16 halves go to f32 and back unchanged, and what lies between goes to the nearest or the even.
 */
static int bf16_rounding(void) {
  for (uint32_t half = 0; half < 0xffff; half++) {
    uint16_t stored[LANES];
    if ((half & 0x7f80) == 0x7f80) continue; /* infinite or NaN: below */
    const uint32_t below[3] = {half << 16 | 0x7fff, half << 16 | 0x8000, half << 16 | 0x8001};
    const uint32_t want[3] = {half, half + (half & 1), half + 1};
    for (int k = 0; k < 3; k++) {
      v_store_bf16(stored, v_set(from_bits(below[k])));
      if (stored[LANES - 1] != want[k]) return 0;
    }
    v_store_bf16(stored, v_set(from_bits(half << 16)));
    if (stored[0] != half || to_bits(v_load_bf16(stored)[0]) != half << 16) return 0;
  }
  uint16_t special[LANES];
  v_store_bf16(special, v_set(from_bits(0x7f800001))); /* a NaN that truncation would make inf */
  int kept = (special[0] & 0x7fff) > 0x7f80;
  v_store_bf16(special, v_set(-INFINITY));
  return kept && special[0] == 0xff80;
}

/* Sums are the tree that simd.h promises, in f32 and f64. */
static int sum_tree(void) {
  float x[WIDE], tree[WIDE];
  vf16 s = {0};
  vd16 d = {0};
  double total = 0;
  for (int i = 0; i < WIDE; i++) tree[i] = x[i] = 1.0f / (float)(3 + 5 * i), total += x[i];
  for (int p = 0; p < PARTS; p++) {
    s.part[p] = v_load(x + p * LANES);
    v_add_f64(&d, p, s.part[p]);
  }
  for (int half = WIDE / 2; half; half /= 2)
    for (int i = 0; i < half; i++) tree[i] += tree[i + half];
  return v_sum(s) == tree[0] && v_max_all(s) == x[0] && fabs(v_sum_f64(d) - total) < 1e-15;
}

/* Where an argument is NaN, v_max and v_min give the second. */
static int max_of_nan(void) {
  vf nan = v_set(NAN), one = v_set(1);
  return v_max(nan, one)[0] == 1 && v_min(nan, one)[0] == 1 && isnan(v_max(one, nan)[0]) &&
         isnan(v_min(one, nan)[0]);
}

/* v_fma is the C library's fmaf: of any three floats, of a sum that nearly vanishes, of results
 * near the smallest numbers, of factors whose product hardly counts, and where the exact sum lies
 * so near the middle between two floats that f64 does not tell. */
static int one_rounding(void) {
  uint32_t seed = 1;
  for (int n = 0; n < 1 << 21; n++) {
    float x[3];
    for (int k = 0; k < 3; k++) x[k] = from_bits(seed = seed * 1664525u + 1013904223u);
    const int kind = n % 5;
    if (kind == 1) x[2] = from_bits(to_bits(-(x[0] * x[1])) + seed % 5 - 2);
    if (kind == 2 && isfinite(x[0])) {
      int exponent;
      frexpf(x[0], &exponent);
      x[1] = ldexpf(1 + (float)(seed >> 16) * 0x1p-16f, -125 - exponent);
    }
    if (kind == 3) x[2] = from_bits(to_bits(x[0] * x[1]) + (24u << 23) + seed % 3);
    if (kind == 4) { /* half a step of x[2], a little less */
      const float little = (float)(1 + (seed >> 10) % 1023) * 0x1p-23f;
      x[2] = (seed >> 9 & 1 ? 1 : -1) * (1 + (float)(seed >> 16) * 0x1p-23f);
      x[0] = (seed >> 8 & 1 ? 1 : -1) * (1 + little);
      x[1] = (1 - little) * 0x1p-24f;
    }
    const float got = v_fma(v_set(x[0]), v_set(x[1]), v_set(x[2]))[0];
    if (to_bits(got) != to_bits(fmaf(x[0], x[1], x[2]))) return 0;
  }
  return v_fma(v_set(INFINITY), v_set(1), v_set(1))[0] == INFINITY &&
         isnan(v_fma(v_set(INFINITY), v_set(1), v_set(-INFINITY))[0]);
}

/* A grid of counters gives the bits of the scalar Philox, in order. */
static int dropout_bits(void) {
  const fsam_dropout dropout = {.p = 0.25, .site = 5};
  const fsam_pass pass = {.seed = 77, .step = 0x89abcdef, .draw = 6};
  const fsam_batch batch = {.pass = &pass};
  const drop_site site = drop_site_in(drop_site_of(&dropout), &batch);
  uint16_t bits[8 * 12 * 20 + DROP_BATCH];
  for (int rows = 1; rows <= 12; rows++)
    for (int blocks = 1; blocks <= 20; blocks++) {
      drop_bits(bits, &site, 3, 100, rows, 1u << 16 | 7, blocks);
      for (int i = 0; i < rows * blocks * 8; i++) {
        uint32_t c[4] = {5 + (6u << 29), 3, 100 + (uint32_t)(i / 8 / blocks),
                         (1u << 16 | 7) + (uint32_t)(i / 8 % blocks)};
        philox4x32(c, 77, 0x89abcdef);
        if (bits[i] != (uint16_t)(c[i % 8 / 2] >> 16 * (i & 1))) return 0;
      }
    }
  return site.threshold == 16384 && site.keep == 65536.0f / 49152.0f;
}

int main(void) {
#if FSAM_LANES == 16
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq")) return 77;
#elif FSAM_LANES == 8
  if (!__builtin_cpu_supports("avx2")) return 77;
#endif
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) measure(&functions[i]);
  printf("partial_access %d\nbf16_rounding %d\nsum_tree %d\nmax_of_nan %d\ndropout_bits %d\n"
         "one_rounding %d\n",
         partial_access(), bf16_rounding(), sum_tree(), max_of_nan(), dropout_bits(),
         one_rounding());
  return 0;
}
