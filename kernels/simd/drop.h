/* drop.h: the one rule of dropout, for all kernels that drop. Owns the steps from the counter
 * (site, ordinal, row, column block of 8) to the 16 bits of an element, and dropping by them. Each
 * kernel draws the bits it needs again, forward and backward; nothing is stored.
 *
 * The rule, with fsam_philox: word[0..3] = philox(counter (site, ordinal, row, block), key (seed,
 * step)); elements 8 block … 8 block + 7 take the low and the high half of word[0], of word[1], ….
 * An element is dropped (becomes +0) if its bits are below threshold = round(65536 p), else it is
 * multiplied by 65536 / (65536 - threshold). */
#ifndef FSAM_DROP_H
#define FSAM_DROP_H

#include "engine/drop_site.h"
#include "kernels/simd/simd_random.h"

/* Bits are drawn this many at a time; buffers of bits are a multiple of it. */
enum { DROP_BATCH = 8 * WIDE };

/* The bits of a grid of counters, `rows` rows from `row` on by `blocks` column blocks from `block`
 * on, stored as bits[rows][8 blocks]. `bits` has room for 8 rows blocks elements rounded up to
 * DROP_BATCH; rows * blocks < 2^22. */
static inline void drop_bits(uint16_t *bits, const drop_site *d, uint32_t ordinal, uint32_t row,
                             int rows, uint32_t block, int blocks) {
  /* Lane 4 g + i computes counter i LANES/4 + g of the LANES in hand: the transposition below works
   * within groups of four lanes, and so leaves the counters in order. */
  vi lane = v_iota(), place = (lane & 3) * (LANES / 4) + (lane >> 2);
  int count = rows * blocks;
  for (int first = 0; first < count; first += LANES) {
    vi index = place + first;
    /* index / blocks: the quotient is 0.5 / blocks away from an integer, far beyond rounding. */
    vi line = rows == 1 ? (vi){0} : v_to_int((v_to_float(index) + 0.5f) / (float)blocks);
    vu c[4] = {(vu){0} + d->site, (vu){0} + ordinal, (vu)line + row,
               (vu)(index - line * blocks) + block};
    v_philox(c, d->seed, d->step);
    vu low01 = V_LOW_WORDS(c[0], c[1]), low23 = V_LOW_WORDS(c[2], c[3]);
    vu high01 = V_HIGH_WORDS(c[0], c[1]), high23 = V_HIGH_WORDS(c[2], c[3]);
    vu ordered[4] = {V_LOW_PAIRS(low01, low23), V_HIGH_PAIRS(low01, low23),
                     V_LOW_PAIRS(high01, high23), V_HIGH_PAIRS(high01, high23)};
    memcpy(bits + 8 * first, ordered, sizeof ordered);
  }
}

/* dropout(x) for LANES elements, given their bits (not called when threshold is 0). */
FSAM_INLINE vf drop(const drop_site *d, const uint16_t *bits, vf x) {
  vh half;
  memcpy(&half, bits, sizeof half);
#if FSAM_LANES == 16
  vi wide = (vi)_mm512_cvtepu16_epi32((__m256i)half);
#elif FSAM_LANES == 8
  vi wide = (vi)_mm256_cvtepu16_epi32((__m128i)half);
#else
  vi wide = __builtin_convertvector(half, vi);
#endif
  return (vf)((wide >= (int32_t)d->threshold) & (vi)(x * d->keep));
}

/* The bits of columns column … column + DROP_BATCH - 1 of one row; column is a multiple of 8. */
static inline void drop_bits_row(uint16_t *bits, const drop_site *d, uint32_t ordinal, uint32_t row,
                                 int64_t column) {
  drop_bits(bits, d, ordinal, row, 1, (uint32_t)(column / 8), DROP_BATCH / 8);
}

#endif
