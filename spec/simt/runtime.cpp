/* runtime.cpp: CUDA's runtime on the CPU (cuda_runtime.h): streams and events that put all work off
 * until the host waits for it. */
#include "spec/simt/cuda_runtime.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_STREAMS = 16 };
static const size_t TOTAL = 256 << 20; /* bytes of the fake GPU */

enum task_kind { COPY, SET, RECORD, WAIT, ATTEMPT };

struct task {
  task_kind kind;
  void *to;
  const void *from;
  size_t bytes;
  int value;
  cudaEvent_t event;
  int64_t number; /* which record of the event */
  bool (*attempt)(void *context); /* context: `to` */
};

/* A recorded task; nodes form a chain. */
struct fake_node {
  task what;
  cudaGraphNode_t before;
  int number;
};

struct fake_graph {
  cudaGraphNode_t last;
  int count;
  bool broken;
};

struct fake_stream {
  task *tasks;
  size_t count, done, capacity;
  cudaGraph_t capture; /* the graph that is being recorded */
};

struct fake_exec {
  task *tasks;
  bool *off;
  int count;
};

struct fake_event {
  cudaStream_t stream; /* of the last record */
  int64_t recorded, happened;
};

static cudaStream_t streams[MAX_STREAMS];
static size_t taken;

/* -- doing the work ---------------------------------------------------------------------------- */

static bool step(cudaStream_t s);

/* False where the next thing to do has to wait for another process. */
static bool try_until(cudaEvent_t e, int64_t number) {
  while (e->happened < number)
    if (!step(e->stream)) return false;
  return true;
}

static bool step(cudaStream_t s) {
  const task t = s->tasks[s->done];
  bool finished = true;
  switch (t.kind) {
    case COPY:
      memcpy(t.to, t.from, t.bytes);
      break;
    case SET:
      memset(t.to, t.value, t.bytes);
      break;
    case RECORD:
      t.event->happened = t.number;
      break;
    case WAIT:
      finished = try_until(t.event, t.number);
      break;
    case ATTEMPT:
      finished = t.attempt(t.to);
      break;
  }
  s->done += finished;
  return finished;
}

static void leave_the_processor() {
  const struct timespec moment = {0, 50000};
  nanosleep(&moment, NULL);
}

static void run_until(cudaEvent_t e, int64_t number) {
  while (!try_until(e, number)) leave_the_processor();
}

static void run_all(cudaStream_t s) {
  while (s->done < s->count)
    if (!step(s)) leave_the_processor();
}

/* As on a GPU, recorded work does not see events from outside its graph. */
static cudaError_t record(cudaGraph_t g, const task &t) {
  if (t.kind == RECORD || t.kind == WAIT) g->broken = true;
  if (g->broken) return cudaErrorStreamCapture;
  cudaGraphNode_t node = (cudaGraphNode_t)calloc(1, sizeof *node);
  *node = {t, g->last, g->count++};
  g->last = node;
  return cudaSuccess;
}

static cudaError_t put_off(cudaStream_t s, const task &t) {
  if (s->capture) return record(s->capture, t);
  if (s->count == s->capacity) {
    s->capacity = s->capacity ? 2 * s->capacity : 64;
    s->tasks = (task *)realloc((void *)s->tasks, s->capacity * sizeof *s->tasks);
  }
  s->tasks[s->count++] = t;
  return cudaSuccess;
}

/* -- the device -------------------------------------------------------------------------------- */

cudaError_t cudaGetLastError() { return cudaSuccess; }

const char *cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess                 ? "no error"
         : error == cudaErrorMemoryAllocation ? "out of memory"
         : error == cudaErrorNotReady         ? "not ready"
                                              : "the capture failed";
}

cudaError_t cudaSetDevice(int) { return cudaSuccess; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int) {
  snprintf(out->name, sizeof out->name, "Lazy GPU");
  out->major = 9;
  out->minor = 0;
  out->totalGlobalMem = TOTAL;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total) {
  *left = TOTAL - taken;
  *total = TOTAL;
  return cudaSuccess;
}

/* The size of each allocation stands 256 bytes before it. */
cudaError_t cudaMalloc(void **out, size_t bytes) {
  for (cudaStream_t s : streams)
    if (s && s->capture) return cudaErrorStreamCapture;
  if (bytes > TOTAL - taken) return cudaErrorMemoryAllocation;
  char *p = (char *)aligned_alloc(256, 256 + (bytes + 255) / 256 * 256);
  if (!p) return cudaErrorMemoryAllocation;
  memcpy(p, &bytes, sizeof bytes);
  taken += bytes;
  *out = p + 256;
  return cudaSuccess;
}

cudaError_t cudaFree(void *p) {
  for (cudaStream_t s : streams)
    if (s) run_all(s);
  size_t bytes;
  memcpy(&bytes, (char *)p - 256, sizeof bytes);
  taken -= bytes;
  free((char *)p - 256);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned) {
  *out = malloc(bytes);
  return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void *p) {
  free(p);
  return cudaSuccess;
}

cudaError_t cudaHostGetDevicePointer(void **out, void *p, unsigned) {
  *out = p;
  return cudaSuccess;
}

/* -- streams and events ------------------------------------------------------------------------ */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned) {
  for (cudaStream_t &s : streams) {
    if (s) continue;
    *out = s = (cudaStream_t)calloc(1, sizeof *s);
    return s ? cudaSuccess : cudaErrorMemoryAllocation;
  }
  return cudaErrorMemoryAllocation;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  for (cudaStream_t &s : streams)
    if (s == stream) s = NULL;
  free((void *)stream->tasks);
  free((void *)stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  run_all(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return put_off(stream, {WAIT, NULL, NULL, 0, 0, event, event->recorded, NULL});
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned) {
  *out = (cudaEvent_t)calloc(1, sizeof **out);
  return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  free((void *)event);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  return put_off(stream, {RECORD, NULL, NULL, 0, 0, event, ++event->recorded, NULL});
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  run_until(event, event->recorded);
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return try_until(event, event->recorded) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  while (stream->done < stream->count)
    if (!step(stream)) return cudaErrorNotReady;
  return cudaSuccess;
}

#pragma GCC visibility push(default)
cudaError_t fsam_simt_attempt(cudaStream_t stream, bool (*attempt)(void *context), void *context) {
  return put_off(stream, {ATTEMPT, context, NULL, 0, 0, NULL, 0, attempt});
}
#pragma GCC visibility pop

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return put_off(stream, {COPY, to, from, bytes, 0, NULL, 0, NULL});
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream) {
  return put_off(stream, {SET, p, NULL, bytes, value, NULL, 0, NULL});
}

/* -- recording --------------------------------------------------------------------------------- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capture = (cudaGraph_t)calloc(1, sizeof *stream->capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
  *out = stream->capture;
  stream->capture = NULL;
  return (*out)->broken ? cudaErrorStreamCapture : cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long) {
  cudaGraphExec_t e = *out = (cudaGraphExec_t)calloc(1, sizeof *e);
  e->count = graph->count;
  e->tasks = (task *)calloc((size_t)e->count + 1, sizeof *e->tasks);
  for (cudaGraphNode_t n = graph->last; n; n = n->before) e->tasks[n->number] = n->what;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  for (int i = 0; i < exec->count; i++) put_off(stream, exec->tasks[i]);
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  free((void *)exec->tasks);
  free((void *)exec);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  for (cudaGraphNode_t n = graph->last, before; n; n = before) {
    before = n->before;
    free((void *)n);
  }
  free((void *)graph);
  return cudaSuccess;
}

/* -- for specs --------------------------------------------------------------------------------- */

extern "C" const fsam_cuda_half fsam_cuda;

#pragma GCC visibility push(default)
/* The device of device.cu, on this runtime. Use no kernels on it: they would run at once. */
extern "C" int fsam_simt_open_lazy(fsam_device **out) { return fsam_cuda.open(out, 0); }
#pragma GCC visibility pop
