/* backend.h: what carries numbers between the ranks. Owns: two tables. That of a backend for
 * numbers in the hosts' memory (MPI), which is a shared object of its own, so that libfsam.so runs
 * on machines that lack the library behind it; and that of a backend between GPUs (NCCL), which a
 * device brings with it. ranks.c uses both. Leaves to others: what is summed, and when (fsam.ranks
 * in Lua). */
#ifndef FSAM_RANKS_BACKEND_H
#define FSAM_RANKS_BACKEND_H

#include <stdint.h>

#include "engine/fsam.h"

/* All return 0 or a negative FSAM_E… code with the message set. `timeout`: seconds that the other
 * ranks may take to arrive. */
typedef struct fsam_ranks_backend {
  int abi; /* FSAM_ABI, and FSAM_VERSION: the two libraries were built together */
  const char *version;
  int (*open)(int rank, int size);
  /* Both replace the values by the sums over all ranks, added in the order of ranks. */
  int (*sum)(float *values, int64_t count, double timeout);
  int (*sum_numbers)(double *values, int64_t count, double timeout);
  /* starts: size + 1 element offsets. Afterwards rank r's values[starts[r]..starts[r + 1]) are the
   * sums, added in the order of ranks; the rest is unspecified. */
  int (*reduce_scatter)(float *values, const int64_t *starts, double timeout);
  /* starts: size + 1 byte offsets. Afterwards every rank holds all ranges. */
  int (*all_gather)(void *bytes, const int64_t *starts, double timeout);
  int (*report)(const char *text, double timeout);
  int (*leave)(double timeout);
  void (*end_all)(int status);
} fsam_ranks_backend;

enum { FSAM_RANKS_ID = 128 }; /* bytes by which the ranks find each other */

/* Between GPUs. Values lie in the device's memory. `sum`, `sum_words`, `reduce_scatter` and
 * `all_gather` queue their work behind what the device has been given so far, and come back at
 * once; what the device is given after `join` waits for it. Before the host waits for such work it
 * calls `wait`, which fails where the other ranks do not come within `timeout`; everything after
 * that fails too. */
typedef struct fsam_gpu_ranks {
  int (*find)(void);         /* FSAM_ENODEV where the library is not there */
  int (*make_id)(void *id);  /* on one rank, which hands it to all */
  /* `address`: HOST:PORT where the ranks meet that have no id (id NULL). Collective. */
  int (*open)(int rank, int size, const void *id, const char *address, double timeout);
  int (*sum)(fsam_device *device, float *values, int64_t count);
  /* Whole numbers of 4 or 8 bytes (`width`), whose sums are exact. */
  int (*sum_words)(fsam_device *device, void *words, int64_t count, int width);
  /* Of values[first..first + count) alone. `starts`: size + 1 offsets, in elements. Afterwards rank
   * r's values from starts[r] up to starts[r + 1] are the sums; the others are undefined. */
  int (*reduce_scatter)(fsam_device *device, float *values, const int64_t *starts, int64_t first,
                        int64_t count);
  /* `starts`: likewise, in bytes. Afterwards every rank holds all ranges. */
  int (*all_gather)(fsam_device *device, void *bytes, const int64_t *starts);
  int (*join)(fsam_device *device, double timeout);
  int (*check)(void); /* without waiting: fails when such work has */
  int (*wait)(void);
  int (*sum_numbers)(double *values, int64_t count, double timeout); /* in the host's memory */
  int (*leave)(double timeout); /* collective */
  void (*end)(void);            /* gives up all that is queued */
} fsam_gpu_ranks;

#endif
