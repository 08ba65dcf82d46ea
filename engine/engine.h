/* engine.h: what kernels and the engine's own files may use of the engine beyond fsam.h. Private to
 * the library. Owns: the device struct with its kernel table, raising errors, checks of arguments.
 * Leaves to others: vector programs (program.h), dropout sites (drop_site.h). */
#ifndef FSAM_ENGINE_H
#define FSAM_ENGINE_H

#include "engine/fsam.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the CUDA half, a library of its own, uses of this one. */
#pragma GCC visibility push(default)

/* Sets the message (printf-style) and returns `code`: `return fsam__fail(FSAM_EINVAL, "…", …);` */
int fsam__fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The device a tensor lives on. */
fsam_device *fsam__device_of(const fsam_tensor *t);

/* "; the GPU has 1.2 of 150.1 GB left" for a message about missing memory, "" on the CPU. */
const char *fsam__memory_left(fsam_device *device, char text[64]);

/* Scratch memory of the device, at least `bytes` of it, 64-byte aligned, until the next call. A
 * kernel calls this once, before its parallel part. FSAM_ENOMEM. */
int fsam__workspace(void **out, fsam_device *device, size_t bytes);

/* Where a vendor library keeps its state for this device: **slot is its pointer, NULL at first.
 * free_kept names the slot: each such function has one. The device calls it once, when it closes,
 * unless the pointer is still NULL. FSAM_ENOMEM. */
int fsam__device_slot(void ***slot, fsam_device *device, void (*free_kept)(void *kept));

/* Gives memory of the device back. While the device records, the memory is kept until the end of
 * the capture: freeing waits for the device, which would break the capture. NULL is fine. */
void fsam__give(fsam_device *device, void *p);

/* Fails where a thread block asks for more shared memory than the GPU has for one. */
int fsam__check_shared(const fsam_device *device, const char *kernel, size_t bytes);

/* Fails while the device's work is being recorded: "cannot `what` …". */
int fsam__not_recording(const fsam_device *device, const char *what);

/* Do the ranks' GPUs sum what lies on this device (ranks/ranks.c)? */
bool fsam__ranks_between(const fsam_device *device);

/* While a host waits for the other hosts: fails when sums between the GPUs have failed. */
int fsam__ranks_check(void);

/* Replaces whole numbers of 4 or 8 bytes in such a GPU's memory by their sums over the ranks, which
 * are exact. Later work of the device waits for them. A collective. */
int fsam__ranks_sum_words(fsam_device *device, void *words, int64_t count, int width);

#pragma GCC visibility pop

/* One function pointer per kernel, in the order of kernels.def; one constant table per device and
 * instruction set. */
typedef struct fsam_kernels {
#define FSAM_KERNEL(name, signature) int(*name) signature;
#include "kernels/kernels.def"
#undef FSAM_KERNEL
} fsam_kernels;

/* Memory of a device. Copies happen in the order of the calls and of the kernels between them. The
 * host may use its side of a copy when the call returns: a GPU's copy_in takes the data into a
 * buffer and waits for nothing, its copy_out waits for all that was queued. */
typedef struct fsam_memory {
  void *(*alloc)(fsam_device *device, size_t bytes); /* NULL when there is none; 64-byte aligned */
  void (*free)(fsam_device *device, void *p);
  int (*zero)(fsam_device *device, void *p, size_t bytes);
  int (*copy_in)(fsam_device *device, void *to, const void *from, size_t bytes);
  int (*copy_out)(fsam_device *device, void *to, const void *from, size_t bytes);
  /* The rest is NULL on the CPU. read_begin starts a copy to the host that waits for the work
   * queued so far, not for later work. Each *ticket is ended once, with `to` = NULL when the data
   * is not wanted any more. */
  int (*read_begin)(fsam_device *device, void **ticket, const void *from, size_t bytes);
  int (*read_end)(fsam_device *device, void *ticket, void *to);
  void (*reuse)(fsam_device *device); /* an arena took memory back: later work may overwrite it */
  void (*left)(fsam_device *device, size_t *left, size_t *total); /* bytes of the GPU's memory */
  void (*close)(fsam_device *device); /* called last, when all memory has been freed */
  bool clean;                         /* memory from alloc is all zero */
  /* NULL where the host cannot write the memory itself. Says that all of it will be written soon:
   * its pages are made ready at once, which takes less time than a fault for each. */
  void (*prepare)(void *p, size_t bytes);
  /* NULL where pages make no difference. Says that all of new memory will be used again and again,
   * all over: large pages, where the system has any to give, then spare the processor looking up
   * where its small ones lie. */
  void (*large_pages)(void *p, size_t bytes);
} fsam_memory;

/* How a device records work instead of doing it, and runs it later (fsam_graph_… of fsam.h). */
typedef struct fsam_graphs {
  int (*begin)(fsam_device *device, void **capture);
  /* Ends the capture whatever happens and sets *recorded for run; `recorded` NULL: drops it. */
  int (*end)(fsam_device *device, void *capture, void **recorded);
  int (*run)(fsam_device *device, void *recorded);
  void (*free)(fsam_device *device, void *recorded);
  int (*shape)(const void *recorded, int64_t counts[3]); /* as fsam_graph_shape */
  /* While work is recorded: the other stream waits for the device's; a ticket marks how far the
   * other one is; the device's waits for what a ticket marks, or for later work of the other. */
  int (*part)(fsam_device *device);
  int (*mark)(fsam_device *device, int64_t ticket);
  int (*join)(fsam_device *device, int64_t ticket);
} fsam_graphs;

struct fsam_device {
  char name[16]; /* "cpu", "cuda" */
  char text[64]; /* what a GPU is: "NVIDIA H200, 140 GB" */
  const fsam_kernels *kernels;
  const fsam_memory *memory;
  const fsam_graphs *graphs; /* NULL where nothing can be recorded */
  void *capture;             /* of graphs->begin, while work is recorded; else NULL */
  int64_t moves;             /* how often memory was moved that a graph may name */
  struct fsam_slot *slots;   /* fsam__device_slot */
  void *workspace;           /* workspace.c */
  size_t workspace_bytes;
  void *stream;   /* a GPU's queue of launches (cudaStream_t) */
  void *other_stream, *other_workspace; /* for work beside that of `stream` (beside.c) */
  size_t other_workspace_bytes;
  int64_t tickets; /* how often such work ended */
  bool is_beside;  /* it is being queued: the two have changed places */
  bool after_kernel; /* while work is recorded: the last in the stream is a kernel, and all it waits
                      * for; so the next one may start early */
  int64_t early;     /* how many kernels of the capture do (fsam__queues_kernel) */
  int arch;       /* a GPU's compute capability: 90 is 9.0 */
  size_t shared;  /* bytes of shared memory that a thread block of a GPU may ask for */
  const struct fsam_gpu_ranks *ranks; /* how several GPUs sum (ranks/backend.h); NULL: not at all */
  int (*before_wait)(fsam_device *);  /* NULL, or what the host does before it waits for it */
  int32_t *fault; /* a GPU's word for what its kernels find wrong, in its memory; 0: nothing */
  int refs;       /* what keeps it open: its opener, arenas, layouts, graphs, readbacks */
};

/* FAULT_IDS, … in the order of faults.def. */
enum {
  FAULT_NONE,
#define FSAM_FAULT(name, text) FAULT_##name,
#include "engine/faults.def"
#undef FSAM_FAULT
};

/* late.c: frees p now, or, while any device records, when fsam_graph_end has ended that; the device
 * must live until then. A capture begins, and has ended. */
void fsam__late(fsam_device *device, void (*release)(fsam_device *device, void *p), void *p);
void fsam__late_begin(void);
void fsam__late_end(void);

/* beside.c: ends what is being queued beside other work, where a failure left it open. */
void fsam__beside_leave(fsam_device *device);

/* threads.c: finds out how many threads a parallel region really gets, once, and holds to it.
 * Before the first kernel. */
void fsam__threads_settle(void);

/* device_cuda.c: opens libfsam-cuda.so on request. */
int fsam__device_open_cuda(fsam_device **out);

/* What libfsam-cuda.so exports, as `fsam_cuda`. */
typedef struct fsam_cuda_half {
  int abi;             /* FSAM_ABI of its build; first, so that it can always be read */
  int driver;          /* the oldest CUDA version a driver may have: 13000 is 13.0 */
  const char *version; /* FSAM_VERSION of its build */
  int (*open)(fsam_device **out, int gpu); /* gpu: its number, from 0 */
} fsam_cuda_half;

/* -- checks of arguments (check.c) ------------------------------------------------------------- */

/* Checks that t is alive, of dtype (or any float with dtype < 0) and has exactly this shape
 * (-1 = any); NULL t fails. `op` and `arg` name the place. */
int fsam__expect(const char *op, const char *arg, const fsam_tensor *t, int dtype, int rank,
                 int64_t d0, int64_t d1);
/* As fsam__expect, but NULL passes. */
int fsam__expect_optional(const char *op, const char *arg, const fsam_tensor *t, int dtype,
                          int rank, int64_t d0, int64_t d1);
/* Fails unless the rows of t follow each other without gaps. */
int fsam__expect_dense(const char *op, const char *arg, const fsam_tensor *t);
/* Fails without a batch, or with one of negative sizes. Tensors are then held against its sizes. */
int fsam__check_batch(const char *op, const fsam_batch *batch);
/* Fails for a batch without a pass. */
int fsam__check_pass(const char *op, const fsam_batch *batch);
/* Fails unless dropout is NULL or its p is in [0, 1), also when rounded to 16 bits; with p > 0 the
 * batch needs a pass. */
int fsam__check_dropout(const char *op, const fsam_dropout *dropout, const fsam_batch *batch);

/* Checks that stop at the first failure: `FSAM_TRY(fsam__expect(…));` */
#define FSAM_TRY(call)       \
  do {                       \
    int rc_ = (call);        \
    if (rc_ < 0) return rc_; \
  } while (0)

/* A kernel is being queued. May it start before the one ahead of it has ended? `early` says that it
 * waits for that one itself. Only in a graph, where that is known to be a kernel of its stream; on
 * GPUs from compute capability 9.0 on. */
static inline bool fsam__queues_kernel(const fsam_device *device, bool early) {
  fsam_device *d = (fsam_device *)device; /* kernels' launchers have it as a constant */
  const bool starts = early && d->capture && d->after_kernel && d->arch >= 90;
  d->after_kernel = true;
  d->early += starts;
  return starts;
}

static inline int64_t fsam__elements(const fsam_tensor *t) {
  return t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
}

/* Between the ranks of a job: every rank gets from rank r the items from starts[r] to starts[r +
 * 1], each of `width` bytes (ranks/ranks.c). */
int fsam__ranks_gather(void *items, const int64_t *starts, int64_t width);
static inline int64_t fsam__dtype_bytes(int dtype) { return dtype == FSAM_BF16 ? 2 : 4; }

#ifdef __cplusplus
}
#endif

#endif
