/* graph.cpp: recording on the fake runtime: nodes, each with the nodes that it waits for, from one
 * stream or from several that part and meet by events. A graph's launches keep to what its nodes
 * wait for and to nothing else: in turn the other streams' nodes run as late as they may, and as
 * early as they may. So a wait that is missing shows. */
#include "spec/simt/runtime.h"

#include <algorithm>

namespace {

/* The next node's dependency is of the kind with which a library lets a kernel start early. */
bool early;

}  // namespace

/* As CUDA sees it, a node is its number. */
struct fake_node {
  int number;
};

struct recorded_node {
  std::function<int()> work;
  std::vector<int> after;
  bool early, of_ours; /* its dependency is of that kind; it waits for that node itself */
  bool of_origin;      /* of the stream that the capture began with */
  fake_node handle;
};

struct fake_nodes {
  std::vector<recorded_node> list;
};

struct fake_exec {
  std::vector<recorded_node> list;
  std::vector<int> orders[2];
  int turn;
};

cudaError_t simt_record(cudaStream_t s, const std::function<int()> &work, bool starts_early) {
  cudaGraph_t g = s->capture;
  if (g->broken) return cudaErrorStreamCapture;
  std::vector<recorded_node> &list = g->nodes->list;
  const int number = (int)list.size();
  if (starts_early && s->leaves.size() != 1)
    return simt_break(s, "a kernel that starts early waits for one other");
  list.push_back({work, s->leaves, early || starts_early, starts_early, s->origin, {number}});
  early = false;
  s->leaves = {number};
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  s->capture = new fake_graph{new fake_nodes, false};
  s->origin = true;
  s->leaves.clear();
  return cudaSuccess;
}

namespace {

/* Does what the stream recorded, and nothing later, lie before the leaves of the first stream? */
bool joined(const fake_graph &g, const std::vector<int> &leaves, int node) {
  for (int leaf : leaves)
    if (leaf == node || joined(g, g.nodes->list[(size_t)leaf].after, node)) return true;
  return false;
}

}  // namespace

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out) {
  *out = s->capture;
  for (cudaStream_t other : simt_streams()) {
    if (other == s || other->capture != *out) continue;
    for (int leaf : other->leaves)
      if (!joined(**out, s->leaves, leaf))
        simt_break(s, "a stream did not come back to the capture");
    other->capture = NULL;
    other->leaves.clear();
  }
  s->capture = NULL;
  s->origin = false;
  s->leaves.clear();
  return (*out)->broken ? cudaErrorStreamCapture : cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t *nodes, size_t *count) {
  *count = g->nodes->list.size();
  for (size_t i = 0; nodes && i < *count; i++) nodes[i] = &g->nodes->list[i].handle;
  return cudaSuccess;
}

cudaError_t cudaGraphGetEdges(cudaGraph_t g, cudaGraphNode_t *from, cudaGraphNode_t *to,
                              cudaGraphEdgeData *data, size_t *count) {
  size_t n = 0;
  for (recorded_node &node : g->nodes->list)
    for (int before : node.after) {
      if (from) from[n] = &g->nodes->list[(size_t)before].handle;
      if (to) to[n] = &node.handle;
      if (data) data[n].type = node.early;
      n++;
    }
  *count = n;
  return cudaSuccess;
}

namespace {

/* The nodes in an order that each one's dependencies allow, those of the first stream before or
 * behind those of the others wherever there is a choice. */
std::vector<int> order_of(const std::vector<recorded_node> &list, bool origin_first) {
  std::vector<int> order;
  std::vector<bool> done(list.size());
  const auto is_ready = [&](int i) {
    const std::vector<int> &after = list[(size_t)i].after;
    return std::all_of(after.begin(), after.end(), [&](int n) { return done[(size_t)n]; });
  };
  while (order.size() < list.size()) {
    int next = -1;
    for (int i = 0; i < (int)list.size(); i++) {
      if (done[(size_t)i] || !is_ready(i)) continue;
      if (next < 0) next = i;
      if (list[(size_t)i].of_origin != origin_first) continue;
      next = i;
      break;
    }
    done[(size_t)next] = true;
    order.push_back(next);
  }
  return order;
}

}  // namespace

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long) {
  *out = new fake_exec{};
  (*out)->list = g->nodes->list;
  for (int i = 0; i < 2; i++) (*out)->orders[i] = order_of(g->nodes->list, i == 0);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  /* What starts early does so where nothing else comes between it and what it waits for. */
  std::vector<std::function<int()>> tasks;
  int last = -1;
  for (int i : exec->orders[exec->turn]) {
    const recorded_node &node = exec->list[(size_t)i];
    if (node.of_ours && node.after[0] == last) {
      const std::function<int()> earlier = tasks.back(), work = node.work;
      tasks.back() = [=] { return simt_do_early(earlier, work); };
    } else {
      tasks.push_back(node.work);
    }
    last = i;
  }
  for (const std::function<int()> &task : tasks) simt_queue(stream, task);
  exec->turn = 1 - exec->turn;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g) {
  delete g->nodes;
  delete g;
  return cudaSuccess;
}

/* The next recorded node may start before the one ahead of it has ended. */
extern "C" __attribute__((visibility("default"))) void fsam_simt_early() { early = true; }
