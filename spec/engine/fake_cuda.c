/* fake_cuda.c: stand-ins for the libraries of a machine with a GPU, for cuda_door_spec.lua. With
 * FAKE_DRIVER it is a libcuda.so.1 whose answers come from the environment, else a libfsam-cuda.so
 * whose GPU has a name and nothing else. */
#include <stdio.h>
#include <stdlib.h>

#ifdef FAKE_DRIVER

static int number(const char *name) {
  const char *value = getenv(name);
  return value ? atoi(value) : 0;
}

int cuInit(unsigned flags) { return flags ? 1 : number("FAKE_INIT"); }

int cuDriverGetVersion(int *version) {
  *version = number("FAKE_VERSION");
  return 0;
}

int cuDeviceGetCount(int *count) {
  *count = number("FAKE_GPUS");
  return 0;
}

#else

#include "engine/engine.h"

static const fsam_memory memory;

static int open_fake(fsam_device **out, int gpu) {
  fsam_device *d = calloc(1, sizeof *d);
  if (!d) return FSAM_ENOMEM;
  snprintf(d->name, sizeof d->name, "cuda");
  snprintf(d->text, sizeof d->text, gpu ? "Fake GPU %d, 1 GB" : "Fake GPU, 1 GB", gpu);
  d->memory = &memory;
  d->refs = 1;
  *out = d;
  return FSAM_OK;
}

const fsam_cuda_half fsam_cuda = {FSAM_ABI, 13000, FAKE_VERSION, open_fake};

#endif
