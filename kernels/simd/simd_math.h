/* simd_math.h: exp, log, tanh, erf, and sine and cosine of a turn, for vectors of simd.h. Owns the
 * polynomials, which are minimax fits of our own with coefficients rounded to f32 one after the
 * other. Errors over all floats, in units in the last place of the result, are stated at each
 * function. Denormals are kept. No fused multiply-add is used, so that all levels agree. */
#ifndef FSAM_SIMD_MATH_H
#define FSAM_SIMD_MATH_H

#include "kernels/simd/simd.h"

/* 1.5 * 2^23: adding it to |x| < 2^22 rounds x to the nearest integer, ties to even, and leaves
 * that integer in the low bits. */
#define V_ROUND 12582912.0f
#define V_ROUND_BITS 0x4b400000

/* e^x, 1 ulp. Overflow gives inf, underflow denormals and then 0; NaN stays NaN. */
static inline vf v_exp(vf x) {
  x = v_max(v_set(-104.0f), v_min(v_set(89.0f), x)); /* second argument: a NaN goes through */
  vf shifted = x * 0x1.715476p+0f + V_ROUND;         /* x / ln 2 */
  vf n = shifted - V_ROUND;
  vf r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f; /* x - n ln 2, its first product is exact */
  vf p = r * 0x1.6a4d6p-10f + 0x1.12398ep-7f;
  p = p * r + 0x1.5558bp-5f;
  p = p * r + 0x1.555492p-3f;
  p = p * r + 0x1.fffffcp-2f;
  p = (p * (r * r) + r) + 1.0f;
  /* 2^n in two factors: n reaches from -150 to 128, and only the last product may be denormal. */
  vi whole = (vi)shifted - V_ROUND_BITS, half = whole >> 1;
  return p * (vf)((half + 127) << 23) * (vf)((whole - half + 127) << 23);
}

/* ln x, 1 ulp. 0 gives -inf, a negative number NaN. */
static inline vf v_log(vf x) {
  vi tiny = x < 0x1p-126f;
  vf scaled = v_select(tiny, x * 0x1p+23f, x);
  vi bits = (vi)((vu)scaled - 0x3f3504f3u); /* the bits of sqrt(1/2); a negative x wraps around */
  vf e = v_to_float((bits >> 23) + (tiny & -23));
  vf f = (vf)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f; /* x = 2^e (1 + f), sqrt(1/2) <= 1 + f */
  /* ln(1 + f) = 2 atanh(s) with s = f / (2 + f); written so that f itself stays exact. */
  vf s = f / (f + 2.0f), z = s * s, h = f * f * 0.5f;
  vf q = z * (0x1.55557ap-1f + z * (0x1.995ed6p-2f + z * 0x1.31e08p-2f));
  vf y = e * 0x1.62e4p-1f - ((h - (s * (h + q) + e * 0x1.7f7d1cp-20f)) - f);
  y = v_select(x == __builtin_inff(), x, y);
  y = v_select(x == 0.0f, v_set(-__builtin_inff()), y);
  return v_select((x < 0.0f) | (x != x), v_set(__builtin_nanf("")), y);
}

/* tanh x, 2 ulp. */
static inline vf v_tanh(vf x) {
  vf a = v_abs(x), z = x * x;
  vf p = z * -0x1.750ce2p-8f + 0x1.51f8cep-6f;
  p = p * z - 0x1.b835a4p-5f;
  p = p * z + 0x1.1106f6p-3f;
  p = p * z - 0x1.555532p-2f;
  vf small = x + x * (z * p);
  vf large = v_copysign(1.0f - 2.0f / (v_exp(a + a) + 1.0f), x);
  return v_select(a < 0.625f, small, large);
}

/* erf x, 2 ulp: a polynomial in x^2 near 0, elsewhere 1 - exp(polynomial). */
static inline vf v_erf(vf x) {
  vf a = v_abs(x), z = x * x;
  vf p = z * 0x1.4be51cp-14f - 0x1.a52da8p-11f;
  p = p * z + 0x1.543718p-8f;
  p = p * z - 0x1.b7ffc4p-6f;
  p = p * z + 0x1.ce2d5cp-4f;
  p = p * z - 0x1.81274p-2f;
  p = p * z + 0x1.06eba8p-3f;
  vf small = x + x * p;
  vf b = v_min(v_set(3.95f), a); /* erf is 1 from 3.92 on; a NaN goes through */
  vf q = b * -0x1.5b0dccp-16f + 0x1.c2a2f6p-12f;
  q = q * b - 0x1.0fdee8p-8f;
  q = q * b + 0x1.9a9602p-6f;
  q = q * b - 0x1.bb247cp-4f;
  q = q * b - 0x1.4450cep-1f;
  q = q * b - 0x1.212540p+0f;
  q = q * b + 0x1.5ceb06p-13f;
  vf large = v_copysign(1.0f - v_exp(q), x);
  return v_select(a < 0.9f, small, large);
}

/* sin(2 pi u) and cos(2 pi u) for 0 <= u < 1, 2 ulp. */
static inline void v_sincos_turns(vf *sine, vf *cosine, vf u) {
  vf shifted = u * 4.0f + V_ROUND;
  vi quarter = (vi)shifted - V_ROUND_BITS;
  vf r = u - (shifted - V_ROUND) * 0.25f; /* exact; |r| <= 1/8 */
  vf z = r * r;
  vf p = z * -0x1.2ddcecp+6f + 0x1.46607ep+6f;
  p = p * z - 0x1.4abbcp+5f;
  vf s = r * 0x1.921fb6p+2f + (r * -0x1.777a5cp-23f + r * (z * p)); /* 2 pi in two parts */
  vf q = z * 0x1.d47b48p+5f - 0x1.55b144p+6f;
  q = q * z + 0x1.03c1aep+6f;
  q = q * z - 0x1.3bd3ccp+4f;
  vf c = q * z + 1.0f;
  vi odd = -(quarter & 1);
  *sine = (vf)((vi)v_select(odd, c, s) ^ ((quarter & 2) << 30));
  *cosine = (vf)((vi)v_select(odd, s, c) ^ (((quarter + 1) & 2) << 30));
}

#endif
