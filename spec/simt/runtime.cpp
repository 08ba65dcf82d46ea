/* runtime.cpp: CUDA's runtime on the CPU (cuda_runtime.h): streams and events that put all work,
 * kernels and copies alike, off until the host waits for it, and then do only what the wait needs.
 * So code shows that reads, frees or overwrites something without waiting for it. Leaves to others:
 * memory (memory.cpp), recording (graph.cpp), kernels (simt.cpp). */
#include "spec/simt/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>

namespace {

std::vector<cudaStream_t> streams;
/* What the first task that failed said; what the last error of a call was about. */
char failure[500], reported[500];

struct arch {
  int major, minor;
  size_t shared; /* bytes that a thread block may ask for */
} archs[] = {{8, 0, 163 << 10}, {8, 6, 99 << 10}, {8, 9, 99 << 10}, {9, 0, 227 << 10}};
const arch *present = &archs[3];

double now; /* milliseconds that work has taken */

/* -- doing the work ---------------------------------------------------------------------------- */

bool step(cudaStream_t s);

/* False where the next thing to do has to wait for another process. */
bool try_until(cudaEvent_t e, int64_t number) {
  while (e->happened < number)
    if (!step(e->stream)) return false;
  return true;
}

/* What has to wait stays at the front. */
bool step(cudaStream_t s) {
  const task &next = s->tasks.front();
  if (next.waits_for && !try_until(next.waits_for, next.number)) return false;
  if (next.attempt && !next.attempt()) return false;
  const task t = std::move(s->tasks.front());
  s->tasks.pop_front();
  if (t.marks) t.marks->happened = t.number;
  if (t.marks) t.marks->at = now;
  if (t.work && t.work() < 0 && !failure[0]) snprintf(failure, sizeof failure, "%s", fsam_error());
  return true;
}

void leave_the_processor() {
  const struct timespec moment = {0, 50000};
  nanosleep(&moment, NULL);
}

void run_until(cudaEvent_t e, int64_t number) {
  while (!try_until(e, number)) leave_the_processor();
}

/* As on a GPU, a wait tells what went wrong before it. Here the GPU is then usable again. */
cudaError_t outcome() {
  if (!failure[0]) return cudaSuccess;
  snprintf(reported, sizeof reported, "%s", failure);
  failure[0] = 0;
  return cudaErrorLaunchFailure;
}

cudaError_t refused(cudaError_t error, const char *why) {
  snprintf(reported, sizeof reported, "%s", why);
  return error;
}

}  // namespace

const std::vector<cudaStream_t> &simt_streams() { return streams; }

void simt_spend(double milliseconds) { now += milliseconds; }

cudaError_t simt_queue(cudaStream_t s, const std::function<int()> &work) {
  if (s->capture) return simt_record(s, work);
  s->tasks.push_back({work, NULL, NULL, 0, nullptr});
  return cudaSuccess;
}

cudaError_t simt_break(cudaStream_t s, const char *why) {
  s->capture->broken = true;
  return refused(cudaErrorStreamCapture, why);
}

bool simt_refuses(const char *what) {
  bool refuses = false;
  for (cudaStream_t s : streams) {
    if (!s->capture) continue;
    char why[200];
    snprintf(why, sizeof why, "%s is not permitted while a stream is capturing", what);
    simt_break(s, why);
    refuses = true;
  }
  return refuses;
}

/* -- the device -------------------------------------------------------------------------------- */

cudaError_t cudaGetLastError() { return cudaSuccess; }

const char *cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess                 ? "no error"
         : error == cudaErrorMemoryAllocation ? "out of memory"
         : error == cudaErrorNotReady         ? "not ready"
                                              : reported;
}

cudaError_t cudaSetDevice(int) { return cudaSuccess; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int) {
  size_t left;
  snprintf(out->name, sizeof out->name, "Lazy GPU");
  out->major = present->major;
  out->minor = present->minor;
  out->sharedMemPerBlockOptin = present->shared;
  return cudaMemGetInfo(&left, &out->totalGlobalMem);
}

/* -- streams and events ------------------------------------------------------------------------ */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned) {
  streams.push_back(*out = new fake_stream());
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int priority) {
  cudaStreamCreateWithFlags(out, flags);
  (*out)->priority = priority;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *last, int *first) {
  *last = 0;
  *first = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s) {
  streams.erase(std::remove(streams.begin(), streams.end(), s), streams.end());
  delete s;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  if (simt_refuses("cudaStreamSynchronize")) return cudaErrorStreamCapture;
  while (!s->tasks.empty())
    if (!step(s)) leave_the_processor();
  return outcome();
}

cudaError_t cudaStreamQuery(cudaStream_t s) {
  if (simt_refuses("cudaStreamQuery")) return cudaErrorStreamCapture;
  while (!s->tasks.empty())
    if (!step(s)) return cudaErrorNotReady;
  return outcome();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned) {
  *out = new fake_event();
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *out) { return cudaEventCreateWithFlags(out, 0); }

/* What waits for the event, or would mark it, goes on without it. */
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  for (cudaStream_t s : streams)
    for (const task &t : s->tasks)
      if (t.marks == e || t.waits_for == e) {
        run_until(e, e->marked);
        break;
      }
  for (cudaStream_t s : streams)
    for (task &t : s->tasks)
      if (t.waits_for == e) t.waits_for = NULL;
  delete e;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  e->capture = s->capture;
  e->leaves = s->leaves;
  if (s->capture) return s->capture->broken ? cudaErrorStreamCapture : cudaSuccess;
  e->stream = s;
  s->tasks.push_back({nullptr, e, NULL, ++e->marked, nullptr});
  return cudaSuccess;
}

/* A wait for an event of a capture takes the stream into that capture. */
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  if (e->capture) {
    if (s->capture && s->capture != e->capture)
      return simt_break(s, "a wait for an event of another capture");
    if (!s->capture) s->leaves.clear();
    s->capture = e->capture;
    for (int leaf : e->leaves)
      if (std::find(s->leaves.begin(), s->leaves.end(), leaf) == s->leaves.end())
        s->leaves.push_back(leaf);
    return cudaSuccess;
  }
  if (s->capture) return simt_break(s, "a wait for an event from outside the capture");
  s->tasks.push_back({nullptr, NULL, e, e->marked, nullptr});
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  if (simt_refuses("cudaEventSynchronize")) return cudaErrorStreamCapture;
  run_until(e, e->marked);
  return outcome();
}

cudaError_t cudaEventQuery(cudaEvent_t e) {
  if (simt_refuses("cudaEventQuery")) return cudaErrorStreamCapture;
  return try_until(e, e->marked) ? outcome() : cudaErrorNotReady;
}

#pragma GCC visibility push(default)
cudaError_t fsam_simt_attempt(cudaStream_t s, bool (*attempt)(void *context), void *context) {
  if (s->capture) return simt_break(s, "work that waits for other processes cannot be captured");
  s->tasks.push_back({nullptr, NULL, NULL, 0, [=] { return attempt(context); }});
  return cudaSuccess;
}
#pragma GCC visibility pop

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (from->happened < from->marked || to->happened < to->marked) return cudaErrorNotReady;
  *milliseconds = (float)(to->at - from->at);
  return cudaSuccess;
}

/* -- kernels' launches ------------------------------------------------------------------------- */

int simt_do(const fsam_device *device, const std::function<int()> &work, bool early) {
  const cudaStream_t s = (cudaStream_t)device->stream;
  const cudaError_t error = early ? simt_record(s, work, true) : simt_queue(s, work);
  if (error == cudaSuccess) return FSAM_OK;
  return fsam__fail(FSAM_EINTERNAL, "CUDA could not start a kernel: %s", cudaGetErrorString(error));
}

int simt_wait(const fsam_device *device) {
  const cudaError_t error = cudaStreamSynchronize((cudaStream_t)device->stream);
  return error == cudaSuccess ? FSAM_OK
                              : fsam__fail(FSAM_EINTERNAL, "%s", cudaGetErrorString(error));
}

size_t simt_shared_limit() { return present->shared; }

/* -- for specs --------------------------------------------------------------------------------- */

extern "C" const fsam_cuda_half fsam_cuda;

#pragma GCC visibility push(default)
extern "C" {

/* The device of device.cu on this runtime. */
int fsam_simt_open_lazy(fsam_device **out) { return fsam_cuda.open(out, 0); }

/* The same, named "simt". */
int fsam_simt_open(fsam_device **out) {
  FSAM_TRY(fsam_cuda.open(out, 0));
  snprintf((*out)->name, sizeof(*out)->name, "simt");
  return FSAM_OK;
}

/* Which GPU devices opened from now on are: 80, 86, 89 or 90. */
int fsam_simt_arch(int number) {
  for (const arch &a : archs) {
    if (10 * a.major + a.minor != number) continue;
    present = &a;
    return FSAM_OK;
  }
  return fsam__fail(FSAM_EINVAL, "simt: sm_%d is unknown", number);
}

/* The priority of the device's stream, or of that beside it. */
int fsam_simt_priority(const fsam_device *device, int beside) {
  return ((cudaStream_t)(beside ? device->other_stream : device->stream))->priority;
}

/* Poisons the device's scratch memory, as if it had never been written. */
int fsam_simt_poison(fsam_device *device) {
  FSAM_TRY(simt_wait(device));
  if (device->workspace) simt_poison(device->workspace, device->workspace_bytes);
  return FSAM_OK;
}

/* Calls the function of CUDA's runtime that `name` says, as a careless caller would; its error's
 * text, or "" where it does not refuse. `p` is memory of the fake GPU. */
const char *fsam_simt_call(fsam_device *device, const char *name, void *p) {
  static char pageable[64];
  const cudaStream_t s = (cudaStream_t)device->stream;
  const auto is = [&](const char *other) { return !strcmp(name, other); };
  cudaError_t error = cudaSuccess;
  cudaEvent_t event = NULL;
  void *q = NULL;
  if (is("malloc")) error = cudaMalloc(&q, 64);
  if (is("free")) error = cudaFree(p);
  if (is("pinned")) error = cudaHostAlloc(&q, 64, 0);
  if (is("wait")) error = cudaStreamSynchronize(s);
  if (is("pageable")) error = cudaMemcpyAsync(p, pageable, 64, cudaMemcpyHostToDevice, s);
  if (is("outside") || is("event")) cudaEventCreateWithFlags(&event, 0);
  if (is("outside")) error = cudaStreamWaitEvent(s, event, 0);
  if (is("event")) error = cudaEventSynchronize(event);
  return error == cudaSuccess ? "" : cudaGetErrorString(error);
}

/* Two streams that part and meet again, in a capture: three nodes, of which two stand side by
 * side. `p` has 64 bytes for each. */
int fsam_simt_fork(fsam_device *device, char *p) {
  const cudaStream_t s = (cudaStream_t)device->stream;
  cudaStream_t other;
  cudaEvent_t parts, meets;
  cudaStreamCreateWithFlags(&other, 0);
  cudaEventCreateWithFlags(&parts, 0);
  cudaEventCreateWithFlags(&meets, 0);
  cudaMemsetAsync(p, 1, 64, s);
  cudaEventRecord(parts, s);
  cudaStreamWaitEvent(other, parts, 0);
  cudaMemsetAsync(p + 64, 2, 64, other);
  cudaMemsetAsync(p + 128, 3, 64, s);
  cudaEventRecord(meets, other);
  cudaStreamWaitEvent(s, meets, 0);
  const cudaError_t error = cudaMemsetAsync(p + 192, 4, 64, s);
  cudaStreamDestroy(other);
  cudaEventDestroy(parts);
  cudaEventDestroy(meets);
  return error == cudaSuccess ? FSAM_OK : FSAM_EINTERNAL;
}

}  // extern "C"
#pragma GCC visibility pop
