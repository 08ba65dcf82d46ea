/* engine.h: what kernels and the engine's own files may use of the engine beyond fsam.h. Private to
 * the library. Owns: the device struct with its kernel table, error raising, argument checks. */
#ifndef FSAM_ENGINE_H
#define FSAM_ENGINE_H

#include "fsam.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the CUDA half, a library of its own, uses of this one. */
#pragma GCC visibility push(default)

/* Sets the message (printf-style) and returns `code`: `return fsam__fail(FSAM_EINVAL, "…", …);` */
int fsam__fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The device a tensor lives on. */
fsam_device *fsam__device_of(const fsam_tensor *t);

/* Scratch memory of the device, at least `bytes` of it, 64-byte aligned, until the next call. A
 * kernel calls this once, before its parallel part. FSAM_ENOMEM. */
int fsam__workspace(void **out, fsam_device *device, size_t bytes);

#pragma GCC visibility pop

/* One function pointer per kernel, in the order of kernels.def; one constant table per device and
 * instruction set. */
typedef struct fsam_kernels {
#define FSAM_KERNEL(name, signature) int(*name) signature;
#include "../kernels/kernels.def"
#undef FSAM_KERNEL
} fsam_kernels;

/* Memory of a device. copy_in/out move between host and device and return when done. */
typedef struct fsam_memory {
  void *(*alloc)(fsam_device *device, size_t bytes); /* NULL when there is none; 64-byte aligned */
  void (*free)(fsam_device *device, void *p);
  int (*zero)(fsam_device *device, void *p, size_t bytes);
  int (*copy_in)(fsam_device *device, void *to, const void *from, size_t bytes);
  int (*copy_out)(fsam_device *device, void *to, const void *from, size_t bytes);
} fsam_memory;

struct fsam_device {
  char name[16]; /* "cpu", "cuda" */
  const fsam_kernels *kernels;
  const fsam_memory *memory;
  void *matmul; /* the matrix library's cache (kernels/linear.c) */
  void (*matmul_free)(void *matmul);
  void *workspace; /* workspace.c */
  size_t workspace_bytes;
  void *stream;   /* a GPU's queue of launches (cudaStream_t) */
  int32_t *fault; /* a GPU's word for what its kernels find wrong, in its memory; 0: nothing */
  int refs;       /* arenas that live on it, and the opener */
};

/* FAULT_IDS, … in the order of faults.def. */
enum {
  FAULT_NONE,
#define FSAM_FAULT(name, text) FAULT_##name,
#include "faults.def"
#undef FSAM_FAULT
};

/* A capability check for CUDA lives in device_cuda.c: opens libfsam-cuda.so on request. */
int fsam__device_open_cuda(fsam_device **out);

/* Checks that t is alive, of dtype (or any float with dtype < 0) and has exactly this shape
 * (-1 = any); NULL t fails. `op` and `arg` name the place. */
int fsam__expect(const char *op, const char *arg, const fsam_tensor *t, int dtype, int rank,
                 int64_t d0, int64_t d1);
/* As fsam__expect, but NULL passes. */
int fsam__expect_optional(const char *op, const char *arg, const fsam_tensor *t, int dtype,
                          int rank, int64_t d0, int64_t d1);
/* Fails unless the rows of t follow each other without gaps. */
int fsam__expect_dense(const char *op, const char *arg, const fsam_tensor *t);

/* Checks that stop at the first failure: `FSAM_TRY(fsam__expect(…));` */
#define FSAM_TRY(call)       \
  do {                       \
    int rc_ = (call);        \
    if (rc_ < 0) return rc_; \
  } while (0)

static inline int64_t fsam__elements(const fsam_tensor *t) {
  return t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
}

static inline int64_t fsam__dtype_bytes(int dtype) { return dtype == FSAM_BF16 ? 2 : 4; }

#ifdef __cplusplus
}
#endif

#endif
