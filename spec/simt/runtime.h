/* runtime.h: what the files of the fake CUDA runtime share: runtime.cpp (streams and events),
 * memory.cpp, graph.cpp (recording). A library that stands in for one of NVIDIA's queues its work
 * with simt_queue. */
#ifndef FSAM_SIMT_RUNTIME_H
#define FSAM_SIMT_RUNTIME_H

#include <stdint.h>

#include <deque>
#include <functional>
#include <vector>

#include "spec/simt/cuda_runtime.h"

/* Work of a stream: something to do (0, or a negative code with its message), or an event's mark,
 * or a wait for one, or what may have to wait for other processes: tried until it returns true. */
struct task {
  std::function<int()> work;
  cudaEvent_t marks, waits_for;
  int64_t number; /* which mark of the event */
  std::function<bool()> attempt;
};

struct fake_stream {
  std::deque<task> tasks;
  cudaGraph_t capture;     /* the graph that is being recorded */
  bool origin;             /* the capture began here; else it came by an event */
  std::vector<int> leaves; /* nodes that the next one waits for */
  int priority;            /* lower numbers come first */
};

struct fake_event {
  cudaStream_t stream; /* of the last mark */
  int64_t marked, happened;
  double at;           /* when the last mark was reached: milliseconds of simt_spend */
  cudaGraph_t capture; /* marked in a capture: of this graph, after these nodes */
  std::vector<int> leaves;
};

/* Puts work off until the host waits, or records it. */
cudaError_t simt_queue(cudaStream_t stream, const std::function<int()> &work);

/* Adds a node to the stream's graph (graph.cpp). */
cudaError_t simt_record(cudaStream_t stream, const std::function<int()> &work, bool early = false);

/* Does `work`, a launch, of whose first block all threads come to wait_for_earlier before `earlier`
 * is done. So what a kernel reads or writes too early shows. */
int simt_do_early(const std::function<int()> &earlier, const std::function<int()> &work);

/* All streams. */
const std::vector<cudaStream_t> &simt_streams();

/* Is any stream recording? Then the call that asks is one that CUDA refuses, and that capture is
 * lost. `what` names the call. */
bool simt_refuses(const char *what);

/* Makes the capture of the stream fail, and says why. */
cudaError_t simt_break(cudaStream_t stream, const char *why);

/* Work that is being done takes so long. Nothing else takes time. */
void simt_spend(double milliseconds);

/* Is [p, p + bytes) usable: memory of the fake GPU that was not freed, or none of its? */
bool simt_is_alive(const void *p, size_t bytes);
/* Is it pinned memory, or the GPU's? */
bool simt_is_known(const void *p);
/* Drops, as the GPU would see it, all that was ever written to the allocation around p. */
void simt_poison(void *p, size_t bytes);

#endif
