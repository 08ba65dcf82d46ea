/* dropout.c: y[B,H] = dropout(x), one row per sample, for the classification heads; the same call
 * with gradients is its backward. Row word 0 of the counter; y may be x. Also owns the checks that
 * all ops with a batch or dropout share; the rule itself is in dropout.h. */
#include "kernels/simd/drop.h"

#if FSAM_PUBLIC

int fsam__check_dropout(const char *op, const fsam_dropout *dropout, const fsam_batch *batch) {
  if (!dropout || dropout->p == 0) return FSAM_OK;
  if (!(dropout->p > 0 && 65536 * dropout->p < 65535.5))
    return fsam__fail(FSAM_EINVAL, "%s: dropout p is %g, expected 0 to less than 1", op,
                      dropout->p);
  return fsam__check_pass(op, batch);
}

int fsam__check_batch(const char *op, const fsam_batch *batch) {
  if (!batch) return fsam__fail(FSAM_EINVAL, "%s: batch is missing", op);
  if (batch->tokens >= 0 && batch->samples >= 0 && batch->longest >= 0) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL, "%s: batch has %d tokens, %d samples, longest %d", op,
                    batch->tokens, batch->samples, batch->longest);
}

int fsam__check_pass(const char *op, const fsam_batch *batch) {
  if (!batch || batch->pass) return FSAM_OK; /* a missing batch is told of elsewhere */
  return fsam__fail(FSAM_EINVAL, "%s: batch has no pass", op);
}

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
