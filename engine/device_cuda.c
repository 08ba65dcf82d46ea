/* device_cuda.c: the door to the CUDA half. It lives in a shared object of its own,
 * libfsam-cuda.so, which is opened here on request, so that a machine without CUDA neither links it
 * nor pays for it. That object exports one function, fsam_cuda_open; this build's absence of it is
 * one clear line. */
#include <dlfcn.h>

#include "engine.h"

typedef int open_function(fsam_device **out);

int fsam__device_open_cuda(fsam_device **out) {
  void *library = dlopen("libfsam-cuda.so", RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return fsam__fail(FSAM_ENODEV,
                      "device cuda: this build has no CUDA half (libfsam-cuda.so was "
                      "not found); use the device cpu");
  open_function *open = (open_function *)dlsym(library, "fsam_cuda_open");
  if (!open)
    return fsam__fail(FSAM_ENODEV,
                      "device cuda: libfsam-cuda.so lacks fsam_cuda_open; it is of "
                      "another version");
  return open(out);
}
