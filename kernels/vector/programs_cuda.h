/* programs_cuda.h: vector programs on CUDA, from instructions to something that runs. The source is
 * made by source_cuda.c, kernels come from it through the module (module.cu with NVRTC; a stand-in
 * in spec/simt), programs_cuda.c runs them. No CUDA headers here. */
#ifndef FSAM_VECTOR_PROGRAMS_CUDA_H
#define FSAM_VECTOR_PROGRAMS_CUDA_H

#include "engine/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -- source: source_cuda.c --------------------------------------------------------------------- */

/* Kernels of a stage: `between_N` finishes the reductions of the stage before, then does stage N's
 * instructions on scalars and rows, in one thread block; `sweep_N` is its sweep over the model. */
typedef struct program_kernels {
  bool between, sweep;
  int threads; /* of a block of the sweep */
  int staged;  /* vectors that its reductions look at */
} program_kernels;
enum { BETWEEN_THREADS = 512 };

program_kernels program_kernels_of(const fsam_program *p, int stage);

/* CUDA C++ of all kernels, to be freed; NULL without memory. Includes vector_math.cuh. */
char *program_source(const fsam_program *p);

/* Is the bound vector a mask (BITS), the working copy (ACT) or f32? */
enum { BOUND_F32, BOUND_BITS, BOUND_ACT };
int program_bound_class(const fsam_program *p, int slot);

/* -- compilation: nvrtc_cuda.c, cubin_cache_cuda.c --------------------------------------------- */

/* Compiles a program's source for compute capability arch / 10 . arch % 10 into an image (cubin, or
 * PTX where NVRTC is older than the device), to be freed. What the compiler says is in the error.
 */
int nvrtc_compile(void **image, size_t *bytes, const char *source, int arch);
/* PTX, for looking at; `warnings` (or NULL): the compiler's log, to be freed. */
int nvrtc_compile_ptx(char **ptx, char **warnings, const char *source, int arch);
/* Its version, 1000 major + 10 minor; opens it. Negative where there is none. */
int nvrtc_version(void);

/* A digest of everything that the image depends on. */
typedef struct cubin_key {
  uint64_t word[2];
} cubin_key;
cubin_key cubin_key_of(const char *const *parts, int count);
/* From and to $XDG_CACHE_HOME/fsam-lua (else ~/.cache/fsam-lua). Reading gives false where there is
 * no whole image; writing may fail, which is no error. */
bool cubin_cache_read(void **image, size_t *bytes, cubin_key key);
void cubin_cache_write(const void *image, size_t bytes, cubin_key key);

/* -- the machine: program_module.cu, spec/simt/module.cpp -------------------------------------- */

/* Compiles and loads; a module lives as long as the process. */
int program_module_make(void **module, fsam_device *device, const char *source);
int program_module_kernel(void **kernel, void *module, const char *name);
/* Starts a kernel whose only parameter are these bytes, on the device's stream. */
int program_module_start(fsam_device *device, void *kernel, const char *name, int64_t blocks,
                         int threads, void *arguments, size_t bytes);
/* How many thread blocks fill the device. */
int program_module_width(fsam_device *device);

#ifdef __cplusplus
}
#endif

#endif
