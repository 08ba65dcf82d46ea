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
static int own_rank, ranks;
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
  double found[2] = {d->ranks != NULL, 0}; /* how many have GPUs, and the library */
  if (d->ranks && d->ranks->find() == 0)
    found[1] = 1;
  else if (d->ranks)
    snprintf(why, sizeof why, "%s", fsam_error());
  FSAM_TRY(backend->sum_numbers(found, 2, timeout));
  if (found[1] == ranks) {
    gpus = d->ranks;
    const int rc = join_gpus();
    if (rc < 0) gpus = NULL;
    return rc < 0 ? rc : 1;
  }
  if (found[0] > 0) /* kept for fsam_error: the caller says it */
    fsam__fail(FSAM_ENODEV, "%s",
               why[0] ? why : "not every rank has a GPU and NCCL, which sums between GPUs");
  else
    fsam__fail(FSAM_ENODEV, "the ranks train on processors");
  return 0;
}

static int check_sum(const fsam_tensor *t) {
  FSAM_TRY(check_open());
  FSAM_TRY(fsam_tensor_check(t));
  FSAM_TRY(fsam__expect_dense("ranks_sum", "tensor", t));
  if (t->dtype != FSAM_F32)
    return fsam__fail(FSAM_EINVAL, "ranks_sum: %s is not f32", t->name);
  if (!backend && fsam__device_of(t)->ranks != gpus)
    return fsam__fail(FSAM_EINVAL, "ranks_sum: %s is not on a GPU, and there is no MPI", t->name);
  return 0;
}

/* The hosts meet first: MPI can name the rank that does not come. */
static int meet(void) {
  double none = 0;
  return backend ? backend->sum_numbers(&none, 1, timeout) : 0;
}

static bool between_gpus(const fsam_device *d) { return gpus && d->ranks == gpus; }

int fsam_ranks_sum_part(fsam_tensor *t, int64_t first, int64_t count) {
  FSAM_TRY(check_sum(t));
  fsam_device *d = fsam__device_of(t);
  if (first < 0 || count < 1 || count > fsam__elements(t) - first)
    return fsam__fail(FSAM_EINVAL, "ranks_sum: %s has no elements %lld to %lld", t->name,
                      (long long)first, (long long)(first + count));
  if (!between_gpus(d))
    return fsam__fail(FSAM_EINVAL, "ranks_sum: parts of %s cannot be summed on their own", t->name);
  return gpus->sum(d, (float *)t->data + first, count);
}

int fsam_ranks_sum_end(fsam_tensor *t) {
  FSAM_TRY(check_sum(t));
  FSAM_TRY(meet());
  return gpus ? gpus->join(fsam__device_of(t), timeout) : 0;
}

/* -- sums -------------------------------------------------------------------------------------- */

int fsam_ranks_sum(fsam_tensor *t) {
  FSAM_TRY(check_sum(t));
  const int64_t count = fsam__elements(t);
  if (between_gpus(fsam__device_of(t))) {
    FSAM_TRY(fsam_ranks_sum_part(t, 0, count));
    return fsam_ranks_sum_end(t);
  }
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
