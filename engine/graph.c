/* graph.c: graphs, work that is recorded once and run again as a whole, so that a pass of hundreds
 * of kernels costs one launch. Owns the rules; how a device records is its own (cuda/graph.cu).
 *
 * A graph names memory by address. What moves memory that a graph may name (an arena that becomes
 * one piece again, a workspace that grows) counts it in the device's `moves`; graphs of before are
 * stale from then on. */
#include <stdlib.h>

#include "engine/engine.h"

struct fsam_graph {
  fsam_device *device;
  void *recorded;
  int64_t moves; /* the device's when it was recorded */
};

int fsam_graph_possible(const fsam_device *d) { return d->recorder != NULL; }

int fsam_graph_begin(fsam_device *d) {
  if (!d->recorder) return fsam__fail(FSAM_ENODEV, "graph: the device %s records nothing", d->name);
  if (d->recording) return fsam__fail(FSAM_EINVAL, "graph: the device is recording already");
  /* The wait for reads under way must not become part of the graph. */
  if (d->memory->reuse) d->memory->reuse(d);
  return d->recorder->begin(d, &d->recording);
}

int fsam_graph_end(fsam_graph **out, fsam_device *d) {
  if (!d->recording) return fsam__fail(FSAM_EINVAL, "graph: the device is not recording");
  fsam_graph *g = out ? calloc(1, sizeof *g) : NULL;
  void *recording = d->recording;
  d->recording = NULL;
  const int rc = d->recorder->end(d, recording, g ? &g->recorded : NULL);
  if (!out) return FSAM_OK; /* what was dropped may have failed */
  if (!g) return fsam__fail(FSAM_ENOMEM, "graph: no memory");
  if (rc < 0) {
    free(g);
    return rc;
  }
  g->device = d;
  g->moves = d->moves;
  d->refs++;
  *out = g;
  return FSAM_OK;
}

int fsam_graph_stale(const fsam_graph *g) { return g->moves != g->device->moves; }

int fsam_graph_run(fsam_graph *g) {
  if (fsam_graph_stale(g))
    return fsam__fail(FSAM_ESTALE, "graph: memory that it names has moved; record it again");
  FSAM_TRY(fsam__not_recording(g->device, "run a graph"));
  return g->device->recorder->run(g->device, g->recorded);
}

void fsam_graph_free(fsam_graph *g) {
  if (!g) return;
  g->device->recorder->free(g->device, g->recorded);
  fsam_device_close(g->device);
  free(g);
}

int fsam__not_recording(const fsam_device *d, const char *what) {
  if (!d->recording) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL, "graph: cannot %s while work is being recorded", what);
}
