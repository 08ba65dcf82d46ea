/* late.c: freeing what cannot be freed at once. A GPU that records its work refuses to free memory
 * or to wait, whichever device asks, and such a call ends the capture. But Lua's collector may come
 * at any time (also when it was stopped: once it has begun to call finalizers, LuaJIT goes on with
 * them whenever a compiled trace ends), and a script may drop a model. What is freed then, of any
 * GPU, is kept in a list, oldest first, until no device records any more. Like all of the engine
 * but its parallel regions, this belongs to the host's one thread. Leaves to others: what freeing
 * means (the device's fsam_memory and fsam_graphs). */
#include <stdlib.h>

#include "engine/engine.h"

typedef struct fsam_late {
  fsam_device *device;
  void (*release)(fsam_device *device, void *p);
  void *p;
  struct fsam_late *next;
} fsam_late;

static int captures; /* devices that record */
static fsam_late *waiting, **end = &waiting;

void fsam__late(fsam_device *d, void (*release)(fsam_device *, void *), void *p) {
  if (!captures || !d->stream) {
    release(d, p);
    return;
  }
  fsam_late *l = malloc(sizeof *l);
  if (!l) return; /* it is lost: freeing it here would lose the capture too */
  *l = (fsam_late){d, release, p, NULL};
  *end = l;
  end = &l->next;
}

void fsam__late_begin(void) { captures++; }

void fsam__late_end(void) {
  if (--captures) return;
  while (waiting) {
    fsam_late *l = waiting;
    if (!(waiting = l->next)) end = &waiting;
    l->release(l->device, l->p);
    free(l);
  }
}

static void give_now(fsam_device *d, void *p) { d->memory->free(d, p); }

void fsam__give(fsam_device *d, void *p) {
  if (p) fsam__late(d, give_now, p);
}
