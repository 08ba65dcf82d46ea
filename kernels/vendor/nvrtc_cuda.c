/* nvrtc_cuda.c: CUDA source to machine code, by NVRTC, which is opened at the first use: starting
 * up must not pay for it. It gets our own headers by name, and knows no others. Compiling takes a
 * fraction of a second a program, so that the machine code is kept on disk (cubin_cache_cuda.c). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/vendor/nvrtc_cuda.h"

/* -- the library ------------------------------------------------------------------------------- */

typedef struct program_handle *handle; /* nvrtcProgram */

static struct nvrtc {
  bool tried, usable;
  int version; /* 1000 major + 10 minor */
  int (*Version)(int *major, int *minor);
  int (*GetNumSupportedArchs)(int *count);
  int (*GetSupportedArchs)(int *list);
  int (*CreateProgram)(handle *out, const char *source, const char *name, int headers,
                       const char *const *texts, const char *const *names);
  int (*DestroyProgram)(handle *program);
  int (*CompileProgram)(handle program, int options, const char *const *list);
  int (*GetProgramLogSize)(handle program, size_t *bytes);
  int (*GetProgramLog)(handle program, char *log);
  int (*GetPTXSize)(handle program, size_t *bytes);
  int (*GetPTX)(handle program, char *ptx);
  int (*GetCUBINSize)(handle program, size_t *bytes);
  int (*GetCUBIN)(handle program, char *cubin);
  const char *(*GetErrorString)(int result);
} nvrtc;

static void *open_library(void) {
  static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so",
                                      "/usr/local/cuda/lib64/libnvrtc.so"};
  void *library = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names && !library; i++)
    library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  return library;
}

static int open_nvrtc(void) {
  if (!nvrtc.tried) {
    void *library = open_library();
    bool complete = library != NULL;
    nvrtc.tried = true;
#define FIND(name)                                         \
  if (complete) {                                          \
    *(void **)&nvrtc.name = dlsym(library, "nvrtc" #name); \
    complete = nvrtc.name != NULL;                         \
  }
    FIND(Version)
    FIND(GetNumSupportedArchs)
    FIND(GetSupportedArchs)
    FIND(CreateProgram)
    FIND(DestroyProgram)
    FIND(CompileProgram)
    FIND(GetProgramLogSize)
    FIND(GetProgramLog)
    FIND(GetPTXSize)
    FIND(GetPTX)
    FIND(GetCUBINSize)
    FIND(GetCUBIN)
    FIND(GetErrorString)
#undef FIND
    int major = 0, minor = 0;
    nvrtc.usable = complete && nvrtc.Version(&major, &minor) == 0 && major >= 12;
    nvrtc.version = 1000 * major + 10 * minor;
  }
  if (nvrtc.usable) return FSAM_OK;
  return fsam__fail(FSAM_ENODEV,
                    "device cuda: vector programs need NVRTC 12 or 13 (libnvrtc.so, of the CUDA "
                    "toolkit), which was not found; install it, or use the device cpu");
}

int nvrtc_version(void) {
  FSAM_TRY(open_nvrtc());
  return nvrtc.version;
}

/* -- headers and options ----------------------------------------------------------------------- */

/* Our headers by the names in #include. */
static const struct text {
  const char *name, *text;
} texts[] = {
#include "program_texts.h"
    {"stdint.h",
     "typedef signed int int32_t; typedef unsigned int uint32_t;\n"
     "typedef signed long long int64_t; typedef unsigned long long uint64_t;\n"
     "typedef unsigned short uint16_t; typedef unsigned char uint8_t;\n"},
};
enum { TEXTS = sizeof texts / sizeof *texts, OPTIONS = 6 };

/* Options that fix the bits: nothing contracted, nothing approximated. */
static const char *const options[OPTIONS - 1] = {"--std=c++17", "--fmad=false", "--ftz=false",
                                                 "--prec-div=true", "--prec-sqrt=true"};

/* "sm_90"; "compute_NN" of the newest that NVRTC knows, for a device that is newer. */
static int name_arch(char name[64], int arch, bool *real) {
  int count = 0, list[128], best = 0;
  if (nvrtc.GetNumSupportedArchs(&count) || count > (int)(sizeof list / sizeof *list) ||
      nvrtc.GetSupportedArchs(list))
    return fsam__fail(FSAM_EINTERNAL, "device cuda: NVRTC does not say what it compiles for");
  for (int i = 0; i < count; i++)
    if (list[i] <= arch && list[i] > best) best = list[i];
  if (!best)
    return fsam__fail(FSAM_ENODEV,
                      "device cuda: this NVRTC (%d.%d) does not compile for compute capability "
                      "%d.%d; install another CUDA toolkit",
                      nvrtc.version / 1000, nvrtc.version % 1000 / 10, arch / 10, arch % 10);
  *real = best == arch;
  snprintf(name, 64, "--gpu-architecture=%s_%d", *real ? "sm" : "compute", best);
  return FSAM_OK;
}

/* The compiler's log, to be freed; NULL when it is empty. */
static char *log_of(handle program) {
  size_t bytes = 0;
  if (nvrtc.GetProgramLogSize(program, &bytes) || bytes <= 1) return NULL;
  char *log = calloc(1, bytes + 1);
  if (log) nvrtc.GetProgramLog(program, log);
  return log;
}

static int compile(handle *out, const char *source, const char *arch) {
  const char *names[TEXTS], *list[TEXTS], *all[OPTIONS];
  for (int i = 0; i < TEXTS; i++) {
    names[i] = texts[i].name;
    list[i] = texts[i].text;
  }
  memcpy(all, options, sizeof options);
  all[OPTIONS - 1] = arch;
  handle program = NULL;
  int result = nvrtc.CreateProgram(&program, source, "program.cu", TEXTS, list, names);
  if (result == 0) result = nvrtc.CompileProgram(program, OPTIONS, all);
  if (result == 0) {
    *out = program;
    return FSAM_OK;
  }
  char *log = program ? log_of(program) : NULL;
  int rc = fsam__fail(FSAM_EINTERNAL, "program: NVRTC could not compile it: %s%s%.600s",
                      nvrtc.GetErrorString(result), log ? ": " : "", log ? log : "");
  free(log);
  if (program) nvrtc.DestroyProgram(&program);
  return rc;
}

/* -- images ------------------------------------------------------------------------------------ */

/* Machine code, or PTX (which ends with a zero). */
static int take(void **image, size_t *bytes, handle program, bool machine_code) {
  int result = machine_code ? nvrtc.GetCUBINSize(program, bytes) : nvrtc.GetPTXSize(program, bytes);
  *image = result ? NULL : malloc(*bytes + 1);
  if (*image)
    result = machine_code ? nvrtc.GetCUBIN(program, *image) : nvrtc.GetPTX(program, *image);
  if (*image && result == 0) return FSAM_OK;
  free(*image);
  *image = NULL;
  return fsam__fail(FSAM_EINTERNAL, "program: NVRTC does not hand over what it compiled");
}

static cubin_key key_of(const char *source, const char *arch) {
  char version[16];
  const char *parts[2 * TEXTS + OPTIONS + 2];
  int n = 0;
  snprintf(version, sizeof version, "%d", nvrtc.version);
  parts[n++] = version;
  parts[n++] = source;
  parts[n++] = arch;
  for (int i = 0; i < OPTIONS - 1; i++) parts[n++] = options[i];
  for (int i = 0; i < TEXTS; i++) {
    parts[n++] = texts[i].name;
    parts[n++] = texts[i].text;
  }
  return cubin_key_of(parts, n);
}

int nvrtc_compile(void **image, size_t *bytes, const char *source, int arch) {
  char name[64];
  bool real = false;
  FSAM_TRY(open_nvrtc());
  FSAM_TRY(name_arch(name, arch, &real));
  const cubin_key key = key_of(source, name);
  if (cubin_cache_read(image, bytes, key)) return FSAM_OK;
  handle program;
  FSAM_TRY(compile(&program, source, name));
  int rc = take(image, bytes, program, real);
  nvrtc.DestroyProgram(&program);
  if (rc == FSAM_OK) cubin_cache_write(*image, *bytes, key);
  return rc;
}

int nvrtc_compile_ptx(char **ptx, char **warnings, const char *source, int arch) {
  char name[64];
  handle program;
  size_t bytes;
  FSAM_TRY(open_nvrtc());
  snprintf(name, sizeof name, "--gpu-architecture=compute_%d", arch);
  FSAM_TRY(compile(&program, source, name));
  if (warnings) *warnings = log_of(program);
  int rc = take((void **)ptx, &bytes, program, false);
  nvrtc.DestroyProgram(&program);
  return rc;
}
