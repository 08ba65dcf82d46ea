/* nvrtc_cuda.h: CUDA source to machine code at run time: NVRTC (nvrtc_cuda.c), and the folder that
 * keeps its results (cubin_cache_cuda.c). Leaves to others: the source (kernels/vector). No CUDA
 * headers. */
#ifndef FSAM_NVRTC_CUDA_H
#define FSAM_NVRTC_CUDA_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -- the compiler ------------------------------------------------------------------------------ */

/* Compiles a program's source for compute capability arch / 10 . arch % 10 into an image (cubin, or
 * PTX where NVRTC is older than the device), to be freed. The error has the compiler's message. */
int nvrtc_compile(void **image, size_t *bytes, const char *source, int arch);
/* PTX, to be read by specs; `warnings` (or NULL): the compiler's log. Both are to be freed. */
int nvrtc_compile_ptx(char **ptx, char **warnings, const char *source, int arch);
/* Its version, 1000 major + 10 minor; opens it. Negative where there is none. */
int nvrtc_version(void);

/* -- the folder -------------------------------------------------------------------------------- */

/* A digest of everything that the image depends on. */
typedef struct cubin_key {
  uint64_t word[2];
} cubin_key;
cubin_key cubin_key_of(const char *const *parts, int count);
/* From and to $XDG_CACHE_HOME/fsam-lua (else ~/.cache/fsam-lua). Reading gives false where there is
 * no whole image; writing may fail, which is no error. */
bool cubin_cache_read(void **image, size_t *bytes, cubin_key key);
void cubin_cache_write(const void *image, size_t bytes, cubin_key key);

#ifdef __cplusplus
}
#endif
#endif
