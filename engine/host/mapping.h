/* mapping.h: a mapped file, for the files of this folder that read its bytes. */
#ifndef FSAM_MAPPING_H
#define FSAM_MAPPING_H

#include <signal.h>
#include <sys/stat.h>

#include "engine/engine.h"

struct fsam_file {
  uint8_t *data; /* NULL when the file is empty */
  int64_t size;
  int fd;                        /* of the file, for fsam__file_fetch */
  int64_t not_finite;            /* numbers that fsam_file_read_tensor met */
  volatile sig_atomic_t changed; /* a page of it was gone when it was read */
  struct stat before;            /* the file when it was mapped */
  fsam_file *next;               /* in the list of all mappings */
  char path[];
};

/* "cannot WHAT PATH: REASON" with errno's reason; FSAM_EIO. */
int fsam__fail_errno(const char *what, const char *path);

/* Copies bytes of the file to memory past the mapping, which would have to be made of pages first.
 * The caller has checked the range. Where the file is shorter meanwhile, `changed` is set and the
 * rest of `to` is zeros. Returns 0 or errno; several threads may call it at once. */
int fsam__file_fetch(fsam_file *file, void *to, int64_t offset, int64_t bytes);

/* open(2) that a signal does not end; new files get `mode`, less the umask. */
int fsam__open(const char *path, int flags, int mode);

#endif
