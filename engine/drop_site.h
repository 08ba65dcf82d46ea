/* drop_site.h: a dropout site as kernels use it, on either device. Leaves to others: drawing its
 * bits (kernels/simd/drop.h on the CPU, kernels/cuda/drop.cuh on CUDA). */
#ifndef FSAM_DROP_SITE_H
#define FSAM_DROP_SITE_H

#include "engine/engine.h"

#ifdef __CUDACC__
#define SITE_FUNCTION static __host__ __device__ __forceinline__
#else
#define SITE_FUNCTION static inline
#endif

/* One dropout site, ready to use. threshold 0: nothing is dropped. */
typedef struct drop_site {
  uint32_t threshold, seed, step, site;
  float keep; /* the factor of the elements that are not dropped */
} drop_site;

/* The site without seed, step and draw, which the pass has. */
static inline drop_site drop_site_of(const fsam_dropout *dropout) {
  drop_site d = {0, 0, 0, 0, 1.0f};
  if (!dropout) return d;
  d.threshold = (uint32_t)(65536.0 * dropout->p + 0.5);
  d.keep = (float)(65536.0 / (65536.0 - d.threshold));
  d.site = dropout->site;
  return d;
}

/* Adds the pass's seed, step and draw. Reads the pass, so call it where that memory is readable: on
 * a GPU, in the kernel. */
SITE_FUNCTION drop_site drop_site_in(drop_site d, const fsam_batch *batch) {
  if (!d.threshold) return d;
  d.seed = batch->pass->seed;
  d.step = batch->pass->step;
  d.site += batch->pass->draw << 29;
  return d;
}

#endif
