/* device.c: opening and closing devices. Owns: the CPU device, instruction sets, the slots of
 * vendor libraries. Leaves to others: threads (threads.c); the CUDA half, behind one door,
 * fsam__device_open_cuda (cuda/device_cuda.c), which opens it only when asked for. */
#define _GNU_SOURCE /* MAP_ANONYMOUS, madvise */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"

extern const fsam_kernels fsam__kernels_generic;
#if FSAM_X86
extern const fsam_kernels fsam__kernels_avx2, fsam__kernels_avx512;
#endif

/* -- instruction sets -------------------------------------------------------------------------- */

typedef struct level {
  const char *name;
  const fsam_kernels *kernels;
} level;

/* The best level that the processor has and FSAM_ISA allows. */
static level best_level(void) {
  level found = {"generic", &fsam__kernels_generic};
#if FSAM_X86
  const char *cap = getenv("FSAM_ISA");
  if (cap && !strcmp(cap, "generic")) return found;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c"))
    found = (level){"avx2", &fsam__kernels_avx2};
  if (cap && !strcmp(cap, "avx2")) return found;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    found = (level){"avx512", &fsam__kernels_avx512};
#endif
  return found;
}

static int check_isa(void) {
  const char *cap = getenv("FSAM_ISA");
  if (!cap || !*cap || !strcmp(cap, "generic") || !strcmp(cap, "avx2") || !strcmp(cap, "avx512"))
    return FSAM_OK;
  return fsam__fail(FSAM_EINVAL, "FSAM_ISA is %.40s, expected generic, avx2 or avx512", cap);
}

const char *fsam_isa(void) { return best_level().name; }

/* The answer of fsam_bf16_unit. cpuid is slow in a virtual machine: asked once. */
static const char *bf16_unit(void) {
#if FSAM_X86 && FSAM_DNNL /* OpenBLAS multiplies f32 alone */
  unsigned a = 7, b = 0, c = 0, d = 0;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  if (d >> 22 & 1) return "amx"; /* CPUID.7.0:EDX[22], AMX-BF16 */
  a = 7, c = 1;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  const bool has = (a >> 5 & 1) && !strcmp(fsam_isa(), "avx512"); /* CPUID.7.1:EAX[5] */
  /* Intel's cores leave bf16 to AMX: measured where a virtual machine hides that, they begin one
   * vdpbf16ps in the time of four FMAs, and so do half as many operations in bf16 as in f32. */
  if (has && !__builtin_cpu_is("intel")) return "avx512";
#endif
  return "";
}

const char *fsam_bf16_unit(void) {
  static const char *_Atomic unit;
  if (!unit) unit = bf16_unit();
  return unit;
}

/* -- time -------------------------------------------------------------------------------------- */

double fsam_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* -- the CPU device ---------------------------------------------------------------------------- */

/* Large blocks are the system's own pages, which are zero without a sweep over them and take no
 * memory before their first use. The sanitizer watches the ends of malloc's blocks alone. */
#ifdef __SANITIZE_ADDRESS__
#define LARGE SIZE_MAX
#else
#define LARGE ((size_t)1 << 20)
#endif
enum { HEAD = 256 }; /* bytes before a block; they hold the length of its mapping, or 0 */

static void *cpu_alloc(fsam_device *device, size_t bytes) {
  (void)device;
  if (bytes > PTRDIFF_MAX - 2 * HEAD) return NULL;
  const size_t whole = HEAD + (bytes + 255) / 256 * 256;
  const bool mapped = whole >= LARGE;
  char *base;
  if (mapped) {
    base = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return NULL;
  } else {
    base = aligned_alloc(256, whole);
    if (!base) return NULL;
    memset(base, 0, whole);
  }
  *(size_t *)base = mapped ? whole : 0;
  return base + HEAD;
}

static void cpu_free(fsam_device *device, void *p) {
  (void)device;
  if (!p) return;
  char *base = (char *)p - HEAD;
  const size_t mapped = *(size_t *)base;
  if (mapped)
    munmap(base, mapped);
  else
    free(base);
}

static int cpu_zero(fsam_device *device, void *p, size_t bytes) {
  (void)device;
  memset(p, 0, bytes);
  return FSAM_OK;
}

static int cpu_copy(fsam_device *device, void *to, const void *from, size_t bytes) {
  (void)device;
  memcpy(to, from, bytes);
  return FSAM_OK;
}

/* Where the system does not know how (Linux before 5.14), pages come one by one as ever. */
static void cpu_prepare(void *p, size_t bytes) {
#ifdef MADV_POPULATE_WRITE
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const uintptr_t first = ((uintptr_t)p + page - 1) / page * page;
  const uintptr_t end = ((uintptr_t)p + bytes) / page * page;
  if (end > first) madvise((void *)first, end - first, MADV_POPULATE_WRITE);
#else
  (void)p, (void)bytes;
#endif
}

static void cpu_large_pages(void *p, size_t bytes) {
#ifdef MADV_HUGEPAGE
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const uintptr_t first = (uintptr_t)p / page * page;
  if (bytes >= LARGE) madvise((void *)first, (uintptr_t)p + bytes - first, MADV_HUGEPAGE);
#else
  (void)p, (void)bytes;
#endif
}

static const fsam_memory cpu_memory = {.alloc = cpu_alloc,
                                       .free = cpu_free,
                                       .zero = cpu_zero,
                                       .copy_in = cpu_copy,
                                       .copy_out = cpu_copy,
                                       .clean = true,
                                       .prepare = cpu_prepare,
                                       .large_pages = cpu_large_pages};

static int open_cpu(fsam_device **out) {
  fsam_device *d = calloc(1, sizeof *d);
  if (!d) return fsam__fail(FSAM_ENOMEM, "device cpu: no memory");
  snprintf(d->name, sizeof d->name, "cpu");
  d->kernels = best_level().kernels;
  d->memory = &cpu_memory;
  d->refs = 1;
  const int rc = d->kernels->device_check(d);
  if (rc < 0)
    free(d);
  else
    *out = d;
  return rc;
}

int fsam_device_open(fsam_device **out, const char *name) {
  FSAM_TRY(check_isa());
  fsam__threads_settle();
  if (!strcmp(name, "cpu")) return open_cpu(out);
  if (!strcmp(name, "cuda")) return fsam__device_open_cuda(out);
  if (!strcmp(name, "auto")) { /* fsam_gpus first: without a GPU this must cost nothing */
    const int rc = fsam_gpus() > 0 ? fsam__device_open_cuda(out) : FSAM_ENODEV;
    /* FSAM_EINVAL: some of several ranks have no GPU. They must not go on without. */
    return rc == FSAM_OK || rc == FSAM_EINVAL ? rc : open_cpu(out);
  }
  return fsam__fail(FSAM_EINVAL, "device %s is unknown (cpu, cuda, auto)", name);
}

/* -- slots of vendor libraries ----------------------------------------------------------------- */

typedef struct fsam_slot {
  void *kept;
  void (*free_kept)(void *kept);
  struct fsam_slot *next;
} fsam_slot;

int fsam__device_slot(void ***slot, fsam_device *d, void (*free_kept)(void *kept)) {
  fsam_slot *s = d->slots;
  while (s && s->free_kept != free_kept) s = s->next;
  if (!s) {
    s = malloc(sizeof *s);
    if (!s) return fsam__fail(FSAM_ENOMEM, "device %s: no memory", d->name);
    *s = (fsam_slot){NULL, free_kept, d->slots};
    d->slots = s;
  }
  *slot = &s->kept;
  return FSAM_OK;
}

static void free_slots(fsam_device *d) {
  for (fsam_slot *s = d->slots, *next; s; s = next) {
    next = s->next;
    if (s->kept) s->free_kept(s->kept);
    free(s);
  }
}

/* -- opening and closing ----------------------------------------------------------------------- */

static void close_now(fsam_device *d, void *unused) {
  (void)unused;
  free_slots(d);
  fsam__give(d, d->workspace);
  fsam__give(d, d->other_workspace);
  if (d->memory->close) d->memory->close(d);
  free(d);
}

void fsam_device_close(fsam_device *d) {
  if (d && --d->refs == 0) fsam__late(d, close_now, NULL);
}

const char *fsam_device_name(const fsam_device *d) { return d->name; }

const char *fsam_device_text(const fsam_device *d) { return d->text; }

const char *fsam__memory_left(fsam_device *d, char text[64]) {
  size_t left = 0, total = 0;
  text[0] = 0;
  if (!d->memory->left) return text;
  d->memory->left(d, &left, &total);
  snprintf(text, 64, "; the GPU has %.1f of %.1f GB left", (double)left / 1e9, (double)total / 1e9);
  return text;
}
