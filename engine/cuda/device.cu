/* device.cu: a GPU as a device. Owns: its memory, its queue of work, copies, errors, and the export
 * of libfsam-cuda.so, fsam_cuda, with the table of kernels behind it. Leaves to others: finding and
 * opening that library (device_cuda.c), graphs (graph.cu).
 *
 * Work goes to one stream, in the order of the calls. Data from the host is first copied into a
 * pinned buffer, so that the call need not wait; the buffer is used again when the GPU has read it.
 * A second stream carries the reads that the host began early (read_begin), beside later work.
 *
 * With FSAM_SYNC in the environment the host waits for every kernel, and an error names the kernel
 * and its arguments. Without it, an error shows at the next thing that the host waits for. */
#include "engine/cuda/device.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <type_traits>

#include "engine/program.h"

extern "C" {
#define FSAM_KERNEL(name, signature) int name##_cuda signature;
#include "kernels/kernels.def"
#undef FSAM_KERNEL
}

extern const struct fsam_gpu_ranks fsam__nccl; /* ranks/nccl.cu */

namespace {

enum { BUFFERS = 4, TICKETS = 8 /* whose events are kept */ };
enum { OLDEST = 8 /* compute capability, major: bf16 on the matrix unit */ };
const size_t BUFFER_BYTES = 2 << 20; /* bytes of pinned memory */
const size_t SMALLEST = 8192;        /* bytes of the buffer of a read that is begun early */
const size_t LINE = 64;              /* copies within a buffer start at multiples of this */

/* Pinned memory, and when the GPU is done with it. */
struct pinned_buffer {
  unsigned char *memory;
  cudaEvent_t done;
  bool busy;
};

/* One read that was begun. */
struct early_read {
  pinned_buffer buffer;
  size_t capacity, bytes;
  cudaEvent_t ready; /* the data is what it was when the read began */
  early_read *next;  /* in the list of free ones */
};

/* The device as the engine knows it, followed by this file's own fields. */
struct gpu {
  fsam_device device; /* first: the engine frees it */
  cudaStream_t work, copies;
  pinned_buffer in[BUFFERS], out[2];
  int at; /* the buffer that is being filled, and how far */
  size_t used;
  int32_t *fault; /* pinned: kernels write it over the bus, hardly ever */
  early_read *free_reads;
  cudaEvent_t copied; /* the last read that was begun is done */
  bool reading;       /* it may still run, and the work stream does not wait for it yet */
  cudaStream_t beside; /* work of a graph beside other work */
  cudaEvent_t parts, tickets[TICKETS];
};

gpu *of(fsam_device *device) { return (gpu *)device; }

const char *const FAULTS[] = {
    "",
#define FSAM_FAULT(name, text) text,
#include "engine/faults.def"
#undef FSAM_FAULT
};

bool is_synchronous() {
  const char *value = getenv("FSAM_SYNC");
  return value && *value && strcmp(value, "0") != 0;
}

/* Where the host waits for each kernel, nothing can be recorded. */
bool records() {
  const char *value = getenv("FSAM_GRAPHS");
  return !is_synchronous() && !(value && !strcmp(value, "0"));
}

}  // namespace

cudaEvent_t fsam__cuda_event(fsam_device *device, int64_t ticket) {
  return ticket ? of(device)->tickets[ticket % TICKETS] : of(device)->parts;
}

int fsam__cuda_failed(const char *what, cudaError_t error) {
  cudaGetLastError(); /* the launches to come must not find it */
  if (error == cudaErrorMemoryAllocation)
    return fsam__fail(FSAM_ENOMEM, "cuda: %s: the GPU or the pinned memory is full", what);
  return fsam__fail(FSAM_EINTERNAL, "cuda: %s: %s%s", what, cudaGetErrorString(error),
                    is_synchronous() ? ""
                                     : "; an earlier kernel may be the cause: FSAM_SYNC=1 in the "
                                       "environment names it");
}

namespace {

/* Reports what kernels found wrong in their data. Call it after waiting for the work stream. */
int check_fault(gpu *g) {
  const int found = *(volatile int32_t *)g->fault;
  *g->fault = 0;
  return found ? fsam__fail(FSAM_EINVAL, "%s", FAULTS[found]) : FSAM_OK;
}

/* -- memory ------------------------------------------------------------------------------------ */

void *take(fsam_device *, size_t bytes) {
  void *p = NULL;
  if (cudaMalloc(&p, bytes) == cudaSuccess) return p;
  cudaGetLastError();
  return NULL;
}

/* Waits for all that is queued, and for the other ranks that this waits for, or gives them up. */
void drain(gpu *g) {
  if (g->device.before_wait) g->device.before_wait(&g->device);
  if (g->work) cudaStreamSynchronize(g->work);
  if (g->copies) cudaStreamSynchronize(g->copies);
}

/* What is queued may still use the memory; whether cudaFree itself waits is not promised. */
void give(fsam_device *device, void *p) {
  drain(of(device));
  cudaFree(p);
}

int zero(fsam_device *device, void *p, size_t bytes) {
  const cudaStream_t stream = (cudaStream_t)device->stream;
  device->after_kernel = false;
  if (bytes) CUDA_TRY("filling with zeros", cudaMemsetAsync(p, 0, bytes, stream));
  return FSAM_OK;
}

void left(fsam_device *, size_t *bytes, size_t *total) {
  if (cudaMemGetInfo(bytes, total) != cudaSuccess) *bytes = *total = 0;
}

/* -- copies ------------------------------------------------------------------------------------ */

int wait_for(gpu *g, pinned_buffer *p) {
  if (p->busy && g->device.before_wait) FSAM_TRY(g->device.before_wait(&g->device));
  if (p->busy) CUDA_TRY("waiting for a copy", cudaEventSynchronize(p->done));
  p->busy = false;
  return FSAM_OK;
}

int mark(pinned_buffer *p, cudaStream_t stream) {
  CUDA_TRY("marking a copy", cudaEventRecord(p->done, stream));
  p->busy = true;
  return FSAM_OK;
}

int copy_in(fsam_device *device, void *to, const void *from, size_t bytes) {
  gpu *g = of(device);
  FSAM_TRY(fsam__not_recording(device, "copy to the GPU"));
  for (size_t done = 0, n; done < bytes; done += n) {
    if (g->used == BUFFER_BYTES) {
      FSAM_TRY(mark(&g->in[g->at], g->work));
      g->at = (g->at + 1) % BUFFERS;
      g->used = 0;
      FSAM_TRY(wait_for(g, &g->in[g->at]));
    }
    n = bytes - done < BUFFER_BYTES - g->used ? bytes - done : BUFFER_BYTES - g->used;
    unsigned char *pinned = g->in[g->at].memory + g->used;
    memcpy(pinned, (const char *)from + done, n);
    CUDA_TRY("copying to the GPU",
             cudaMemcpyAsync((char *)to + done, pinned, n, cudaMemcpyHostToDevice, g->work));
    g->used = (g->used + n + LINE - 1) / LINE * LINE;
  }
  return FSAM_OK;
}

/* Two buffers in turn: the GPU fills one while the host empties the other. */
int copy_out(fsam_device *device, void *to, const void *from, size_t bytes) {
  gpu *g = of(device);
  const size_t count = (bytes + BUFFER_BYTES - 1) / BUFFER_BYTES;
  FSAM_TRY(fsam__not_recording(device, "read from the GPU"));
  for (size_t i = 0; i <= count; i++) {
    if (i < count) {
      const size_t n = i + 1 < count ? BUFFER_BYTES : bytes - i * BUFFER_BYTES;
      CUDA_TRY("copying from the GPU",
               cudaMemcpyAsync(g->out[i % 2].memory, (const char *)from + i * BUFFER_BYTES, n,
                               cudaMemcpyDeviceToHost, g->work));
      FSAM_TRY(mark(&g->out[i % 2], g->work));
    }
    if (i == 0) continue;
    const size_t n = i < count ? BUFFER_BYTES : bytes - (i - 1) * BUFFER_BYTES;
    FSAM_TRY(wait_for(g, &g->out[(i - 1) % 2]));
    memcpy((char *)to + (i - 1) * BUFFER_BYTES, g->out[(i - 1) % 2].memory, n);
  }
  return check_fault(g);
}

/* -- reads that are begun early ---------------------------------------------------------------- */

void close_buffer(pinned_buffer *p) {
  if (p->memory) cudaFreeHost(p->memory);
  if (p->done) cudaEventDestroy(p->done);
}

int open_buffer(pinned_buffer *p, size_t bytes) {
  CUDA_TRY("pinned memory", cudaHostAlloc((void **)&p->memory, bytes, cudaHostAllocDefault));
  CUDA_TRY("an event", cudaEventCreateWithFlags(&p->done, cudaEventDisableTiming));
  return FSAM_OK;
}

void close_read(early_read *r) {
  close_buffer(&r->buffer);
  if (r->ready) cudaEventDestroy(r->ready);
  free(r);
}

/* A free read whose buffer is large enough, or a new one. */
int take_read(gpu *g, early_read **out, size_t bytes) {
  for (early_read **at = &g->free_reads; *at; at = &(*at)->next) {
    if ((*at)->capacity < bytes) continue;
    FSAM_TRY(wait_for(g, &(*at)->buffer));
    *out = *at;
    *at = (*at)->next;
    return FSAM_OK;
  }
  early_read *r = (early_read *)calloc(1, sizeof *r);
  if (!r) return fsam__fail(FSAM_ENOMEM, "cuda: no memory to begin a read");
  r->capacity = (bytes + SMALLEST) / SMALLEST * SMALLEST;
  int rc = open_buffer(&r->buffer, r->capacity);
  if (rc == FSAM_OK && cudaEventCreateWithFlags(&r->ready, cudaEventDisableTiming) != cudaSuccess)
    rc = fsam__cuda_failed("an event", cudaGetLastError());
  if (rc < 0)
    close_read(r);
  else
    *out = r;
  return rc;
}

int queue_read(gpu *g, early_read *r, const void *from) {
  CUDA_TRY("marking a read", cudaEventRecord(r->ready, g->work));
  CUDA_TRY("ordering a read", cudaStreamWaitEvent(g->copies, r->ready, 0));
  if (r->bytes)
    CUDA_TRY("copying from the GPU",
             cudaMemcpyAsync(r->buffer.memory, from, r->bytes, cudaMemcpyDeviceToHost, g->copies));
  CUDA_TRY("marking a read", cudaEventRecord(g->copied, g->copies));
  g->reading = true;
  return mark(&r->buffer, g->copies);
}

/* Later work may overwrite the memory that the last early read copies: makes it wait. */
void reuse(fsam_device *device) {
  gpu *g = of(device);
  if (g->reading) cudaStreamWaitEvent(g->work, g->copied, 0);
  g->reading = false;
}

int read_begin(fsam_device *device, void **ticket, const void *from, size_t bytes) {
  gpu *g = of(device);
  early_read *r = NULL;
  FSAM_TRY(fsam__not_recording(device, "read from the GPU"));
  FSAM_TRY(take_read(g, &r, bytes));
  r->bytes = bytes;
  const int rc = queue_read(g, r, from);
  if (rc < 0)
    close_read(r);
  else
    *ticket = r;
  return rc;
}

int read_end(fsam_device *device, void *ticket, void *to) {
  gpu *g = of(device);
  early_read *r = (early_read *)ticket;
  int rc = FSAM_OK;
  if (to) FSAM_TRY(fsam__not_recording(device, "wait for a read"));
  if (to) {
    rc = wait_for(g, &r->buffer);
    if (rc == FSAM_OK) memcpy(to, r->buffer.memory, r->bytes);
    if (rc == FSAM_OK) rc = check_fault(g);
  }
  r->next = g->free_reads;
  g->free_reads = r;
  return rc;
}

/* -- the kernels' table ------------------------------------------------------------------------ */

const fsam_kernels plain = {
#define FSAM_KERNEL(name, signature) name##_cuda,
#include "kernels/kernels.def"
#undef FSAM_KERNEL
};

/* With FSAM_SYNC each kernel's function is followed by a wait for the device of its arguments. */
template <typename T>
fsam_device *home_of(T argument) {
  if constexpr (std::is_same_v<T, fsam_tensor *> || std::is_same_v<T, const fsam_tensor *>)
    return argument ? fsam__device_of(argument) : NULL;
  else if constexpr (std::is_same_v<T, fsam_layout *>)
    return argument->device;
  else if constexpr (std::is_same_v<T, fsam_device *>)
    return argument;
  else
    return NULL;
}

struct line {
  char text[400];
  size_t used;
};

void say(line *l, const char *format, const char *word) {
  const int n = snprintf(l->text + l->used, sizeof l->text - l->used, format, word);
  l->used += n > 0 ? (size_t)n : 0;
  if (l->used >= sizeof l->text) l->used = sizeof l->text - 1;
}

void say_argument(line *l, const fsam_tensor *t) {
  static const char *const types[] = {" f32", " bf16", " i32"};
  if (!t) return;
  say(l, l->used ? ", %s [" : "%s [", t->name[0] ? t->name : "unnamed");
  for (int i = 0; i < t->rank; i++) {
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)t->shape[i]);
    say(l, i ? ", %s" : "%s", number);
  }
  say(l, "]%s", types[t->dtype]);
}
void say_argument(line *l, fsam_tensor *t) { say_argument(l, (const fsam_tensor *)t); }
void say_argument(line *l, const fsam_batch *b) {
  char text[80];
  if (!b) return;
  snprintf(text, sizeof text, "%d tokens, %d samples, longest %d", b->tokens, b->samples,
           b->longest);
  say(l, l->used ? ", %s" : "%s", text);
}
template <typename T>
void say_argument(line *, const T &) {}

template <typename Name, typename F, F function>
struct traced;
template <typename Name, typename... A, int (*function)(A...)>
struct traced<Name, int (*)(A...), function> {
  static int run(A... arguments) {
    FSAM_TRY(function(arguments...));
    fsam_device *homes[] = {home_of(arguments)...}, *home = NULL;
    for (fsam_device *d : homes)
      if (d) home = d;
    if (!home) return FSAM_OK;
    if (home->before_wait) FSAM_TRY(home->before_wait(home));
    const cudaError_t error = cudaStreamSynchronize(of(home)->work);
    if (error == cudaSuccess) return check_fault(of(home));
    line l = {};
    const int in_order[] = {(say_argument(&l, arguments), 0)...};
    (void)in_order;
    return fsam__fail(FSAM_EINTERNAL, "%s: %s, on %s", Name::text(), cudaGetErrorString(error),
                      l.text);
  }
};

#define FSAM_KERNEL(name, signature)            \
  struct name##_name {                          \
    static const char *text() { return #name; } \
  };
#include "kernels/kernels.def"
#undef FSAM_KERNEL

const fsam_kernels synchronous = {
#define FSAM_KERNEL(name, signature) traced<name##_name, int(*) signature, name##_cuda>::run,
#include "kernels/kernels.def"
#undef FSAM_KERNEL
};

/* -- opening and closing ----------------------------------------------------------------------- */

void close_gpu(fsam_device *device) {
  gpu *g = of(device);
  drain(g);
  for (early_read *r = g->free_reads, *next; r; r = next) {
    next = r->next;
    close_read(r);
  }
  for (pinned_buffer &p : g->in) close_buffer(&p);
  for (pinned_buffer &p : g->out) close_buffer(&p);
  if (g->copied) cudaEventDestroy(g->copied);
  if (g->parts) cudaEventDestroy(g->parts);
  for (cudaEvent_t e : g->tickets)
    if (e) cudaEventDestroy(e);
  if (g->fault) cudaFreeHost(g->fault);
  if (g->work) cudaStreamDestroy(g->work);
  if (g->copies) cudaStreamDestroy(g->copies);
  if (g->beside) cudaStreamDestroy(g->beside);
}

const fsam_memory memory = {take,     give,  zero, copy_in,   copy_out, read_begin,
                            read_end, reuse, left, close_gpu, false, NULL, NULL};

/* Fails where the GPU is too old or cannot be used; sets its text. */
int look_at(gpu *g, int number) {
  cudaDeviceProp properties;
  cudaError_t error = cudaSetDevice(number);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, number);
  if (error != cudaSuccess)
    return fsam__fail(FSAM_ENODEV, "device cuda: the GPU cannot be used: %s; use the device cpu",
                      cudaGetErrorString(error));
  if (properties.major < OLDEST)
    return fsam__fail(FSAM_ENODEV,
                      "device cuda: %s has compute capability %d.%d, %d.0 or newer is needed; use "
                      "the device cpu",
                      properties.name, properties.major, properties.minor, OLDEST);
  snprintf(g->device.text, sizeof g->device.text, "%.48s, %.0f GB", properties.name,
           (double)properties.totalGlobalMem / 1e9);
  g->device.arch = 10 * properties.major + properties.minor;
  g->device.shared = properties.sharedMemPerBlockOptin;
  return FSAM_OK;
}

/* A multiprocessor that has room takes a block of the stream that comes first: the chain of a pass,
 * on which everything waits; then what goes beside it; then, with the lowest priority, what other
 * streams have, such as the sums over ranks. Graphs keep the priorities of what they recorded. */
int make_streams(gpu *g) {
  int last = 0, first = 0; /* lower numbers come first */
  CUDA_TRY("a stream", cudaDeviceGetStreamPriorityRange(&last, &first));
  const int second = first < last ? first + 1 : last;
  const unsigned flags = cudaStreamNonBlocking;
  CUDA_TRY("a stream", cudaStreamCreateWithPriority(&g->work, flags, first));
  CUDA_TRY("a stream", cudaStreamCreateWithPriority(&g->copies, flags, first));
  CUDA_TRY("a stream", cudaStreamCreateWithPriority(&g->beside, flags, second));
  return FSAM_OK;
}

int set_up(gpu *g, int number) {
  FSAM_TRY(look_at(g, number));
  FSAM_TRY(make_streams(g));
  CUDA_TRY("an event", cudaEventCreateWithFlags(&g->copied, cudaEventDisableTiming));
  CUDA_TRY("an event", cudaEventCreateWithFlags(&g->parts, cudaEventDisableTiming));
  for (cudaEvent_t &e : g->tickets)
    CUDA_TRY("an event", cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
  for (pinned_buffer &p : g->in) FSAM_TRY(open_buffer(&p, BUFFER_BYTES));
  for (pinned_buffer &p : g->out) FSAM_TRY(open_buffer(&p, BUFFER_BYTES));
  CUDA_TRY("pinned memory",
           cudaHostAlloc((void **)&g->fault, sizeof *g->fault, cudaHostAllocMapped));
  *g->fault = 0;
  CUDA_TRY("pinned memory", cudaHostGetDevicePointer((void **)&g->device.fault, g->fault, 0));
  return g->device.kernels->device_check(&g->device);
}

int open_gpu(fsam_device **out, int number) {
  gpu *g = (gpu *)calloc(1, sizeof *g);
  if (!g) return fsam__fail(FSAM_ENOMEM, "device cuda: no memory");
  snprintf(g->device.name, sizeof g->device.name, "cuda");
  g->device.memory = &memory;
  g->device.kernels = is_synchronous() ? &synchronous : &plain;
  g->device.graphs = records() ? &fsam__cuda_graphs : NULL;
  g->device.ranks = &fsam__nccl;
  g->device.refs = 1;
  const int rc = set_up(g, number);
  if (rc < 0) {
    close_gpu(&g->device);
    free(g);
    return rc;
  }
  g->device.stream = g->work;
  g->device.other_stream = g->beside;
  *out = &g->device;
  return FSAM_OK;
}

}  // namespace

/* Within a major version any driver runs any toolkit's code. */
extern "C" __attribute__((visibility("default")))
const fsam_cuda_half fsam_cuda = {FSAM_ABI, CUDART_VERSION / 1000 * 1000, FSAM_VERSION, open_gpu};
