/* philox.c: the public entry to Philox (philox.h), for scripts and specs. */
#include "philox.h"

#include "fsam.h"

void fsam_philox(uint32_t *out, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0,
                 uint32_t k1) {
  uint32_t c[4] = {c0, c1, c2, c3};
  philox4x32(c, k0, k1);
  for (int i = 0; i < 4; i++) out[i] = c[i];
}
