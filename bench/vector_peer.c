/* vector_peer.c: loops written by hand for what bench/vector.lua measures, with the same reads,
 * writes, reductions and roundings (-O3 -march=native -ffp-contract=off, OpenMP). */
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 4096, LANES = 16 };

static inline uint16_t to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return (uint16_t)(x != x ? (bits >> 16) | 0x40u : rounded);
}

/* partial[block] = sum of (t g)^2 with t = |w| + eta, in 16 f64 lanes. */
static double asam_norm(double *partial, const float *w, const float *g, int64_t n, float eta) {
  const int64_t blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static)
  for (int64_t b = 0; b < blocks; b++) {
    const int64_t end = (b + 1) * BLOCK < n ? (b + 1) * BLOCK : n;
    double lane[LANES] = {0};
    for (int64_t i = b * BLOCK; i < end; i += LANES) {
      for (int k = 0; k < LANES; k++) {
        const double x = (fabsf(w[i + k]) + eta) * g[i + k];
        lane[k] += x * x;
      }
    }
    for (int half = LANES / 2; half; half /= 2)
      for (int k = 0; k < half; k++) lane[k] += lane[k + half];
    partial[b] = lane[0];
  }
  double sum = 0;
  for (int64_t b = 0; b < blocks; b++) sum += partial[b];
  return sqrt(sum);
}

/* c = w + t t g (rho / norm); c is f32 or bf16 (the other one NULL). n is a multiple of 64. */
void peer_asam(float *c, uint16_t *c_half, double *partial, const float *w, const float *g,
               int64_t n, double rho, double eta) {
  const double norm = asam_norm(partial, w, g, n, (float)eta);
  const float scale = (float)(norm == 0 ? 0 : rho / norm), e = (float)eta;
  if (c) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) {
      const float t = fabsf(w[i]) + e;
      c[i] = w[i] + t * t * g[i] * scale;
    }
  } else {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) {
      const float t = fabsf(w[i]) + e;
      c_half[i] = to_bf16(w[i] + t * t * g[i] * scale);
    }
  }
}

typedef struct adamw {
  double beta1, beta2, eps, lr, decay, correction1, correction2;
} adamw;

/* m, v, w and c in one loop. */
void peer_adamw(float *c, uint16_t *c_half, float *w, float *m, float *v, const float *g, int64_t n,
                const adamw *a) {
  const float b1 = (float)a->beta1, b1c = (float)(1 - a->beta1);
  const float b2 = (float)a->beta2, b2c = (float)(1 - a->beta2);
  const float root = (float)sqrt(a->correction2), eps = (float)a->eps;
  const float step = (float)(a->lr / a->correction1), decay = (float)(a->lr * a->decay);
#define UPDATE                          \
  m[i] = m[i] * b1 + g[i] * b1c;        \
  v[i] = v[i] * b2 + g[i] * g[i] * b2c; \
  w[i] = w[i] - m[i] / (sqrtf(v[i]) / root + eps) * step - w[i] * decay;
  if (c) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) {
      UPDATE
      c[i] = w[i];
    }
  } else {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) {
      UPDATE
      c_half[i] = to_bf16(w[i]);
    }
  }
}
