/* programs_cuda.h: vector programs on CUDA, from instructions to kernels. source_cuda.c writes the
 * source, module.cu compiles and loads it (on the shim spec/simt/module.cpp), programs_cuda.c runs
 * the kernels. No CUDA headers here. */
#ifndef FSAM_VECTOR_PROGRAMS_CUDA_H
#define FSAM_VECTOR_PROGRAMS_CUDA_H

#include "engine/program.h"
#include "kernels/vendor/nvrtc_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -- source: source_cuda.c --------------------------------------------------------------------- */

/* Kernels of a stage: `between_N` finishes the reductions of the stage before, then does stage N's
 * instructions on scalars and rows, in one thread block; `sweep_N` is its sweep over the model. */
typedef struct program_kernels {
  bool between, sweep;
  int threads; /* of a block of the sweep */
  int staged;  /* vectors that its reductions read */
} program_kernels;
enum { BETWEEN_THREADS = 512 };

program_kernels program_kernels_of(const fsam_program *p, int stage);

/* CUDA C++ of all kernels, to be freed; NULL without memory. Includes vector_math.cuh. */
char *program_source(const fsam_program *p);

/* Is the bound vector a mask (BITS), the working copy (ACT) or f32? */
enum { BOUND_F32, BOUND_BITS, BOUND_ACT };
int program_bound_class(const fsam_program *p, int slot);

/* -- modules: module.cu, spec/simt/module.cpp -------------------------------------------------- */

/* Compiles and loads; a module lives as long as the process. */
int program_module_make(void **module, fsam_device *device, const char *source);
int program_module_kernel(void **kernel, void *module, const char *name);
/* Starts a kernel whose only parameter are these bytes, on the device's stream. */
int program_module_start(fsam_device *device, void *kernel, const char *name, int64_t blocks,
                         int threads, void *arguments, size_t bytes);
/* How many multiprocessors the device has; how many blocks of a kernel one can hold at a time. */
int program_module_units(fsam_device *device);
int program_module_resident(void *kernel, int threads);

#ifdef __cplusplus
}
#endif

#endif
