/* device_cuda.c: the door to the CUDA half, which is a shared object of its own, libfsam-cuda.so,
 * beside this one. It is opened on request, so that a machine without a GPU neither links CUDA nor
 * pays for it: the driver is asked first, and without a driver that is one look for a file. Each
 * thing that may be missing has one clear line. Leaves to others: the device itself (device.cu). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

/* -- the driver -------------------------------------------------------------------------------- */

typedef struct driver {
  bool present;
  int result;  /* of its start: 0, or a CUresult */
  int version; /* the newest CUDA it knows: 13000 is 13.0 */
  int gpus;
} driver;

/* Asks the driver once: its answers do not change while a process runs. */
static const driver *ask_driver(void) {
  static driver found;
  static bool asked;
  if (asked) return &found;
  asked = true;
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return &found;
  int (*init)(unsigned) = (int (*)(unsigned))dlsym(library, "cuInit");
  int (*version)(int *) = (int (*)(int *))dlsym(library, "cuDriverGetVersion");
  int (*count)(int *) = (int (*)(int *))dlsym(library, "cuDeviceGetCount");
  if (!init || !version || !count) return &found;
  found.present = true;
  version(&found.version);
  found.result = init(0);
  if (found.result == 0) found.result = count(&found.gpus);
  return &found;
}

int fsam_gpus(void) { return ask_driver()->gpus; }

/* This process among those of its machine that train together. */
static struct { int rank, size; } place;

int fsam_gpu_of_rank(int local_rank, int local_size) {
  if (local_rank < 0 || local_size < 0)
    return fsam__fail(FSAM_EINVAL, "rank %d of %d on this machine", local_rank, local_size);
  place.rank = local_rank;
  place.size = local_size;
  return FSAM_OK;
}

/* The number of this process's GPU. A launcher may show each process the only GPU that it is to
 * use. FSAM_EINVAL: there are more processes than GPUs. */
static int choose_gpu(int *out) {
  const int gpus = ask_driver()->gpus, most = place.size > place.rank ? place.size : place.rank + 1;
  const bool shown = gpus == 1 && getenv("CUDA_VISIBLE_DEVICES");
  *out = shown ? 0 : place.rank;
  if (most <= gpus || shown) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL,
                    "device cuda: %d or more ranks are on a machine of %d GPU%s; start one for "
                    "each GPU, or use the device cpu",
                    most, gpus, gpus == 1 ? "" : "s");
}

static int check_driver(void) {
  const driver *d = ask_driver();
  const char *hidden = getenv("CUDA_VISIBLE_DEVICES");
  if (!d->present)
    return fsam__fail(FSAM_ENODEV,
                      "device cuda: there is no NVIDIA driver here (libcuda.so.1 was "
                      "not found); use the device cpu");
  if (d->gpus > 0) return FSAM_OK;
  if (hidden)
    return fsam__fail(FSAM_ENODEV,
                      "device cuda: the driver reports no GPU, with "
                      "CUDA_VISIBLE_DEVICES=%s in the environment; unset it, or use "
                      "the device cpu",
                      hidden);
  if (d->result && d->result != 100) /* 100: CUDA_ERROR_NO_DEVICE */
    return fsam__fail(FSAM_ENODEV,
                      "device cuda: the NVIDIA driver does not start (error %d); "
                      "nvidia-smi may say more; use the device cpu",
                      d->result);
  return fsam__fail(FSAM_ENODEV,
                    "device cuda: the NVIDIA driver reports no GPU; use the device "
                    "cpu");
}

/* -- the half ---------------------------------------------------------------------------------- */

/* The path of libfsam-cuda.so: beside the library that this function is in. */
static void path_of_half(char path[PATH_MAX]) {
  static const char name[] = "libfsam-cuda.so";
  Dl_info here;
  char *slash = NULL;
  if (dladdr((void *)ask_driver, &here) && here.dli_fname && realpath(here.dli_fname, path))
    slash = strrchr(path, '/');
  if (slash && (size_t)(slash + 1 - path) + sizeof name <= PATH_MAX)
    strcpy(slash + 1, name);
  else
    strcpy(path, name);
}

/* Opens it once; NULL when it cannot be had, with the message set. */
static const fsam_cuda_half *open_half(void) {
  static const fsam_cuda_half *half;
  char path[PATH_MAX];
  if (half) return half;
  path_of_half(path);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *why = dlerror();
    FILE *file = fopen(path, "rb");
    if (file) fclose(file);
    if (file)
      fsam__fail(FSAM_ENODEV, "device cuda: the CUDA half cannot be opened: %s; use the device cpu",
                 why);
    else
      fsam__fail(FSAM_ENODEV,
                 "device cuda: this build has no CUDA half (%s); build it with "
                 "scripts/setup -DFSAM_CUDA=ON, or use the device cpu",
                 path);
    return NULL;
  }
  const fsam_cuda_half *found = (const fsam_cuda_half *)dlsym(library, "fsam_cuda");
  if (!found || found->abi != FSAM_ABI || strcmp(found->version, FSAM_VERSION) != 0) {
    fsam__fail(FSAM_ENODEV,
               "device cuda: %s is of another version than libfsam.so; build and "
               "install them together",
               path);
    dlclose(library);
    return NULL;
  }
  return half = found;
}

int fsam__device_open_cuda(fsam_device **out) {
  FSAM_TRY(check_driver());
  const fsam_cuda_half *half = open_half();
  if (!half) return FSAM_ENODEV;
  const int has = ask_driver()->version, wants = half->driver;
  if (has < wants)
    return fsam__fail(FSAM_ENODEV,
                      "device cuda: the NVIDIA driver is one for CUDA %d.%d, this "
                      "build needs %d.%d or newer; update it, or use the device cpu",
                      has / 1000, has % 1000 / 10, wants / 1000, wants % 1000 / 10);
  int gpu;
  FSAM_TRY(choose_gpu(&gpu));
  return half->open(out, gpu);
}
