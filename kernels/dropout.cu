/* dropout.cu: y[B,H] = dropout(x), one row per sample (dropout.c). Bound by launching. */
#include "kernels/cuda/drop.cuh"

enum { THREADS = 128 };

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    dropout_apply_k(matrix<T> y, matrix<const T> x, fsam_batch batch, drop_site site,
                    int64_t columns, bool wide) {
  const int64_t sample = blockIdx.x;
  const uint32_t ordinal = (uint32_t)batch.ordinals[sample];
  const drop_site at = drop_site_in(site, &batch);
  for (int64_t c = (int64_t)threadIdx.x * OCTET; c < columns; c += THREADS * OCTET) {
    float v[OCTET];
    load8(v, x.at(sample, c), columns - c, wide);
    drop_octet(v, at, ordinal, 0, (uint32_t)(c / OCTET));
    store_or_add8(y.at(sample, c), v, columns - c, wide, y.add);
  }
}

template <typename T>
static int apply(fsam_tensor *y, const fsam_tensor *x, const fsam_batch *batch,
                 const fsam_dropout *dropout) {
  return FSAM_LAUNCH(fsam__device_of(y), dropout_apply_k<T>, dim3((unsigned)batch->samples),
                     THREADS, 0, matrix_of<T>(y), matrix_of<const T>(x), *batch,
                     drop_site_of(dropout), x->shape[1], is_wide(y, x));
}

int dropout_apply_cuda(fsam_tensor *y, const fsam_tensor *x, const fsam_batch *batch,
                       const fsam_dropout *dropout) {
  return x->dtype == FSAM_BF16 ? apply<bf16>(y, x, batch, dropout)
                               : apply<float>(y, x, batch, dropout);
}
