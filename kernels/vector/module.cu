/* module.cu: compiles a vector program's source for this GPU and loads it by CUDA's runtime. A
 * process has one GPU, so that its architecture is asked for once. */
#include "kernels/vector/programs_cuda.h"

#include <cuda_runtime.h>

#include <stdlib.h>

/* Raises an error of CUDA's runtime. */
static int failed(const char *what, cudaError_t error) {
  return fsam__fail(FSAM_EINTERNAL, "program: CUDA could not %s: %s", what,
                    cudaGetErrorString(error));
}

/* An attribute of the present GPU. */
static int attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&value, which, device) != cudaSuccess)
    return 0;
  return value;
}

static int arch() {
  static int found;
  if (!found)
    found = 10 * attribute(cudaDevAttrComputeCapabilityMajor) +
            attribute(cudaDevAttrComputeCapabilityMinor);
  return found;
}

int program_module_make(void **module, fsam_device *, const char *source) {
  void *image;
  size_t bytes;
  FSAM_TRY(nvrtc_compile(&image, &bytes, source, arch()));
  cudaLibrary_t library;
  const cudaError_t error = cudaLibraryLoadData(&library, image, NULL, NULL, 0, NULL, NULL, 0);
  free(image);
  if (error != cudaSuccess) return failed("load it", error);
  *module = (void *)library;
  return FSAM_OK;
}

int program_module_kernel(void **kernel, void *module, const char *name) {
  cudaKernel_t found;
  const cudaError_t error = cudaLibraryGetKernel(&found, (cudaLibrary_t)module, name);
  if (error != cudaSuccess) return failed("find its kernels", error);
  *kernel = (void *)found;
  return FSAM_OK;
}

int program_module_start(fsam_device *device, void *kernel, const char *name, int64_t blocks,
                         int threads, void *arguments, size_t) {
  void *parameters[] = {arguments};
  const cudaError_t error =
      cudaLaunchKernel(kernel, dim3((unsigned)blocks), dim3((unsigned)threads), parameters, 0,
                       (cudaStream_t)device->stream);
  if (error == cudaSuccess) return FSAM_OK;
  return fsam__fail(FSAM_EINTERNAL, "%s: CUDA could not start it: %s", name,
                    cudaGetErrorString(error));
}

int program_module_units(fsam_device *) {
  static int units;
  if (!units) units = attribute(cudaDevAttrMultiProcessorCount);
  return units > 0 ? units : 1;
}

int program_module_resident(void *kernel, int threads) {
  int blocks = 0;
  const cudaError_t error =
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, 0);
  return error == cudaSuccess && blocks > 0 ? blocks : 1;
}
