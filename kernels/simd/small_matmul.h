/* small_matmul.h: products and transposes of small f32 matrices that lie in the cache, for
 * attention. Leaves to others: products with the layers' weights (vendor/matmul.h). Each element of
 * a product is a sum over one index in order, so that neither tiles nor lanes change a bit. */
#ifndef FSAM_SMALL_MATMUL_H
#define FSAM_SMALL_MATMUL_H

#include "kernels/simd/simd.h"

enum {
  TILE_ROWS = 4,                          /* of a product in registers: rows … */
  TILE_VECTORS = FSAM_LANES == 16 ? 4 : 2 /* … by vectors, of 32 or 16 registers */
};

static inline int round_up(int x, int multiple) { return (x + multiple - 1) / multiple * multiple; }

/* The left factor of a product: element (i, k) is at p[i * row + k * column]. */
typedef struct left {
  const float *p;
  int row, column;
} left;

/* c[rows, vectors * LANES] = (or +=) a b over `depth`; rows and vectors are constants. */
FSAM_INLINE void tile(int rows, int vectors, float *c, int c_stride, left a, const float *b,
                      int b_stride, int depth, bool add) {
  vf sum[TILE_ROWS][TILE_VECTORS];
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vectors; j++)
      sum[i][j] = add ? v_load(c + i * c_stride + j * LANES) : v_set(0.0f);
  for (int k = 0; k < depth; k++) {
    vf right[TILE_VECTORS];
    for (int j = 0; j < vectors; j++) right[j] = v_load(b + k * b_stride + j * LANES);
    for (int i = 0; i < rows; i++) {
      vf element = v_set(a.p[i * a.row + k * a.column]);
      for (int j = 0; j < vectors; j++) sum[i][j] += element * right[j];
    }
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vectors; j++) v_store(c + i * c_stride + j * LANES, sum[i][j]);
}

FSAM_INLINE void strip(int vectors, float *c, int c_stride, left a, const float *b, int b_stride,
                       int rows, int depth, bool add) {
  int i = 0;
  for (; i + TILE_ROWS <= rows; i += TILE_ROWS) {
    tile(TILE_ROWS, vectors, c + i * c_stride, c_stride, a, b, b_stride, depth, add);
    a.p += TILE_ROWS * a.row;
  }
  for (; i < rows; i++, a.p += a.row)
    tile(1, vectors, c + i * c_stride, c_stride, a, b, b_stride, depth, add);
}

/* c[rows, columns] = (or +=) a[rows, depth] b[depth, columns]; columns a multiple of WIDE. */
static void multiply(float *c, int c_stride, left a, const float *b, int b_stride, int rows,
                     int columns, int depth, bool add) {
  int j = 0;
  for (; j + TILE_VECTORS * LANES <= columns; j += TILE_VECTORS * LANES)
    strip(TILE_VECTORS, c + j, c_stride, a, b + j, b_stride, rows, depth, add);
  for (; j < columns; j += LANES) strip(1, c + j, c_stride, a, b + j, b_stride, rows, depth, add);
}

/* to[columns,rows] = the transpose of from[rows,columns]; rows a multiple of 4, columns of WIDE. */
static void transpose(float *to, const float *from, int rows, int columns) {
  typedef float f4 __attribute__((vector_size(16)));
  for (int i = 0; i < rows; i += 4)
    for (int j = 0; j < columns; j += LANES) {
      vf r[4];
      for (int k = 0; k < 4; k++) r[k] = v_load(from + (i + k) * columns + j);
      vf low01 = V_LOW_WORDS(r[0], r[1]), low23 = V_LOW_WORDS(r[2], r[3]);
      vf high01 = V_HIGH_WORDS(r[0], r[1]), high23 = V_HIGH_WORDS(r[2], r[3]);
      /* Group g of four lanes of t[k] is column j + 4 g + k. */
      vf t[4] = {V_LOW_PAIRS(low01, low23), V_HIGH_PAIRS(low01, low23), V_LOW_PAIRS(high01, high23),
                 V_HIGH_PAIRS(high01, high23)};
      for (int k = 0; k < 4; k++)
        for (int g = 0; g < LANES / 4; g++) {
          f4 part;
          memcpy(&part, (const char *)&t[k] + g * sizeof part, sizeof part);
          memcpy(to + (j + 4 * g + k) * rows + i, &part, sizeof part);
        }
    }
}

#endif
