/* module.cpp: vector programs' generated kernels on the shim, in place of kernels/vector/module.cu.
 * Instead of compiling, it finds the program's source among the libraries that a spec has built
 * (programs.lua). Each has many programs; kernel NAME of the n-th is the function pn_NAME. */
#include "spec/simt/simt.h"

#include "kernels/vector/programs_cuda.h"
#include "spec/simt/programs.h"

#include <dlfcn.h>
#include <stdio.h>

#include <map>
#include <string>
#include <vector>

namespace {

struct built {
  void *library;
  int number;
};

std::map<std::string, built> sources;

struct call {
  void (*kernel)(const void *arguments);
  const void *arguments;
};

}  // namespace

int simt_programs_add(const char *path, const char *const *list, int count) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return fsam__fail(FSAM_EIO, "simt: %s", dlerror());
  for (int i = 0; i < count; i++) sources[list[i]] = {library, i};
  return FSAM_OK;
}

int program_module_make(void **module, fsam_device *, const char *source) {
  const auto found = sources.find(source);
  if (found == sources.end()) return fsam__fail(FSAM_EINTERNAL, "simt: this program was not built");
  *module = &found->second;
  return FSAM_OK;
}

int program_module_kernel(void **kernel, void *module, const char *name) {
  const built *b = (const built *)module;
  char symbol[64];
  snprintf(symbol, sizeof symbol, "p%d_%s", b->number, name);
  *kernel = dlsym(b->library, symbol);
  return *kernel ? FSAM_OK : fsam__fail(FSAM_EINTERNAL, "simt: no kernel %s", symbol);
}

int program_module_start(fsam_device *device, void *kernel, const char *name, int64_t blocks,
                         int threads, void *arguments, size_t bytes) {
  const std::vector<char> kept((char *)arguments, (char *)arguments + bytes);
  return simt_do(device, [=] {
    alignas(16) char aligned[4096 * 8];
    memcpy(aligned, kept.data(), bytes);
    call c = {(void (*)(const void *))kernel, aligned};
    return simt_launch(
        name, dim3((unsigned)blocks), threads, 0,
        [](void *context) { ((call *)context)->kernel(((call *)context)->arguments); }, &c);
  });
}

/* Few, so that blocks go round more than once. */
int program_module_units(fsam_device *) { return 2; }
int program_module_resident(void *, int) { return 2; }
