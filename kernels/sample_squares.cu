/* sample_squares.cu: the place of the CUDA twins of the kernels that add the squares of single
 * samples' gradients (sample_squares.c, layernorm.c, embedding.c). There are none: squares_possible
 * says so, and fsam.pass leaves such passes to its callers, who run the samples one by one. */
#include "kernels/cuda/common.cuh"

static int absent(void) {
  return fsam__fail(FSAM_ENODEV, "squares of samples' gradients: only the CPU has these kernels");
}

int squares_possible_cuda(fsam_device *) { return 0; }

int linear_backward_squares_cuda(fsam_tensor *, fsam_tensor *, const fsam_tensor *,
                                 const fsam_tensor *, const fsam_batch *, int) {
  return absent();
}

int layernorm_backward_squares_cuda(fsam_tensor *, fsam_tensor *, fsam_tensor *, fsam_tensor *,
                                    fsam_tensor *, const fsam_tensor *, const fsam_tensor *,
                                    const fsam_tensor *, const fsam_tensor *, const fsam_batch *,
                                    const fsam_dropout *) {
  return absent();
}

int embedding_backward_squares_cuda(fsam_tensor *, fsam_tensor *, fsam_tensor *, fsam_tensor *,
                                    fsam_tensor *, const fsam_tensor *, const fsam_tensor *,
                                    const fsam_tensor *, const fsam_tensor *, const fsam_batch *,
                                    const fsam_dropout *) {
  return absent();
}
