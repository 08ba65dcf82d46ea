/* small_matmul.h: products and transposes of small f32 matrices that lie in the cache, for
 * attention. Leaves to others: products with the layers' weights (vendor/matmul.h). Each element of
 * a product is a sum over one index in order, so that neither tiles nor lanes change a bit.
 *
 * The right factor of a product lies in panels: as many columns as a tile has, row after row, so
 * that a tile reads one piece of memory from end to end. In a plain matrix, rows a power of two
 * apart share a few places of the first-level cache (measured with AVX2 at 512 columns: 49 instead
 * of 76 GFLOP/s). Columns that do not fill a panel lie in panels of one vector each. */
#ifndef FSAM_SMALL_MATMUL_H
#define FSAM_SMALL_MATMUL_H

#include "kernels/simd/simd.h"

enum {
  TILE_ROWS = 4,                           /* of a product in registers: rows … */
  TILE_VECTORS = FSAM_LANES == 16 ? 4 : 2, /* … by vectors, of 32 or 16 registers */
  PANEL = TILE_VECTORS * LANES,            /* columns of a panel */
  DEPTH = 64                               /* rows of a panel that are used at a time */
};

static inline int round_up(int x, int multiple) { return (x + multiple - 1) / multiple * multiple; }

/* The columns of the panel that begins at column j of `columns`. */
static inline int panel_width(int columns, int j) { return columns - j < PANEL ? LANES : PANEL; }

/* Rows `first` … of to[depth, columns], in panels, become from[rows, columns]; columns a multiple
 * of WIDE. */
static void put_in_panels(float *to, int depth, int columns, int first, const float *from,
                          int rows) {
  for (int j = 0, width; j < columns; j += width) {
    width = panel_width(columns, j);
    float *panel = to + j * depth + first * width;
    for (int i = 0; i < rows; i++)
      for (int c = 0; c < width; c += LANES)
        v_store(panel + i * width + c, v_load(from + i * columns + j + c));
  }
}

/* The left factor of a product: element (i, k) is at p[i * row + k * column]. */
typedef struct left {
  const float *p;
  int row, column;
} left;

/* c[TILE_ROWS, vectors * LANES] = (or +=) a b over `depth`; b is a piece of a panel of so many
 * vectors, a constant. */
FSAM_INLINE void tile(int vectors, float *c, int c_stride, left a, const float *b, int depth,
                      bool add) {
  vf sum[TILE_ROWS][TILE_VECTORS];
  for (int i = 0; i < TILE_ROWS; i++)
    for (int j = 0; j < vectors; j++)
      sum[i][j] = add ? v_load(c + i * c_stride + j * LANES) : v_set(0.0f);
  for (int k = 0; k < depth; k++, b += vectors * LANES) {
    vf right[TILE_VECTORS];
    for (int j = 0; j < vectors; j++) right[j] = v_load(b + j * LANES);
    for (int i = 0; i < TILE_ROWS; i++) {
      vf element = v_set(a.p[i * a.row + k * a.column]);
      for (int j = 0; j < vectors; j++) sum[i][j] = v_fma(element, right[j], sum[i][j]);
    }
  }
  for (int i = 0; i < TILE_ROWS; i++)
    for (int j = 0; j < vectors; j++) v_store(c + i * c_stride + j * LANES, sum[i][j]);
}

/* All rows of one panel's columns, a piece of the panel after the other. */
FSAM_INLINE void strip(int vectors, float *c, int c_stride, left a, const float *b, int rows,
                       int depth, bool add) {
  for (int k = 0; k < depth; k += DEPTH) {
    const int piece = depth - k < DEPTH ? depth - k : DEPTH;
    for (int i = 0; i < rows; i += TILE_ROWS) {
      const left from = {a.p + i * a.row + k * a.column, a.row, a.column};
      tile(vectors, c + i * c_stride, c_stride, from, b + k * vectors * LANES, piece, add || k > 0);
    }
  }
}

/* c[rows, columns] = (or +=) a[rows, depth] b[depth, columns], b in panels; columns a multiple of
 * WIDE; rows are rounded up to TILE_ROWS, which a and c must have. */
static void multiply(float *c, int c_stride, left a, const float *b, int rows, int columns,
                     int depth, bool add) {
  for (int j = 0; j < columns; j += panel_width(columns, j))
    if (panel_width(columns, j) == PANEL)
      strip(TILE_VECTORS, c + j, c_stride, a, b + j * depth, rows, depth, add);
    else
      strip(1, c + j, c_stride, a, b + j * depth, rows, depth, add);
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
