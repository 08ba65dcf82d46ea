/* late.c: freeing what cannot be freed at once. A GPU that records its work refuses to free memory
 * or to wait, and such a call ends the capture. But Lua's collector may come at any time, and a
 * script may drop a model. What is freed then is kept in a list until the capture has ended. Leaves
 * to others: what freeing means (the device's fsam_memory and fsam_graphs). */
#include <stdlib.h>

#include "engine/engine.h"

typedef struct fsam_late {
  void (*release)(fsam_device *device, void *p);
  void *p;
  struct fsam_late *next;
} fsam_late;

void fsam__late(fsam_device *d, void (*release)(fsam_device *, void *), void *p) {
  if (!d->capture) {
    release(d, p);
    return;
  }
  fsam_late *l = malloc(sizeof *l);
  if (!l) return; /* it is lost: freeing it here would lose the capture too */
  *l = (fsam_late){release, p, d->late};
  d->late = l;
}

void fsam__late_end(fsam_device *d) {
  while (d->late) {
    fsam_late *l = d->late;
    d->late = l->next;
    l->release(d, l->p);
    free(l);
  }
}

static void give_now(fsam_device *d, void *p) { d->memory->free(d, p); }

void fsam__give(fsam_device *d, void *p) {
  if (p) fsam__late(d, give_now, p);
}
