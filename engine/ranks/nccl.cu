/* nccl.cu: the ranks' GPUs, joined by NCCL, which is opened at the first use.
 *
 * Sums run on a stream of their own. It waits for what the device's stream was given before a sum,
 * and so begins as soon as these values are ready, beside the device's later work; `join` makes
 * that work wait for the sums. The host never waits without a limit: a GPU that waits for a rank
 * which does not come would never end, so `wait` asks again and again, and gives up in time.
 *
 * The ring and the simple protocol add in an order that depends on the place alone, so that two
 * runs end with the same bits; the environment may choose otherwise.
 *
 * Owns: these sums and their time limit. Leaves to others: carrying bytes between GPUs (NCCL), how
 * the ranks learn of each other, and who has not come (ranks.c, mpi.c). */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/cuda/device.cuh"
#include "engine/ranks/backend.h"

namespace {

/* -- the library ------------------------------------------------------------------------------- */

typedef struct nccl_comm *comm;                 /* ncclComm_t */
struct unique_id { char bytes[FSAM_RANKS_ID]; }; /* ncclUniqueId */

/* ncclConfig_t of 2.18, which later versions read too: they have further fields behind these. */
struct config {
  size_t size;
  unsigned magic, version;
  int blocking, cluster, least_blocks, most_blocks;
  const char *network;
  int share;
};

enum { SUCCESS = 0, IN_PROGRESS = 7 };              /* ncclResult_t */
enum { OF_BYTES = 0, OF_U32 = 3, OF_U64 = 5, OF_F32 = 7, OF_F64 = 8 }; /* ncclDataType_t */
enum { BY_SUM = 0 };                                /* ncclRedOp_t */
enum { OLDEST = 21800 };                            /* 2.18.0 */

struct {
  bool tried, usable;
  int version;
  int (*GetVersion)(int *version);
  int (*GetUniqueId)(unique_id *id);
  int (*CommInitRankConfig)(comm *out, int size, unique_id id, int rank, config *c);
  int (*CommGetAsyncError)(comm c, int *error);
  int (*CommDestroy)(comm c);
  int (*CommFinalize)(comm c);
  int (*CommAbort)(comm c);
  int (*AllReduce)(const void *from, void *to, size_t count, int type, int op, comm c,
                   cudaStream_t s);
  int (*Reduce)(const void *from, void *to, size_t count, int type, int op, int root, comm c,
                cudaStream_t s);
  int (*Broadcast)(const void *from, void *to, size_t count, int type, int root, comm c,
                   cudaStream_t s);
  int (*AllGather)(const void *from, void *to, size_t count, int type, comm c, cudaStream_t s);
  int (*GroupStart)(void);
  int (*GroupEnd)(void);
  const char *(*GetErrorString)(int result);
} nccl;

int find() {
  if (!nccl.tried) {
    nccl.tried = true;
    setenv("NCCL_ALGO", "Ring", 0);
    setenv("NCCL_PROTO", "Simple", 0);
    setenv("NCCL_NVLS_ENABLE", "0", 0);
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    bool complete = library != NULL;
#define FIND(name)                                       \
  if (complete) {                                        \
    *(void **)&nccl.name = dlsym(library, "nccl" #name); \
    complete = nccl.name != NULL;                        \
  }
    FIND(GetVersion)
    FIND(GetUniqueId)
    FIND(CommInitRankConfig)
    FIND(CommGetAsyncError)
    FIND(CommDestroy)
    FIND(CommFinalize)
    FIND(CommAbort)
    FIND(AllReduce)
    FIND(Reduce)
    FIND(Broadcast)
    FIND(AllGather)
    FIND(GroupStart)
    FIND(GroupEnd)
    FIND(GetErrorString)
#undef FIND
    nccl.usable = complete && nccl.GetVersion(&nccl.version) == SUCCESS && nccl.version >= OLDEST;
  }
  if (nccl.usable) return FSAM_OK;
  return fsam__fail(FSAM_ENODEV,
                    "NCCL 2.18 or newer (libnccl.so.2), which sums between GPUs, was not found");
}

/* -- this rank --------------------------------------------------------------------------------- */

/* One communicator a process. */
struct {
  comm all;
  bool ended; /* it was given up; `why` says for what reason */
  char why[400];
  int rank, size;
  cudaStream_t stream;
  cudaEvent_t ready; /* what the device was given before a sum */
  cudaEvent_t done;  /* the sums up to the last `join` */
  bool pending;      /* the host has not seen that happen */
  double timeout;    /* of the wait for them, in seconds */
  unsigned char *host, *device; /* for numbers: [size, room] bytes each */
  size_t room;
} job;

/* Gives up: what is queued ends, with whatever values, and nothing is asked of NCCL any more. */
void end() {
  comm all = job.all;
  job.all = NULL;
  job.ended = true;
  job.pending = false;
  if (all) nccl.CommAbort(all);
}

int ended() {
  return fsam__fail(FSAM_EINTERNAL, "%s",
                    job.why[0] ? job.why : "the GPUs of the ranks are not joined");
}

int give_up(const char *text) {
  snprintf(job.why, sizeof job.why, "%s", text);
  end();
  return ended();
}

int give_up_with(int result) {
  char text[200];
  snprintf(text, sizeof text,
           "NCCL: %s; NCCL_DEBUG=WARN in the environment says more. Each rank needs a GPU of its "
           "own",
           nccl.GetErrorString(result));
  return give_up(text);
}

int give_up_late(double seconds) {
  char text[240];
  snprintf(text, sizeof text,
           "rank %d has waited %g seconds for another rank's GPU, longer than --rank-timeout "
           "allows; a run with --save-dir goes on from its last checkpoint",
           job.rank, seconds);
  return give_up(text);
}

/* A wait begins by asking again and again; after that the processor is left to others. */
void pause_after(int round) {
  if (round < 2000) return;
  struct timespec moment = {0, round < 4000 ? 20000 : 200000};
  nanosleep(&moment, NULL);
}

/* The limit of a wait. Rank 0 gives up first, so that it is the one who speaks. */
double limit_of(double timeout) { return timeout + (job.rank == 0 ? 0 : 2); }

/* Calls come back before their work is done (IN_PROGRESS): waits until it is, or has failed. */
int settle(int result, double timeout) {
  const double start = fsam_clock();
  for (int round = 0; result == IN_PROGRESS; round++) {
    const int asked = nccl.CommGetAsyncError(job.all, &result);
    if (asked != SUCCESS) result = asked;
    if (result != IN_PROGRESS) break;
    if (fsam_clock() - start > limit_of(timeout)) return give_up_late(timeout);
    pause_after(round);
  }
  return result == SUCCESS ? FSAM_OK : give_up_with(result);
}

#define TRY_NCCL(call) FSAM_TRY(settle((call), job.timeout))

int check_open() { return job.all ? FSAM_OK : ended(); }

int make_id(void *out) {
  unique_id id;
  FSAM_TRY(find());
  const int result = nccl.GetUniqueId(&id);
  if (result != SUCCESS) return fsam__fail(FSAM_EINTERNAL, "NCCL: %s", nccl.GetErrorString(result));
  memcpy(out, &id, sizeof id);
  return FSAM_OK;
}

int open_job(int rank, int size, const void *given, const char *address, double timeout) {
  unique_id id;
  FSAM_TRY(find());
  if (job.all || job.ended) return fsam__fail(FSAM_EINVAL, "the ranks' GPUs were joined before");
  if (address) setenv("NCCL_COMM_ID", address, 0);
  if (given)
    memcpy(&id, given, sizeof id);
  else
    FSAM_TRY(make_id(&id));
  job.rank = rank;
  job.size = size;
  job.timeout = timeout;
  CUDA_TRY("a stream", cudaStreamCreateWithFlags(&job.stream, cudaStreamNonBlocking));
  CUDA_TRY("an event", cudaEventCreateWithFlags(&job.ready, cudaEventDisableTiming));
  CUDA_TRY("an event", cudaEventCreateWithFlags(&job.done, cudaEventDisableTiming));
  config c = {sizeof c, 0xcafebeef, OLDEST,  0,      INT_MIN,
              INT_MIN,  INT_MIN,    NULL,    INT_MIN};
  TRY_NCCL(nccl.CommInitRankConfig(&job.all, size, id, rank, &c));
  return FSAM_OK;
}

/* -- waiting ----------------------------------------------------------------------------------- */

/* Asks whether the sums have come (then nothing is pending), and whether NCCL has failed. */
int ask(bool nccl_too) {
  if (!job.pending) return job.ended ? ended() : FSAM_OK;
  const cudaError_t state = cudaEventQuery(job.done);
  job.pending = state != cudaSuccess;
  if (!job.pending) return FSAM_OK;
  if (state != cudaErrorNotReady) return fsam__cuda_failed("waiting for the ranks", state);
  cudaGetLastError();
  int result = SUCCESS;
  if (nccl_too) nccl.CommGetAsyncError(job.all, &result);
  return result == SUCCESS || result == IN_PROGRESS ? FSAM_OK : give_up_with(result);
}

int check() { return ask(true); }

int wait_for_sums() {
  const double start = fsam_clock();
  for (int round = 0;; round++) {
    FSAM_TRY(ask(round % 64 == 63));
    if (!job.pending) return FSAM_OK;
    if (fsam_clock() - start > limit_of(job.timeout)) return give_up_late(job.timeout);
    pause_after(round);
  }
}

/* What the device calls before the host waits for it. */
int before_wait(fsam_device *) { return wait_for_sums(); }

/* -- sums -------------------------------------------------------------------------------------- */

cudaStream_t stream_of(fsam_device *device) { return (cudaStream_t)device->stream; }

/* The sums to come wait for what the device was given so far. */
int follow(fsam_device *device) {
  FSAM_TRY(check_open());
  FSAM_TRY(fsam__not_recording(device, "sum over ranks"));
  CUDA_TRY("marking values", cudaEventRecord(job.ready, stream_of(device)));
  CUDA_TRY("waiting for values", cudaStreamWaitEvent(job.stream, job.ready, 0));
  return FSAM_OK;
}

/* The sums so far are what the host waits for next. */
int mark() {
  CUDA_TRY("marking a sum", cudaEventRecord(job.done, job.stream));
  job.pending = true;
  return FSAM_OK;
}

int sum(fsam_device *device, float *values, int64_t count) {
  FSAM_TRY(follow(device));
  TRY_NCCL(nccl.AllReduce(values, values, (size_t)count, OF_F32, BY_SUM, job.all, job.stream));
  return FSAM_OK;
}

int sum_words(fsam_device *device, void *words, int64_t count, int width) {
  FSAM_TRY(follow(device));
  TRY_NCCL(nccl.AllReduce(words, words, (size_t)count, width == 8 ? OF_U64 : OF_U32, BY_SUM,
                          job.all, job.stream));
  return FSAM_OK;
}

/* Ranges are of any length, so each is a sum of its own (ncclReduceScatter wants equal ones); as
 * one group they run together. */
int reduce_scatter(fsam_device *device, float *values, const int64_t *starts, int64_t first,
                   int64_t count) {
  FSAM_TRY(follow(device));
  TRY_NCCL(nccl.GroupStart());
  int result = SUCCESS;
  for (int rank = 0; rank < job.size; rank++) {
    const int64_t from = starts[rank] > first ? starts[rank] : first;
    const int64_t next = starts[rank + 1], end = next < first + count ? next : first + count;
    if (from >= end) continue;
    const int rc = nccl.Reduce(values + from, values + from, (size_t)(end - from), OF_F32, BY_SUM,
                               rank, job.all, job.stream);
    if (rc != IN_PROGRESS && result == SUCCESS) result = rc;
  }
  TRY_NCCL(nccl.GroupEnd());
  return result == SUCCESS ? FSAM_OK : give_up_with(result);
}

int all_gather(fsam_device *device, void *bytes, const int64_t *starts) {
  FSAM_TRY(follow(device));
  TRY_NCCL(nccl.GroupStart());
  int result = SUCCESS;
  for (int rank = 0; rank < job.size; rank++) {
    char *range = (char *)bytes + starts[rank];
    const size_t count = (size_t)(starts[rank + 1] - starts[rank]);
    if (count == 0) continue;
    const int rc = nccl.Broadcast(range, range, count, OF_BYTES, rank, job.all, job.stream);
    if (rc != IN_PROGRESS && result == SUCCESS) result = rc;
  }
  TRY_NCCL(nccl.GroupEnd());
  return result == SUCCESS ? FSAM_OK : give_up_with(result);
}

int join(fsam_device *device, double timeout) {
  FSAM_TRY(check_open());
  job.timeout = timeout;
  device->before_wait = before_wait;
  FSAM_TRY(mark());
  CUDA_TRY("waiting for sums", cudaStreamWaitEvent(stream_of(device), job.done, 0));
  return FSAM_OK;
}

/* -- numbers ----------------------------------------------------------------------------------- */

/* Room for `bytes` of each rank in the host's memory and in the GPU's. */
int make_room(size_t bytes) {
  if (bytes <= job.room) return FSAM_OK;
  size_t room = 4096;
  while (room < bytes) room *= 2;
  if (job.host) cudaFreeHost(job.host);
  if (job.device) cudaFree(job.device);
  job.host = job.device = NULL;
  job.room = 0;
  CUDA_TRY("pinned memory", cudaHostAlloc((void **)&job.host, room * (size_t)job.size,
                                          cudaHostAllocDefault));
  CUDA_TRY("memory", cudaMalloc((void **)&job.device, room * (size_t)job.size));
  job.room = room;
  return FSAM_OK;
}

/* All ranks' numbers come to each, which adds them in the order of ranks. */
int sum_numbers(double *values, int64_t count, double timeout) {
  const size_t bytes = (size_t)count * sizeof *values;
  FSAM_TRY(check_open());
  FSAM_TRY(wait_for_sums());
  FSAM_TRY(make_room(bytes));
  job.timeout = timeout;
  unsigned char *own = job.device + (size_t)job.rank * bytes;
  memcpy(job.host, values, bytes);
  CUDA_TRY("sending numbers",
           cudaMemcpyAsync(own, job.host, bytes, cudaMemcpyHostToDevice, job.stream));
  TRY_NCCL(nccl.AllGather(own, job.device, (size_t)count, OF_F64, job.all, job.stream));
  CUDA_TRY("getting numbers", cudaMemcpyAsync(job.host, job.device, bytes * (size_t)job.size,
                                              cudaMemcpyDeviceToHost, job.stream));
  FSAM_TRY(mark());
  FSAM_TRY(wait_for_sums());
  const double *all = (const double *)job.host;
  for (int64_t i = 0; i < count; i++) {
    values[i] = all[i];
    for (int rank = 1; rank < job.size; rank++) values[i] += all[rank * count + i];
  }
  return FSAM_OK;
}

/* -- leaving ----------------------------------------------------------------------------------- */

int leave(double timeout) {
  double none = 0;
  if (!job.all) return FSAM_OK;
  FSAM_TRY(sum_numbers(&none, 1, timeout));
  TRY_NCCL(nccl.CommFinalize(job.all));
  nccl.CommDestroy(job.all);
  job.all = NULL;
  return FSAM_OK;
}

}  // namespace

extern const fsam_gpu_ranks fsam__nccl;
const fsam_gpu_ranks fsam__nccl = {find,           make_id,    open_job, sum,   sum_words,
                                   reduce_scatter, all_gather, join,     check, wait_for_sums,
                                   sum_numbers,    leave,      end};
