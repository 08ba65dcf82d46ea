/* mpi.c: the ranks of an MPI job, in a library of its own (libfsam-mpi.so).
 *
 * Every rank gets its range of the values from all others and adds them in the order of ranks
 * (reduce_scatter); where all want the sums, it sends its range to all (all_gather). So each
 * element is added by one rank, in one order, and two runs end with the same bits; MPI_Allreduce
 * promises no order. Every rank waits for every other one directly, so that the one that does not
 * come can be named.
 *
 * Owns: these exchanges, their time limit, and the words of other ranks that reach rank 0. Leaves
 * to others: starting processes and carrying bytes (MPI), what is summed (fsam.ranks). */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/engine.h"
#include "engine/ranks/backend.h"

enum {
  PIECE = 1 << 20,      /* elements that arrive at once: bounds the memory that it takes */
  LONGEST_REPORT = 2048 /* bytes, with the final 0 */
};
enum { TAG_SHARE = 1, TAG_SUM, TAG_NUMBERS, TAG_REPORT };

static struct {
  MPI_Comm world, reports; /* reports: texts to rank 0 */
  int rank, size;
  bool late;             /* a wait has ended without what it waited for */
  float *arrived;        /* [size, piece]: the other ranks' values of this rank's piece */
  double *numbers;       /* [size, capacity] */
  int64_t capacity;
  MPI_Request *requests; /* [2 size]: receives, then sends, by rank */
  MPI_Status *statuses;  /* as many; compilers misread the MPI_STATUSES_IGNORE of MPICH */
  int64_t *starts;       /* [size + 1]: even shares of a sum */
} job;

/* -- waiting ----------------------------------------------------------------------------------- */

static int mpi_failed(int code) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return fsam__fail(FSAM_EINTERNAL, "MPI: %s", text);
}

#define TRY_MPI(call)                            \
  do {                                           \
    int mpi_code = (call);                       \
    if (mpi_code) return mpi_failed(mpi_code);   \
  } while (0)

/* Fails with what another rank has reported to this one, the first; 0 when none has. */
static int check_reports(void) {
  char text[LONGEST_REPORT];
  int there = 0;
  MPI_Status status;
  if (job.rank != 0) return 0;
  TRY_MPI(MPI_Iprobe(MPI_ANY_SOURCE, TAG_REPORT, job.reports, &there, &status));
  if (!there) return 0;
  TRY_MPI(MPI_Recv(text, sizeof text, MPI_CHAR, status.MPI_SOURCE, TAG_REPORT, job.reports,
                   MPI_STATUS_IGNORE));
  text[sizeof text - 1] = 0;
  return fsam__fail(FSAM_EINTERNAL, "rank %d: %s", status.MPI_SOURCE, text);
}

/* The first rank whose message has not come; -1 when all have. */
static int first_missing(MPI_Request *requests, int count) {
  for (int i = 0; i < count; i++) {
    int done = 1;
    if (MPI_Request_get_status(requests[i], &done, MPI_STATUS_IGNORE) == 0 && !done)
      return i % job.size;
  }
  return -1;
}

/* A wait is short while all ranks compute alike, so it begins by asking again and again. After that
 * the processor is left to those who need it. */
static void pause_after(int round) {
  if (round < 2000) return;
  const struct timespec moment = {.tv_nsec = round < 4000 ? 20000 : 200000};
  nanosleep(&moment, NULL);
}

/* Waits for `count` requests, entry i being one with rank i mod size. Rank 0 gives up first, so
 * that it is the one who speaks. Another one that gives up had no word from rank 0 either, and
 * speaks for itself (report). */
static int wait_for(MPI_Request *requests, int count, double timeout) {
  const double limit = timeout + (job.rank == 0 ? 0 : 2), start = MPI_Wtime();
  for (int round = 0, done = 0;; round++) {
    TRY_MPI(MPI_Testall(count, requests, &done, job.statuses));
    if (done) return 0;
    if (round % 64 == 63 || round >= 4000) {
      FSAM_TRY(check_reports());
      FSAM_TRY(fsam__ranks_check());
    }
    job.late = MPI_Wtime() - start > limit;
    if (job.late)
      return fsam__fail(FSAM_EINTERNAL,
                        "rank %d has not been heard of for %g seconds, longer than --rank-timeout "
                        "allows; a run with --save-dir goes on from its last checkpoint",
                        first_missing(requests, count), timeout);
    pause_after(round);
  }
}

/* -- joining and leaving ----------------------------------------------------------------------- */

static int open_job(int rank, int size) {
  int provided, found_rank, found_size, initialized;
  TRY_MPI(MPI_Initialized(&initialized));
  if (!initialized) TRY_MPI(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided));
  TRY_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &job.world));
  TRY_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &job.reports));
  MPI_Comm_set_errhandler(job.world, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(job.reports, MPI_ERRORS_RETURN);
  MPI_Comm_rank(job.world, &found_rank);
  MPI_Comm_size(job.world, &found_size);
  if (found_rank != rank || found_size != size)
    return fsam__fail(FSAM_EINVAL,
                      "the environment says rank %d of %d, but MPI says rank %d of %d: start all "
                      "processes with one mpirun -np %d, or srun --mpi=pmix",
                      rank, size, found_rank, found_size, size);
  job.rank = rank;
  job.size = size;
  job.arrived = malloc((PIECE + (size_t)size) * sizeof *job.arrived);
  job.starts = malloc(((size_t)size + 1) * sizeof *job.starts);
  job.requests = malloc(2 * (size_t)size * sizeof *job.requests);
  job.statuses = malloc(2 * (size_t)size * sizeof *job.statuses);
  return job.arrived && job.requests && job.statuses && job.starts
             ? 0
             : fsam__fail(FSAM_ENOMEM, "no memory for the exchange between %d ranks", size);
}

/* Waits until all ranks have come here. */
static int meet(double timeout) {
  for (int i = 0; i < 2 * job.size; i++) job.requests[i] = MPI_REQUEST_NULL;
  char none = 0;
  for (int other = 0; other < job.size; other++) {
    if (other == job.rank) continue;
    TRY_MPI(MPI_Irecv(&none, 0, MPI_CHAR, other, TAG_NUMBERS, job.reports, job.requests + other));
    TRY_MPI(MPI_Isend(&none, 0, MPI_CHAR, other, TAG_NUMBERS, job.reports,
                      job.requests + job.size + other));
  }
  return wait_for(job.requests, 2 * job.size, timeout);
}

static int leave(double timeout) {
  FSAM_TRY(meet(timeout));
  TRY_MPI(MPI_Finalize());
  return 0;
}

/* Hands a text to rank 0, which prints it and ends all. Comes back only when it does not; at once
 * where rank 0 did not come before. */
static int report(const char *text, double timeout) {
  static char copy[LONGEST_REPORT]; /* outlives the call: the message may be on its way */
  MPI_Request request;
  if (job.late) return fsam__fail(FSAM_EINTERNAL, "rank 0 does not answer");
  snprintf(copy, sizeof copy, "%s", text);
  TRY_MPI(MPI_Isend(copy, (int)strlen(copy) + 1, MPI_CHAR, 0, TAG_REPORT, job.reports, &request));
  const double start = MPI_Wtime();
  while (MPI_Wtime() - start < timeout + 3) {
    int done;
    TRY_MPI(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
    pause_after(4000);
  }
  return fsam__fail(FSAM_EINTERNAL, "rank 0 does not answer");
}

static void end_all(int status) { MPI_Abort(job.world, status); }

/* -- sums -------------------------------------------------------------------------------------- */

/* What is exchanged at once of the range [starts[rank], starts[rank + 1]): from *first on, at most
 * `most` items after the first `done` ones of it. */
static int piece_of(int64_t *first, const int64_t *starts, int rank, int64_t done, int64_t most) {
  const int64_t left = starts[rank + 1] - starts[rank] - done;
  *first = starts[rank] + done;
  return left < 0 ? 0 : left < most ? (int)left : (int)most;
}

static int64_t longest_range(const int64_t *starts) {
  int64_t longest = 0;
  for (int r = 0; r < job.size; r++)
    if (starts[r + 1] - starts[r] > longest) longest = starts[r + 1] - starts[r];
  return longest;
}

/* This rank's piece as all ranks hold it, added in the order of ranks. */
static void add_arrived(float *own, int count) {
  for (int i = 0; i < count; i++) {
    float sum = job.rank == 0 ? own[i] : job.arrived[i];
    for (int other = 1; other < job.size; other++)
      sum += other == job.rank ? own[i] : job.arrived[(int64_t)other * count + i];
    own[i] = sum;
  }
}

static int transfer(void *to, int received, const void *from, int sent, int tag, int other) {
  TRY_MPI(MPI_Irecv(to, received, MPI_BYTE, other, tag, job.world, job.requests + other));
  TRY_MPI(MPI_Isend(from, sent, MPI_BYTE, other, tag, job.world, job.requests + job.size + other));
  return 0;
}

/* An exchange of ranges of items of `width` bytes with all others. sums: the own range comes in
 * from all, each rank's in its place in job.arrived, and is added up; else the own range goes to
 * all, and theirs come in where they lie. */
static int exchange(char *values, const int64_t *starts, int64_t width, bool sums, double timeout) {
  const int64_t most = (PIECE / job.size + 1) * (int64_t)sizeof *job.arrived / width;
  const int64_t longest = longest_range(starts);
  for (int64_t done = 0; done < longest; done += most) {
    int64_t first, own_first;
    const int own = piece_of(&own_first, starts, job.rank, done, most) * (int)width;
    char *const mine = values + own_first * width;
    job.requests[job.rank] = job.requests[job.size + job.rank] = MPI_REQUEST_NULL;
    for (int other = 0; other < job.size; other++) {
      if (other == job.rank) continue;
      const int theirs = piece_of(&first, starts, other, done, most) * (int)width;
      char *const place = values + first * width;
      FSAM_TRY(sums ? transfer((char *)job.arrived + (int64_t)other * own, own, place, theirs,
                               TAG_SHARE, other)
                    : transfer(place, theirs, mine, own, TAG_SUM, other));
    }
    FSAM_TRY(wait_for(job.requests, 2 * job.size, timeout));
    if (sums) add_arrived((float *)mine, own / (int)width);
  }
  return 0;
}

/* Each element is added by one rank, whose range it is in. */
static int reduce_scatter(float *values, const int64_t *starts, double timeout) {
  return exchange((char *)values, starts, sizeof *values, true, timeout);
}

static int all_gather(void *bytes, const int64_t *starts, double timeout) {
  return exchange(bytes, starts, 1, false, timeout);
}

/* Where the range of each rank begins when `count` items of `bytes` bytes are shared out evenly. */
static void share_out(int64_t *starts, int64_t count, int64_t bytes) {
  const int64_t each = (count + job.size - 1) / job.size;
  for (int r = 0; r <= job.size; r++) starts[r] = bytes * (r * each < count ? r * each : count);
}

static int sum(float *values, int64_t count, double timeout) {
  share_out(job.starts, count, 1);
  FSAM_TRY(reduce_scatter(values, job.starts, timeout));
  share_out(job.starts, count, sizeof *values);
  return all_gather(values, job.starts, timeout);
}

/* Short lists: each rank sends all of its own to all, and adds for itself. */
static int sum_numbers(double *values, int64_t count, double timeout) {
  if (count > job.capacity) {
    double *larger = realloc(job.numbers, (size_t)(count * job.size) * sizeof *larger);
    if (!larger) return fsam__fail(FSAM_ENOMEM, "no memory for %lld numbers of each rank",
                                   (long long)count);
    job.numbers = larger;
    job.capacity = count;
  }
  job.requests[job.rank] = job.requests[job.size + job.rank] = MPI_REQUEST_NULL;
  for (int other = 0; other < job.size; other++) {
    if (other == job.rank) continue;
    TRY_MPI(MPI_Irecv(job.numbers + other * count, (int)count, MPI_DOUBLE, other, TAG_NUMBERS,
                      job.world, job.requests + other));
    TRY_MPI(MPI_Isend(values, (int)count, MPI_DOUBLE, other, TAG_NUMBERS, job.world,
                      job.requests + job.size + other));
  }
  FSAM_TRY(wait_for(job.requests, 2 * job.size, timeout));
  memcpy(job.numbers + job.rank * count, values, (size_t)count * sizeof *values);
  for (int64_t i = 0; i < count; i++) {
    values[i] = job.numbers[i];
    for (int other = 1; other < job.size; other++) values[i] += job.numbers[other * count + i];
  }
  return 0;
}

#pragma GCC visibility push(default)
extern const fsam_ranks_backend fsam_mpi;
const fsam_ranks_backend fsam_mpi = {
    .abi = FSAM_ABI,
    .version = FSAM_VERSION,
    .open = open_job,
    .sum = sum,
    .sum_numbers = sum_numbers,
    .reduce_scatter = reduce_scatter,
    .all_gather = all_gather,
    .report = report,
    .leave = leave,
    .end_all = end_all,
};
#pragma GCC visibility pop
