/* dropout.c: y[B,H] = dropout(x), one row per sample, for the classification heads; the same call
 * with gradients is its backward. The counter's row is 0; y may be x. Leaves to others: the rule
 * itself (simd/drop.h). */
#include "kernels/simd/drop.h"

#if FSAM_PUBLIC

int fsam_dropout_apply(fsam_tensor *y, const fsam_tensor *x, const fsam_batch *batch,
                       const fsam_dropout *dropout) {
  const char *op = "dropout_apply";
  FSAM_TRY(fsam__check_dropout(op, dropout, batch));
  FSAM_TRY(fsam__check_batch(op, batch));
  FSAM_TRY(fsam__expect(op, "x", x, -1, 2, batch->samples, -1));
  FSAM_TRY(fsam__expect(op, "y", y, x->dtype, 2, batch->samples, x->shape[1]));
  return fsam__device_of(y)->kernels->dropout_apply(y, x, batch, dropout);
}

#endif

FSAM_INLINE void drop_row(int dtype, fsam_tensor *y, const fsam_tensor *x, int64_t b,
                          uint32_t ordinal, const drop_site *site) {
  const int64_t n = x->shape[1], x_at = b * x->row_stride, y_at = b * y->row_stride;
  uint16_t bits[DROP_BATCH];
  for (int64_t first = 0; first < n; first += DROP_BATCH) {
    int64_t end = first + DROP_BATCH < n ? first + DROP_BATCH : n;
    if (site->threshold) drop_bits_row(bits, site, ordinal, 0, first);
    for (int64_t c = first; c < end; c += LANES) {
      vf v = v_load_act(dtype, x->data, x_at + c, n - c);
      if (site->threshold) v = drop(site, bits + (c - first), v);
      if (y->filled) v += v_load_act(dtype, y->data, y_at + c, n - c);
      v_store_act(dtype, y->data, y_at + c, v, n - c);
    }
  }
}

int FSAM_CPU(dropout_apply)(fsam_tensor *y, const fsam_tensor *x, const fsam_batch *batch,
                            const fsam_dropout *dropout) {
  const drop_site site = drop_site_in(drop_site_of(dropout), batch);
  for (int64_t b = 0; b < batch->samples; b++) {
    uint32_t ordinal = (uint32_t)batch->ordinals[b];
    if (x->dtype == FSAM_BF16)
      drop_row(FSAM_BF16, y, x, b, ordinal, &site);
    else
      drop_row(FSAM_F32, y, x, b, ordinal, &site);
  }
  return FSAM_OK;
}
