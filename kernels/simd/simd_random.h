/* simd_random.h: Philox4x32-10 for LANES counters at once (the scalar form: engine/philox.h). Owns
 * its 32 × 32 → 64 bit products. Integers only, so all instruction sets give the same. */
#ifndef FSAM_SIMD_RANDOM_H
#define FSAM_SIMD_RANDOM_H

#include "engine/philox.h"
#include "kernels/simd/simd.h"

/* The two halves of a * m in each lane. x86 multiplies the even lanes only, hence twice. */
FSAM_INLINE void v_mul_wide(vu *high, vu *low, vu a, uint32_t m) {
#if FSAM_LANES == 16
  const __mmask16 even_lanes = 0x5555, odd_lanes = 0xaaaa;
  __m512i factor = _mm512_set1_epi32((int)m);
  __m512i even = _mm512_mul_epu32((__m512i)a, factor);
  __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), factor);
  *high = (vu)_mm512_mask_shuffle_epi32(odd, even_lanes, even, _MM_PERM_DDBB);
  *low = (vu)_mm512_mask_shuffle_epi32(even, odd_lanes, odd, _MM_PERM_CCAA);
#elif FSAM_LANES == 8
  __m256i factor = _mm256_set1_epi32((int)m);
  __m256i even = _mm256_mul_epu32((__m256i)a, factor);
  __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), factor);
  *high = (vu)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
  *low = (vu)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
#elif defined __SSE2__
  __m128i factor = _mm_set1_epi32((int)m), low_words = _mm_set1_epi64x(0xffffffff);
  __m128i even = _mm_mul_epu32((__m128i)a, factor);
  __m128i odd = _mm_mul_epu32(_mm_srli_epi64((__m128i)a, 32), factor);
  *high = (vu)_mm_or_si128(_mm_srli_epi64(even, 32), _mm_andnot_si128(low_words, odd));
  *low = (vu)_mm_or_si128(_mm_and_si128(low_words, even), _mm_slli_epi64(odd, 32));
#else
  for (int i = 0; i < LANES; i++) {
    uint64_t product = (uint64_t)a[i] * m;
    (*high)[i] = (uint32_t)(product >> 32);
    (*low)[i] = (uint32_t)product;
  }
#endif
}

/* Lane i of counter[0..3] is one counter, and becomes its four random words. */
static inline void v_philox(vu counter[4], uint32_t k0, uint32_t k1) {
  vu c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  for (int round = 0; round < PHILOX_ROUNDS; round++) {
    vu high0, low0, high2, low2;
    v_mul_wide(&high0, &low0, c0, PHILOX_M0);
    v_mul_wide(&high2, &low2, c2, PHILOX_M1);
    c0 = high2 ^ c1 ^ k0;
    c1 = low2;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += PHILOX_W0;
    k1 += PHILOX_W1;
  }
  counter[0] = c0;
  counter[1] = c1;
  counter[2] = c2;
  counter[3] = c3;
}

#endif
