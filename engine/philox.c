/* philox.c: random values from Philox (philox.h) for scripts: single counters, and tensors filled
 * with starting values. Leaves to others: the bits of dropout and of the vector language, which
 * kernels/ draws. */
#include "engine/philox.h"

#include <math.h>
#include <stdlib.h>

#include "engine/engine.h"

void fsam_philox(uint32_t *out, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0,
                 uint32_t k1) {
  uint32_t c[4] = {c0, c1, c2, c3};
  philox4x32(c, k0, k1);
  for (int i = 0; i < 4; i++) out[i] = c[i];
}

/* In (0, 1), the ends excluded: (k + 1/2) / 2^24 for the upper 24 bits k. */
static double unit(uint32_t bits) { return ((double)(bits >> 8) + 0.5) / 16777216.0; }

/* Four values of counter `block`: uniform in (0,1), or standard normal by Box and Muller (1958). */
static void four_values(double v[4], int64_t block, uint32_t seed, uint32_t stream, int normal) {
  uint32_t c[4] = {(uint32_t)block, (uint32_t)(block >> 32), stream, 0};
  philox4x32(c, seed, 0x57a27u); /* a key of its own: no step has this number */
  for (int i = 0; i < 4; i++) v[i] = unit(c[i]);
  for (int i = 0; normal && i < 4; i += 2) {
    double radius = sqrt(-2 * log(v[i])), angle = 2 * 3.14159265358979323846 * v[i + 1];
    v[i] = radius * cos(angle);
    v[i + 1] = radius * sin(angle);
  }
}

int fsam_tensor_random(fsam_tensor *t, int normal, double shift, double scale, uint32_t seed,
                       uint32_t stream) {
  FSAM_TRY(fsam_tensor_check(t));
  int64_t count = fsam__elements(t);
  float *values = malloc((size_t)count * sizeof *values + 1);
  if (!values) return fsam__fail(FSAM_ENOMEM, "random: no memory to fill %s", t->name);
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < (count + 3) / 4; block++) {
    double v[4];
    four_values(v, block, seed, stream, normal);
    for (int64_t i = 4 * block; i < 4 * block + 4 && i < count; i++)
      values[i] = (float)(shift + scale * v[i - 4 * block]);
  }
  int rc = fsam_tensor_write(t, values, count);
  free(values);
  return rc;
}
