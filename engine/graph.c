/* graph.c: work that is recorded once and run again as a whole, so that a pass of hundreds of
 * kernels costs one launch. Owns the rules of recording; how it is done is the device's (graph.cu).
 *
 * A recording names memory by address. Whoever moves memory that recorded work may name (an arena
 * that is made one piece again, a workspace that grows) counts it in the device's `moves`; a graph
 * of before is stale from then on. */
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
  /* The wait for reads under way must not become part of the recording. */
  if (d->memory->reuse) d->memory->reuse(d);
  return d->recorder->begin(d, &d->recording);
}

static int check_recording(const fsam_device *d) {
  return d->recording ? FSAM_OK : fsam__fail(FSAM_EINVAL, "graph: the device is not recording");
}

int fsam_graph_part_begin(fsam_device *d, int part) {
  FSAM_TRY(check_recording(d));
  if (part < 0) return fsam__fail(FSAM_EINVAL, "graph: part %d, expected 0 or more", part);
  return d->recorder->part_begin(d, d->recording, part);
}

int fsam_graph_part_end(fsam_device *d) {
  FSAM_TRY(check_recording(d));
  return d->recorder->part_end(d, d->recording);
}

int fsam_graph_end(fsam_graph **out, fsam_device *d) {
  FSAM_TRY(check_recording(d));
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

int fsam_graph_run(fsam_graph *g, const uint8_t *left_out) {
  if (fsam_graph_stale(g))
    return fsam__fail(FSAM_ESTALE, "graph: memory that it names has moved; record it again");
  FSAM_TRY(fsam__not_recording(g->device, "run a graph"));
  return g->device->recorder->run(g->device, g->recorded, left_out);
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
