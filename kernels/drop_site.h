/* drop_site.h: a dropout site as kernels use it, on either device. How bits are drawn from it:
 * dropout.h on the CPU, dropout.cuh on CUDA. */
#ifndef FSAM_DROP_SITE_H
#define FSAM_DROP_SITE_H

#include "../engine/engine.h"

/* One dropout site, ready to use. threshold 0: nothing is dropped. */
typedef struct drop_site {
  uint32_t threshold, seed, step, site;
  float keep; /* what the elements that stay are multiplied by */
} drop_site;

static inline drop_site drop_site_of(const fsam_dropout *dropout) {
  drop_site d = {0, 0, 0, 0, 1.0f};
  if (!dropout) return d;
  d.threshold = (uint32_t)(65536.0 * dropout->p + 0.5);
  d.keep = (float)(65536.0 / (65536.0 - d.threshold));
  d.seed = dropout->seed;
  d.step = dropout->step;
  d.site = dropout->site;
  return d;
}

#endif
