/* table.c: the CPU's kernel table of one instruction set, expanded from kernels.def. */
#include "kernels/simd/simd.h"

#define TABLE_(isa) fsam__kernels_##isa
#define TABLE(isa) TABLE_(isa)

/* No environment variable asks anything of the CPU's kernels. */
int FSAM_CPU(device_check)(fsam_device *device) {
  (void)device;
  return FSAM_OK;
}

extern const fsam_kernels TABLE(FSAM_ISA);

const fsam_kernels TABLE(FSAM_ISA) = {
#define FSAM_KERNEL(name, signature) .name = FSAM_CPU(name),
#include "kernels/kernels.def"
#undef FSAM_KERNEL
};
