/* graph.cpp: graphs (fsam_graphs of engine.h) on the shim: a graph is the list of its recorded
 * work. As on a GPU, no memory can be allocated while the device records (simt.cpp). */
#include "spec/simt/simt.h"

#include <vector>

namespace {

typedef std::vector<std::function<int()>> graph;

int begin(fsam_device *, void **out) {
  *out = new graph;
  return FSAM_OK;
}

void free_graph(fsam_device *, void *g) { delete (graph *)g; }

int end(fsam_device *device, void *g, void **recorded) {
  if (recorded)
    *recorded = g;
  else
    free_graph(device, g);
  return FSAM_OK;
}

int run(fsam_device *device, void *recorded) {
  FSAM_TRY(simt_catch_up(device));
  for (const std::function<int()> &work : *(graph *)recorded) FSAM_TRY(work());
  return FSAM_OK;
}

}  // namespace

const fsam_graphs simt_graphs = {begin, end, run, free_graph};

int simt_do(const fsam_device *device, const std::function<int()> &work) {
  graph *g = (graph *)device->capture;
  if (!g) {
    FSAM_TRY(simt_catch_up(device));
    return work();
  }
  g->push_back(work);
  return FSAM_OK;
}
