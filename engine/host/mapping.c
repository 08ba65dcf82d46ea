/* mapping.c: mapping files for reading. Owns: the list of mappings, and what happens when another
 * process shortens or rewrites a file meanwhile: a page that is gone reads as zeros instead of
 * ending the program (SIGBUS), and the reading then fails in one line. Leaves to others: what the
 * bytes mean, and copying them (file.c). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/host/mapping.h"

int fsam__fail_errno(const char *what, const char *path) {
  return fsam__fail(FSAM_EIO, "cannot %s %s: %s", what, path, strerror(errno));
}

/* On network file systems and FUSE a signal may end a call before it has done anything. */
int fsam__open(const char *path, int flags, int mode) {
  int fd;
  do fd = open(path, flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  return fd;
}

/* -- pages that are gone ----------------------------------------------------------------------- */

/* The handler reads the list, so that it is a global. It runs in the thread that reads a mapping,
 * and no thread reads one while another changes the list. */
static fsam_file *mappings;
static struct sigaction before; /* who had SIGBUS */
static uintptr_t page;

static fsam_file *mapping_of(uintptr_t address) {
  for (fsam_file *file = mappings; file; file = file->next) {
    uintptr_t start = (uintptr_t)file->data;
    if (file->data && address >= start && address - start < (uintptr_t)file->size) return file;
  }
  return NULL;
}

static void on_sigbus(int number, siginfo_t *info, void *context) {
  int kept = errno;
  uintptr_t address = (uintptr_t)info->si_addr;
  fsam_file *file = info->si_code > 0 ? mapping_of(address) : NULL; /* 0: sent by a process */
  if (file) {
    /* From there on all is gone, so that one fault does for the rest. */
    uintptr_t from = address / page * page, end = (uintptr_t)file->data + (uintptr_t)file->size;
    void *zeros = mmap((void *)from, end - from, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                       -1, 0);
    file->changed = 1;
    errno = kept;
    if (zeros != MAP_FAILED) return;
  }
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  } else { /* the system's own end, when this handler returns */
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(number, &action, NULL);
    raise(number);
  }
}

static void catch_sigbus(void) {
  if (page) return;
  page = (uintptr_t)sysconf(_SC_PAGESIZE);
  struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &before);
}

/* -- mappings ---------------------------------------------------------------------------------- */

static int map_opened(fsam_file **out, int fd, const char *path) {
  struct stat info;
  if (fstat(fd, &info)) return fsam__fail_errno("read", path);
  if (S_ISDIR(info.st_mode)) return fsam__fail(FSAM_EIO, "cannot read %s: it is a folder", path);
  if (!S_ISREG(info.st_mode))
    return fsam__fail(FSAM_EIO, "cannot read %s: it is not a regular file", path);
  fsam_file *file = calloc(1, sizeof *file + strlen(path) + 1);
  if (!file) return fsam__fail(FSAM_ENOMEM, "cannot read %s: no memory", path);
  strcpy(file->path, path);
  file->size = info.st_size;
  file->fd = fd;
  file->before = info;
  if (file->size > 0) { /* mmap refuses a length of 0 */
    void *p = mmap(NULL, (size_t)file->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
      free(file);
      return fsam__fail_errno("map", path);
    }
    file->data = p;
  }
  catch_sigbus();
  file->next = mappings;
  mappings = file;
  *out = file;
  return FSAM_OK;
}

int fsam_file_map(fsam_file **out, const char *path) {
  int fd = fsam__open(path, O_RDONLY | O_NONBLOCK, 0); /* opening a pipe must not wait */
  if (fd < 0) return fsam__fail_errno("open", path);
  int rc = map_opened(out, fd, path);
  if (rc) close(fd);
  return rc;
}

int fsam__file_fetch(fsam_file *file, void *to, int64_t offset, int64_t bytes) {
  for (int64_t done = 0; done < bytes;) {
    ssize_t n = pread(file->fd, (char *)to + done, (size_t)(bytes - done), offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) { /* its end has come nearer */
      memset((char *)to + done, 0, (size_t)(bytes - done));
      __atomic_store_n(&file->changed, 1, __ATOMIC_RELAXED);
      break;
    }
    done += n;
  }
  return 0;
}

/* Whole pages, outwards: their neighbours are as easily had again. */
void fsam_file_forget(const fsam_file *file, int64_t offset, int64_t bytes) {
  if (!file->data || offset < 0 || bytes <= 0 || bytes > file->size - offset) return;
  const int64_t whole = sysconf(_SC_PAGESIZE), from = offset / whole * whole;
  madvise(file->data + from, (size_t)(offset + bytes - from), MADV_DONTNEED);
}

void fsam_file_unmap(fsam_file *file) {
  if (!file) return;
  for (fsam_file **link = &mappings; *link; link = &(*link)->next)
    if (*link == file) {
      *link = file->next;
      break;
    }
  if (file->data) munmap(file->data, (size_t)file->size);
  close(file->fd);
  free(file);
}

const uint8_t *fsam_file_data(const fsam_file *file) { return file->data; }

int64_t fsam_file_size(const fsam_file *file) { return file->size; }

int64_t fsam_file_read_not_finite(const fsam_file *file) { return file->not_finite; }

/* A file that was replaced as a whole has another number, and the mapping still shows the old one,
 * which is well. Where nothing is at the path now, there is nothing to say. */
int fsam_file_unchanged(const fsam_file *file) {
  struct stat now;
  const struct stat *old = &file->before;
  bool same = stat(file->path, &now) || now.st_dev != old->st_dev || now.st_ino != old->st_ino ||
              (now.st_size == old->st_size && now.st_mtim.tv_sec == old->st_mtim.tv_sec &&
               now.st_mtim.tv_nsec == old->st_mtim.tv_nsec);
  if (same && !file->changed) return FSAM_OK;
  return fsam__fail(FSAM_EIO, "%s changed while it was read; try again once it is complete",
                    file->path);
}
