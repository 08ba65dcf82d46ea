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
static int ranks; /* how many; 0 until then */
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
  ranks = size;
  return rank > 0 ? close_output() : 0;
}

void fsam_ranks_timeout(double seconds) { timeout = seconds; }

static int check_open(void) {
  return backend ? 0 : fsam__fail(FSAM_EINVAL, "this process has no other ranks");
}

/* The bytes of a dense tensor, in memory that the backend may work in: the tensor's own on
 * processors, else a copy. */
static int borrow(fsam_tensor *t, const char *op, void **out) {
  FSAM_TRY(check_open());
  FSAM_TRY(fsam_tensor_check(t));
  FSAM_TRY(fsam__expect_dense(op, "tensor", t));
  const int64_t bytes = fsam__elements(t) * fsam__dtype_bytes(t->dtype);
  *out = t->data;
  if (strcmp(fsam_device_name(fsam__device_of(t)), "cpu") == 0) return 0;
  *out = malloc((size_t)bytes);
  if (!*out)
    return fsam__fail(FSAM_ENOMEM, "no memory for %lld bytes of %s", (long long)bytes, t->name);
  const int rc = fsam_tensor_read(t, *out, fsam__elements(t));
  if (rc) free(*out);
  return rc;
}

/* Ends a loan, with the values in the tensor when all went well (rc 0). */
static int give_back(fsam_tensor *t, void *values, int rc) {
  if (values == t->data) return rc;
  if (rc == 0) rc = fsam_tensor_write(t, values, fsam__elements(t));
  free(values);
  return rc;
}

static int expect_f32(const char *op, const fsam_tensor *t) {
  return t->dtype == FSAM_F32 ? 0 : fsam__fail(FSAM_EINVAL, "%s: %s is not f32", op, t->name);
}

int fsam_ranks_sum(fsam_tensor *t) {
  void *values;
  FSAM_TRY(borrow(t, "ranks_sum", &values));
  int rc = expect_f32("ranks_sum", t);
  if (rc == 0) rc = backend->sum(values, fsam__elements(t), timeout);
  return give_back(t, values, rc);
}

/* size + 1 offsets into the tensor, none before the one in front of it. */
static int check_starts(const char *op, const fsam_tensor *t, const int64_t *starts) {
  bool ordered = starts[0] >= 0 && starts[ranks] <= fsam__elements(t);
  for (int r = 0; r < ranks; r++) ordered = ordered && starts[r] <= starts[r + 1];
  return ordered ? 0
                 : fsam__fail(FSAM_EINVAL, "%s: the ranks' ranges are not in order within %s", op,
                              t->name);
}

int fsam_ranks_reduce_scatter(fsam_tensor *t, const int64_t *starts) {
  void *values;
  FSAM_TRY(borrow(t, "ranks_reduce_scatter", &values));
  int rc = expect_f32("ranks_reduce_scatter", t);
  if (rc == 0) rc = check_starts("ranks_reduce_scatter", t, starts);
  if (rc == 0) rc = backend->reduce_scatter(values, starts, timeout);
  return give_back(t, values, rc);
}

int fsam__ranks_gather(void *items, const int64_t *starts, int64_t width) {
  FSAM_TRY(check_open());
  int64_t *offsets = malloc(((size_t)ranks + 1) * sizeof *offsets);
  if (!offsets) return fsam__fail(FSAM_ENOMEM, "no memory for the ranges of %d ranks", ranks);
  for (int r = 0; r <= ranks; r++) offsets[r] = starts[r] * width;
  const int rc = backend->all_gather(items, offsets, timeout);
  free(offsets);
  return rc;
}

int fsam_ranks_all_gather(fsam_tensor *t, const int64_t *starts) {
  void *bytes;
  FSAM_TRY(borrow(t, "ranks_all_gather", &bytes));
  int rc = check_starts("ranks_all_gather", t, starts);
  if (rc == 0) rc = fsam__ranks_gather(bytes, starts, fsam__dtype_bytes(t->dtype));
  return give_back(t, bytes, rc);
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
