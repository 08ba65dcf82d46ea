/* ranks.c: this process as one of several that train together. Owns: opening the backend, at most
 * once, and the way of a device's tensors to it and back. Leaves to others: how numbers travel
 * (mpi.c), who takes part (fsam.ranks reads the environment), which sums a step needs (Lua). */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/ranks/backend.h"

static const char library_name[] = "libfsam-mpi.so";

static const fsam_ranks_backend *backend; /* NULL until fsam_ranks_open */
static double timeout = 600;

/* The path of the backend's library: beside the library that this function is in. */
static void path_of_backend(char path[PATH_MAX]) {
  Dl_info here;
  char *slash = NULL;
  if (dladdr((void *)path_of_backend, &here) && here.dli_fname && realpath(here.dli_fname, path))
    slash = strrchr(path, '/');
  if (slash && (size_t)(slash + 1 - path) + sizeof library_name <= PATH_MAX)
    strcpy(slash + 1, library_name);
  else
    strcpy(path, library_name);
}

static int open_backend(const fsam_ranks_backend **out) {
  char path[PATH_MAX];
  path_of_backend(path);
  if (access(path, F_OK) < 0)
    return fsam__fail(FSAM_ENODEV,
                      "this build cannot train in several processes (%s is missing): build it "
                      "where MPI is, with scripts/setup -DFSAM_MPI=ON",
                      path);
  /* MPI's plug-ins look for its symbols among the global ones. */
  void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  if (!library) return fsam__fail(FSAM_ENODEV, "%s cannot be opened: %s", path, dlerror());
  const fsam_ranks_backend *found = (const fsam_ranks_backend *)dlsym(library, "fsam_mpi");
  if (!found || found->abi != FSAM_ABI || strcmp(found->version, FSAM_VERSION) != 0) {
    dlclose(library);
    return fsam__fail(FSAM_ENODEV,
                      "%s is of another version than libfsam.so; build and install them together",
                      path);
  }
  *out = found;
  return 0;
}

/* What the other ranks print would stand there once for each of them. */
static int close_output(void) {
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0)
    return fsam__fail(FSAM_EIO, "/dev/null cannot be opened");
  if (nowhere != STDOUT_FILENO) close(nowhere);
  return 0;
}

int fsam_ranks_open(int rank, int size) {
  const fsam_ranks_backend *found;
  if (backend || size < 2 || rank < 0 || rank >= size)
    return fsam__fail(FSAM_EINVAL, "rank %d of %d cannot be opened", rank, size);
  FSAM_TRY(open_backend(&found));
  FSAM_TRY(found->open(rank, size));
  backend = found;
  return rank > 0 ? close_output() : 0;
}

void fsam_ranks_timeout(double seconds) { timeout = seconds; }

static int check_open(void) {
  return backend ? 0 : fsam__fail(FSAM_EINVAL, "this process has no other ranks");
}

int fsam_ranks_sum(fsam_tensor *t) {
  FSAM_TRY(check_open());
  FSAM_TRY(fsam_tensor_check(t));
  FSAM_TRY(fsam__expect_dense("ranks_sum", "tensor", t));
  if (t->dtype != FSAM_F32)
    return fsam__fail(FSAM_EINVAL, "ranks_sum: %s is not f32", t->name);
  const int64_t count = fsam__elements(t);
  if (strcmp(fsam_device_name(fsam__device_of(t)), "cpu") == 0)
    return backend->sum((float *)t->data, count, timeout);
  float *host = malloc((size_t)count * sizeof *host);
  if (!host)
    return fsam__fail(FSAM_ENOMEM, "no memory for %lld numbers of %s", (long long)count, t->name);
  int rc = fsam_tensor_read(t, host, count);
  if (rc == 0) rc = backend->sum(host, count, timeout);
  if (rc == 0) rc = fsam_tensor_write(t, host, count);
  free(host);
  return rc;
}

int fsam_ranks_sum_numbers(double *values, int64_t count) {
  FSAM_TRY(check_open());
  return backend->sum_numbers(values, count, timeout);
}

int fsam_ranks_report(const char *text) {
  FSAM_TRY(check_open());
  return backend->report(text, timeout);
}

int fsam_ranks_leave(void) { return backend ? backend->leave(timeout) : 0; }

void fsam_ranks_end_all(int status) {
  if (backend) backend->end_all(status);
}
