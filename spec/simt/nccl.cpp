/* nccl.cpp: a libnccl.so.2 that joins processes of this machine through shared memory, on the
 * streams of the CUDA runtime that puts work off (runtime.cpp). It is stricter than NCCL, which
 * would wait for ever or give wrong sums: it checks that all ranks make the same calls in the same
 * order, and that buffers either are the same or lie apart, that groups are closed, that no call
 * comes while another is in progress, and none after an abort. What it finds it prints, and reports
 * as NCCL reports errors of work under way: the work never ends, and ncclCommGetAsyncError says so.
 * It adds in an order of its own, alike on every rank. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <vector>

/* 1: what is found is not printed, for the spec that makes mistakes. */
#pragma GCC visibility push(default)
extern "C" int fsam_nccl_quiet;
int fsam_nccl_quiet;
#pragma GCC visibility pop

typedef struct fake_stream *stream;
extern "C" int fsam_simt_attempt(stream s, bool (*attempt)(void *context), void *context);

namespace {

enum { MAX_RANKS = 8, ID = 128, VERSION = 22809 };
const size_t AREA = 64 << 20; /* bytes that a rank may give to one call */

enum { SUCCESS = 0, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, IN_PROGRESS = 7 };

/* What a rank calls. All ranks' calls of one number must be the same. */
struct call {
  char name[16];
  int64_t count;
  int type, op, root;
  int64_t group; /* how many calls its group has; 0: none */
};

struct member {
  std::atomic<int64_t> arrived, done; /* numbers of calls, from 1 */
  call last;
};

struct meeting {
  std::atomic<int> joined;
  int size;
  member members[MAX_RANKS];
};

struct comm {
  meeting *shared;
  unsigned char *areas; /* [size, AREA] */
  std::string name;
  int rank, size;
  int64_t calls, ended; /* how many were made; how many are done */
  int busy;             /* how often it still says that a call is in progress */
  int error;
  bool joined, aborted, destroyed;
};

struct work {
  comm *owner;
  call what;
  const unsigned char *from;
  unsigned char *to;
  stream on;
  int64_t number;
  bool given;
};

int group_depth;
std::vector<work *> group;

int violation(comm *c, const char *text) {
  const std::string who = c ? "rank " + std::to_string(c->rank) + " " : "";
  if (!fsam_nccl_quiet) fprintf(stderr, "NCCL stand-in: %s%s\n", who.c_str(), text);
  if (c && !c->error) c->error = INVALID_USAGE;
  return INVALID_USAGE;
}

enum { OF_BYTES = 0, OF_U32 = 3, OF_U64 = 5, OF_F32 = 7, OF_F64 = 8 };

size_t size_of(int type) {
  return type == OF_BYTES                     ? 1
         : type == OF_U32 || type == OF_F32   ? 4
         : type == OF_U64 || type == OF_F64   ? 8
                                              : 0;
}

/* -- meeting ----------------------------------------------------------------------------------- */

size_t bytes_of(int size) { return 4096 * ((sizeof(meeting) + 4095) / 4096) + AREA * (size_t)size; }

/* Rank 0 makes the shared memory; true when all have come. */
bool try_to_join(comm *c) {
  if (!c->shared) {
    const int file = shm_open(c->name.c_str(), c->rank ? O_RDWR : O_RDWR | O_CREAT | O_EXCL, 0600);
    struct stat found;
    if (file < 0) return false;
    if (c->rank == 0 && ftruncate(file, (off_t)bytes_of(c->size)) < 0) return false;
    if (fstat(file, &found) < 0 || (size_t)found.st_size < bytes_of(c->size)) {
      close(file);
      return false;
    }
    void *p = mmap(NULL, bytes_of(c->size), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (p == MAP_FAILED) return false;
    c->shared = (meeting *)p;
    c->areas = (unsigned char *)p + bytes_of(0);
    c->shared->joined++;
  }
  c->joined = c->shared->joined == c->size;
  if (c->joined && c->rank == 0) shm_unlink(c->name.c_str());
  return c->joined;
}

/* -- calls ------------------------------------------------------------------------------------- */

unsigned char *area(const comm *c, int rank) { return c->areas + AREA * (size_t)rank; }

/* The ranks in another order for each element and each call; with FSAM_NCCL_ORDER in the
 * environment in that of the ranks, so that a sum is the same whichever call makes it. */
template <typename T>
void add(work *w, void *sums) {
  static const bool in_order = getenv("FSAM_NCCL_ORDER") != NULL;
  const comm *c = w->owner;
  T *to = (T *)sums;
  for (int64_t i = 0; i < w->what.count; i++) {
    const int first = in_order ? 0 : (int)((w->number + i / 5) % c->size);
    T sum = ((const T *)area(c, first))[i];
    for (int k = 1; k < c->size; k++) sum += ((const T *)area(c, (first + k) % c->size))[i];
    to[i] = sum;
  }
}

void finish(work *w) {
  comm *c = w->owner;
  const size_t bytes = (size_t)w->what.count * size_of(w->what.type);
  const std::string name = w->what.name;
  if (name == "AllGather")
    for (int rank = 0; rank < c->size; rank++)
      memcpy(w->to + (size_t)rank * bytes, area(c, rank), bytes);
  else if (name == "Broadcast")
    memcpy(w->to, area(c, w->what.root), bytes);
  else if (name == "Reduce" && w->what.root != c->rank)
    return;
  else if (w->what.type == OF_F32)
    add<float>(w, w->to);
  else if (w->what.type == OF_F64)
    add<double>(w, w->to);
  else if (w->what.type == OF_U32)
    add<uint32_t>(w, w->to);
  else
    add<uint64_t>(w, w->to);
}

bool is_same(const call &a, const call &b) {
  return !strcmp(a.name, b.name) && a.count == b.count && a.type == b.type && a.op == b.op &&
         a.root == b.root && a.group == b.group;
}

std::string text_of(const call &c) {
  char text[120];
  snprintf(text, sizeof text, "%s of %lld of type %d, operation %d, root %d, group %lld", c.name,
           (long long)c.count, c.type, c.op, c.root, (long long)c.group);
  return text;
}

bool check_same(work *w) {
  comm *c = w->owner;
  const call &first = c->shared->members[0].last;
  if (c->error) return false;
  for (int rank = 1; rank < c->size; rank++) {
    const call &other = c->shared->members[rank].last;
    if (is_same(first, other)) continue;
    const std::string text = "sees rank 0 call " + text_of(first) + ", and rank " +
                             std::to_string(rank) + " " + text_of(other);
    violation(c, text.c_str());
    return false;
  }
  return true;
}

bool attempt(void *context) {
  work *w = (work *)context;
  comm *c = w->owner;
  if (!c->aborted) {
    member *own = &c->shared->members[c->rank];
    if (!w->given) {
      for (int rank = 0; rank < c->size; rank++)
        if (c->shared->members[rank].done < w->number - 1) return false;
      own->last = w->what;
      memcpy(area(c, c->rank), w->from, (size_t)w->what.count * size_of(w->what.type));
      own->arrived = w->number;
      w->given = true;
    }
    for (int rank = 0; rank < c->size; rank++)
      if (c->shared->members[rank].arrived < w->number) return false;
    if (!check_same(w)) return false;
    finish(w);
    own->done = w->number;
  }
  c->ended++;
  delete w;
  return true;
}

/* The state in which a communicator takes a call. */
int check_comm(comm *c, bool in_group) {
  if (!c) return violation(NULL, "a call without a communicator");
  if (c->aborted) return violation(c, "makes a call after an abort");
  if (c->destroyed) return violation(c, "makes a call after it was destroyed");
  if (!c->joined) return violation(c, "makes a call before all ranks have joined");
  if (c->busy > 0 && !in_group) return violation(c, "makes a call while another is in progress");
  return c->error;
}

bool apart(const unsigned char *a, size_t a_bytes, const unsigned char *b, size_t b_bytes) {
  return a + a_bytes <= b || b + b_bytes <= a;
}

void start(work *w, int64_t in_group) {
  w->what.group = in_group;
  w->number = ++w->owner->calls;
  fsam_simt_attempt(w->on, attempt, w);
}

/* `in_place`: where `from` lies when it is a part of `to`. */
int take(comm *c, stream s, const char *name, const void *from, void *to, const void *in_place,
         size_t to_bytes, size_t count, int type, int op, int root) {
  const int state = check_comm(c, group_depth > 0);
  const size_t bytes = count * size_of(type);
  if (state != SUCCESS) return state;
  if (!from || !to || !s || size_of(type) == 0 || op != 0 || root < 0 || root >= c->size)
    return violation(c, "gives an argument that is none");
  if (bytes > AREA) return violation(c, "gives more than this stand-in takes");
  if (from != in_place &&
      !apart((const unsigned char *)from, bytes, (unsigned char *)to, to_bytes))
    return violation(c, "gives buffers that overlap and are not in place");
  work *w = new work{c, {}, (const unsigned char *)from, (unsigned char *)to, s, 0, false};
  snprintf(w->what.name, sizeof w->what.name, "%s", name);
  w->what.count = (int64_t)count;
  w->what.type = type;
  w->what.op = op;
  w->what.root = root;
  if (group_depth > 0) {
    group.push_back(w);
    return SUCCESS;
  }
  start(w, 0);
  c->busy = 2;
  return IN_PROGRESS;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

struct unique_id {
  char bytes[ID];
};

struct config {
  size_t size;
  unsigned magic, version;
  int blocking;
};

int ncclGetVersion(int *version) {
  *version = VERSION;
  return SUCCESS;
}

const char *ncclGetErrorString(int result) {
  return result == SUCCESS            ? "no error"
         : result == INVALID_ARGUMENT ? "invalid argument"
         : result == INVALID_USAGE    ? "invalid usage"
                                      : "in progress";
}

/* The name of the shared memory: by NCCL_COMM_ID where it is set, else a new one. */
int ncclGetUniqueId(unique_id *id) {
  const char *address = getenv("NCCL_COMM_ID");
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  memset(id, 0, sizeof *id);
  if (address)
    snprintf(id->bytes, sizeof id->bytes, "/fsam-nccl-%.80s", address);
  else
    snprintf(id->bytes, sizeof id->bytes, "/fsam-nccl-%ld-%lld.%09ld", (long)getpid(),
             (long long)now.tv_sec, now.tv_nsec);
  return SUCCESS;
}

int ncclCommInitRankConfig(comm **out, int size, unique_id id, int rank, config *c) {
  if (size < 1 || size > MAX_RANKS || rank < 0 || rank >= size || !c || c->magic != 0xcafebeef ||
      c->blocking != 0)
    return INVALID_ARGUMENT;
  *out = new comm{};
  (*out)->name = id.bytes;
  (*out)->rank = rank;
  (*out)->size = size;
  return IN_PROGRESS;
}

int ncclCommGetAsyncError(comm *c, int *error) {
  if (!c || c->aborted || c->destroyed) return violation(c, "asks for errors after the end");
  if (!c->error && !c->joined && !try_to_join(c)) {
    *error = IN_PROGRESS;
    return SUCCESS;
  }
  *error = c->error ? c->error : c->busy > 0 ? IN_PROGRESS : SUCCESS;
  if (c->busy > 0) c->busy--;
  return SUCCESS;
}

int ncclCommFinalize(comm *c) {
  const int state = check_comm(c, false);
  if (state != SUCCESS) return state;
  if (c->ended < c->calls) return violation(c, "leaves while its work is queued");
  c->busy = 2;
  return IN_PROGRESS;
}

int ncclCommDestroy(comm *c) {
  if (c->aborted || c->destroyed) return violation(c, "is destroyed after the end");
  c->destroyed = true; /* the memory stays, so that later calls are found */
  return SUCCESS;
}

int ncclCommAbort(comm *c) {
  if (c->aborted || c->destroyed) return violation(c, "is aborted after the end");
  c->aborted = true;
  return SUCCESS;
}

int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, comm *c, stream s) {
  return take(c, s, "AllReduce", from, to, to, count * size_of(type), count, type, op, 0);
}

int ncclReduce(const void *from, void *to, size_t count, int type, int op, int root, comm *c,
               stream s) {
  return take(c, s, "Reduce", from, to, to, count * size_of(type), count, type, op, root);
}

int ncclBroadcast(const void *from, void *to, size_t count, int type, int root, comm *c,
                  stream s) {
  return take(c, s, "Broadcast", from, to, to, count * size_of(type), count, type, 0, root);
}

int ncclAllGather(const void *from, void *to, size_t count, int type, comm *c, stream s) {
  const size_t bytes = count * size_of(type);
  const char *place = c ? (const char *)to + (size_t)c->rank * bytes : NULL;
  return take(c, s, "AllGather", from, to, place, c ? bytes * (size_t)c->size : 0, count, type, 0,
              0);
}

int ncclGroupStart(void) {
  group_depth++;
  return SUCCESS;
}

int ncclGroupEnd(void) {
  if (group_depth == 0) return violation(NULL, "a group ends that did not begin");
  if (--group_depth > 0 || group.empty()) return SUCCESS;
  for (work *w : group) {
    start(w, (int64_t)group.size());
    w->owner->busy = 2;
  }
  group.clear();
  return IN_PROGRESS;
}

}  // extern "C"
#pragma GCC visibility pop
