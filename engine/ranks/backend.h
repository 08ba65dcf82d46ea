/* backend.h: what carries numbers between the ranks. A backend is a shared object of its own, so
 * that libfsam.so runs on machines that lack the library behind it; ranks.c opens it. Owns: this
 * table. Leaves to others: what is summed, and when (fsam.ranks in Lua). */
#ifndef FSAM_RANKS_BACKEND_H
#define FSAM_RANKS_BACKEND_H

#include <stdint.h>

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

#endif
