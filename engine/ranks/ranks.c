/* ranks.c: this process as one of several that train together. Owns: opening the backends, each at
 * most once, and the way of a device's tensors to one of them and back: between GPUs by the backend
 * that these bring, else through the hosts' memory. Leaves to others: how numbers travel (mpi.c,
 * nccl.cu), who takes part (fsam.ranks reads the environment), which sums a step needs (Lua). */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/ranks/backend.h"

static const char library_name[] = "libfsam-mpi.so";

static const fsam_ranks_backend *backend; /* NULL until fsam_ranks_open */
static const fsam_gpu_ranks *gpus;        /* NULL until the GPUs are joined */
static int own_rank, ranks;               /* ranks: how many; 0 until one of these */
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
  own_rank = rank;
  ranks = size;
  return rank > 0 ? close_output() : 0;
}

int fsam_ranks_open_gpus(int rank, int size, fsam_device *gpu, const char *address) {
  if (backend || gpus || size < 1 || rank < 0 || rank >= size)
    return fsam__fail(FSAM_EINVAL, "rank %d of %d cannot be opened", rank, size);
  if (!gpu->ranks) return fsam__fail(FSAM_ENODEV, "the device %s joins no ranks", gpu->name);
  FSAM_TRY(gpu->ranks->open(rank, size, NULL, address, timeout));
  gpus = gpu->ranks;
  own_rank = rank;
  ranks = size;
  return rank > 0 ? close_output() : 0;
}

void fsam_ranks_timeout(double seconds) { timeout = seconds; }

static int check_open(void) {
  return backend || gpus ? 0 : fsam__fail(FSAM_EINVAL, "this process has no other ranks");
}

/* -- between GPUs ------------------------------------------------------------------------------ */

/* Hands rank 0's id to all: numbers are what travels. */
static int share_id(unsigned char id[FSAM_RANKS_ID]) {
  double numbers[FSAM_RANKS_ID] = {0};
  if (own_rank == 0) {
    FSAM_TRY(gpus->make_id(id));
    for (int i = 0; i < FSAM_RANKS_ID; i++) numbers[i] = id[i];
  }
  FSAM_TRY(backend->sum_numbers(numbers, FSAM_RANKS_ID, timeout));
  for (int i = 0; i < FSAM_RANKS_ID; i++) id[i] = (unsigned char)numbers[i];
  return 0;
}

static int join_gpus(void) {
  unsigned char id[FSAM_RANKS_ID] = {0};
  FSAM_TRY(share_id(id));
  return gpus->open(own_rank, ranks, id, NULL, timeout);
}

int fsam_ranks_use(fsam_device *d) {
  FSAM_TRY(check_open());
  if (!backend) /* the GPUs are all that joins these ranks */
    return d->ranks == gpus
               ? 1
               : fsam__fail(FSAM_EINVAL,
                            "these processes were started without MPI: each needs a GPU, and "
                            "cannot use the device %s; start them with mpirun",
                            d->name);
  if (gpus) return 1;
  char why[400] = "";
  double found = 0; /* how many have a GPU and the library */
  if (d->ranks && d->ranks->find() == 0)
    found = 1;
  else if (d->ranks)
    snprintf(why, sizeof why, "%s", fsam_error());
  FSAM_TRY(backend->sum_numbers(&found, 1, timeout));
  if (found == ranks) {
    gpus = d->ranks;
    const int rc = join_gpus();
    if (rc < 0) gpus = NULL;
    return rc < 0 ? rc : 1;
  }
  fsam__fail(FSAM_ENODEV, "%s", /* kept for fsam_error: the caller says it */
             why[0] ? why : "not every rank has a GPU and NCCL, which sums between GPUs");
  return 0;
}

/* Can the values of t reach the other ranks? */
static int check_tensor(const char *op, const fsam_tensor *t) {
  FSAM_TRY(check_open());
  FSAM_TRY(fsam_tensor_check(t));
  FSAM_TRY(fsam__expect_dense(op, "tensor", t));
  if (!backend && fsam__device_of(t)->ranks != gpus)
    return fsam__fail(FSAM_EINVAL, "%s: %s is not on a GPU, and there is no MPI", op, t->name);
  return 0;
}

static int expect_f32(const char *op, const fsam_tensor *t) {
  return t->dtype == FSAM_F32 ? 0 : fsam__fail(FSAM_EINVAL, "%s: %s is not f32", op, t->name);
}

static int check_sum(const fsam_tensor *t) {
  FSAM_TRY(check_tensor("ranks_sum", t));
  return expect_f32("ranks_sum", t);
}

/* size + 1 offsets into the tensor, none before the one in front of it. */
static int check_starts(const char *op, const fsam_tensor *t, const int64_t *starts) {
  bool ordered = starts[0] >= 0 && starts[ranks] <= fsam__elements(t);
  for (int r = 0; r < ranks; r++) ordered = ordered && starts[r] <= starts[r + 1];
  return ordered ? 0
                 : fsam__fail(FSAM_EINVAL, "%s: the ranks' ranges are not in order within %s", op,
                              t->name);
}

/* The hosts meet first: MPI can name the rank that does not come. */
static int meet(void) {
  double none = 0;
  return backend ? backend->sum_numbers(&none, 1, timeout) : 0;
}

static bool between_gpus(const fsam_device *d) { return gpus && d->ranks == gpus; }

int fsam__ranks_check(void) { return gpus ? gpus->check() : 0; }

bool fsam__ranks_between(const fsam_device *d) { return between_gpus(d); }

/* What the device is given from now on waits for what its ranks have queued. */
static int end_queued(fsam_device *d) {
  FSAM_TRY(meet());
  return gpus ? gpus->join(d, timeout) : 0;
}

/* A part of a tensor that can be summed on its own. */
static int check_part(fsam_tensor *t, int64_t first, int64_t count) {
  FSAM_TRY(check_sum(t));
  if (first < 0 || count < 1 || count > fsam__elements(t) - first)
    return fsam__fail(FSAM_EINVAL, "ranks_sum: %s has no elements %lld to %lld", t->name,
                      (long long)first, (long long)(first + count));
  if (!between_gpus(fsam__device_of(t)))
    return fsam__fail(FSAM_EINVAL, "ranks_sum: parts of %s cannot be summed on their own", t->name);
  return 0;
}

int fsam_ranks_sum_part(fsam_tensor *t, int64_t first, int64_t count) {
  FSAM_TRY(check_part(t, first, count));
  return gpus->sum(fsam__device_of(t), (float *)t->data + first, count);
}

int fsam_ranks_reduce_part(fsam_tensor *t, const int64_t *starts, int64_t first, int64_t count) {
  FSAM_TRY(check_part(t, first, count));
  FSAM_TRY(check_starts("ranks_reduce_part", t, starts));
  return gpus->reduce_scatter(fsam__device_of(t), t->data, starts, first, count);
}

int fsam_ranks_sum_end(fsam_tensor *t) {
  FSAM_TRY(check_sum(t));
  return end_queued(fsam__device_of(t));
}

/* The hosts do not meet: this comes often, and what follows it soon lets them. */
int fsam__ranks_sum_words(fsam_device *d, void *words, int64_t count, int width) {
  if (!between_gpus(d))
    return fsam__fail(FSAM_EINVAL, "the ranks' GPUs are not joined, which hold shares");
  FSAM_TRY(gpus->sum_words(d, words, count, width));
  return gpus->join(d, timeout);
}

/* -- sums -------------------------------------------------------------------------------------- */

/* The bytes of a dense tensor, in memory that the backend of the hosts may work in: the tensor's
 * own on processors, else a copy. */
static int borrow(fsam_tensor *t, const char *op, void **out) {
  FSAM_TRY(check_tensor(op, t));
  if (!backend) return fsam__fail(FSAM_ENODEV, "%s: there is no MPI", op);
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

int fsam_ranks_sum(fsam_tensor *t) {
  void *values = NULL;
  FSAM_TRY(check_sum(t));
  const int64_t count = fsam__elements(t);
  if (between_gpus(fsam__device_of(t))) {
    FSAM_TRY(fsam_ranks_sum_part(t, 0, count));
    return fsam_ranks_sum_end(t);
  }
  FSAM_TRY(borrow(t, "ranks_sum", &values));
  return give_back(t, values, backend->sum(values, count, timeout));
}

int fsam_ranks_reduce_scatter(fsam_tensor *t, const int64_t *starts) {
  void *values = NULL;
  FSAM_TRY(check_tensor("ranks_reduce_scatter", t));
  if (between_gpus(fsam__device_of(t))) {
    FSAM_TRY(fsam_ranks_reduce_part(t, starts, 0, fsam__elements(t)));
    return fsam_ranks_sum_end(t);
  }
  FSAM_TRY(borrow(t, "ranks_reduce_scatter", &values));
  int rc = expect_f32("ranks_reduce_scatter", t);
  if (rc == 0) rc = check_starts("ranks_reduce_scatter", t, starts);
  if (rc == 0) rc = backend->reduce_scatter(values, starts, timeout);
  return give_back(t, values, rc);
}

/* Every rank gets all ranges of items of `width` bytes: in the GPU's memory, or without `d` in the
 * host's. */
static int gather(fsam_device *d, void *items, const int64_t *starts, int64_t width) {
  int64_t *offsets = malloc(((size_t)ranks + 1) * sizeof *offsets);
  if (!offsets) return fsam__fail(FSAM_ENOMEM, "no memory for the ranges of %d ranks", ranks);
  for (int r = 0; r <= ranks; r++) offsets[r] = starts[r] * width;
  int rc = d ? gpus->all_gather(d, items, offsets) : backend->all_gather(items, offsets, timeout);
  if (rc == 0 && d) rc = end_queued(d);
  free(offsets);
  return rc;
}

int fsam__ranks_gather(void *items, const int64_t *starts, int64_t width) {
  FSAM_TRY(check_open());
  if (!backend) return fsam__fail(FSAM_ENODEV, "ranks_gather: there is no MPI");
  return gather(NULL, items, starts, width);
}

int fsam_ranks_all_gather(fsam_tensor *t, const int64_t *starts) {
  void *bytes = NULL;
  FSAM_TRY(check_tensor("ranks_all_gather", t));
  if (between_gpus(fsam__device_of(t))) {
    FSAM_TRY(check_starts("ranks_all_gather", t, starts));
    return gather(fsam__device_of(t), t->data, starts, fsam__dtype_bytes(t->dtype));
  }
  FSAM_TRY(borrow(t, "ranks_all_gather", &bytes));
  int rc = check_starts("ranks_all_gather", t, starts);
  if (rc == 0) rc = fsam__ranks_gather(bytes, starts, fsam__dtype_bytes(t->dtype));
  return give_back(t, bytes, rc);
}

int fsam_ranks_sum_numbers(double *values, int64_t count) {
  FSAM_TRY(check_open());
  return backend ? backend->sum_numbers(values, count, timeout)
                 : gpus->sum_numbers(values, count, timeout);
}

/* Without MPI nothing carries a text: the launcher sees that this process has failed. */
int fsam_ranks_report(const char *text) {
  FSAM_TRY(check_open());
  return backend ? backend->report(text, timeout)
                 : fsam__fail(FSAM_ENODEV, "no way leads to rank 0");
}

int fsam_ranks_leave(void) {
  if (gpus) FSAM_TRY(gpus->leave(timeout));
  return backend ? backend->leave(timeout) : 0;
}

void fsam_ranks_end_all(int status) {
  if (gpus) gpus->end();
  if (backend) backend->end_all(status);
}
