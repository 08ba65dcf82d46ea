/* graph.c: graphs, work that is recorded once and run again as a whole, so that a pass of hundreds
 * of kernels costs one launch. Owns the rules; leaves recording itself to the device
 * (cuda/graph.cu).
 *
 * A graph names memory by address. Code that moves memory which a graph may name (an arena that
 * becomes one chunk again, a workspace that grows) counts this in the device's `moves`; older
 * graphs are stale from then on. */
#include <stdlib.h>

#include "engine/engine.h"

struct fsam_graph {
  fsam_device *device;
  void *recorded;
  int64_t moves; /* the device's when it was recorded */
};

int fsam_graph_possible(const fsam_device *d) { return d->graphs != NULL; }

int fsam_graph_begin(fsam_device *d) {
  if (!d->graphs) return fsam__fail(FSAM_ENODEV, "graph: the device %s records nothing", d->name);
  if (d->capture) return fsam__fail(FSAM_EINVAL, "graph: the device is recording already");
  /* The wait for reads under way must not become part of the graph. */
  if (d->memory->reuse) d->memory->reuse(d);
  FSAM_TRY(d->graphs->begin(d, &d->capture));
  fsam__late_begin();
  d->refs++; /* nothing that is dropped meanwhile may close the device */
  return FSAM_OK;
}

int fsam_graph_end(fsam_graph **out, fsam_device *d) {
  if (!d->capture) return fsam__fail(FSAM_EINVAL, "graph: the device is not recording");
  fsam_graph *g = out ? calloc(1, sizeof *g) : NULL;
  void *capture = d->capture;
  const int64_t moves = d->moves;
  fsam__beside_leave(d);
  d->capture = NULL;
  const int rc = d->graphs->end(d, capture, g ? &g->recorded : NULL);
  fsam__late_end();
  if (!g || rc < 0) {
    free(g);
    fsam_device_close(d); /* begin's hold on it */
    if (!out) return FSAM_OK; /* what was dropped may have failed */
    return rc < 0 ? rc : fsam__fail(FSAM_ENOMEM, "graph: no memory");
  }
  g->device = d; /* begin's hold becomes the graph's */
  g->moves = moves;
  *out = g;
  return FSAM_OK;
}

int fsam_graph_shape(const fsam_graph *g, int64_t counts[3]) {
  return g->device->graphs->shape(g->recorded, counts);
}

int fsam_graph_stale(const fsam_graph *g) { return g->moves != g->device->moves; }

int fsam_graph_run(fsam_graph *g) {
  if (fsam_graph_stale(g))
    return fsam__fail(FSAM_ESTALE, "graph: memory that it names has moved; record it again");
  FSAM_TRY(fsam__not_recording(g->device, "run a graph"));
  return g->device->graphs->run(g->device, g->recorded);
}

static void free_now(fsam_device *d, void *graph) {
  fsam_graph *g = graph;
  d->graphs->free(d, g->recorded);
  free(g);
  fsam_device_close(d);
}

void fsam_graph_free(fsam_graph *g) {
  if (g) fsam__late(g->device, free_now, g);
}

int fsam__not_recording(const fsam_device *d, const char *what) {
  if (!d->capture) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL, "graph: cannot %s while work is being recorded", what);
}
