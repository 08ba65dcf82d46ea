/* beside.c: work beside other work. A weight's gradient is wanted at the end of a pass alone, but
 * in one queue everything behind it waits for it. So it goes into a second queue, which waits for
 * what was queued before it, and which the first one waits for when it needs the memory that this
 * work reads. Owns: which queue and which workspace kernels find in the device. Leaves to others:
 * how a device makes one queue wait for another (cuda/graph.cu).
 *
 * There are two queues only within a recorded graph, where that costs nothing at launch. Elsewhere
 * the work goes into the one queue there is; but the second workspace is used all the same, so that
 * it has its size before anything is recorded. */
#include "engine/engine.h"

/* Sums over rows that are added up together: a layer of an encoder has those of two layer norms, of
 * the activation's bias and of the attention's. */
enum { SUMS_OF_A_LAYER = 4 };

static void swap(void **a, void **b) {
  void *kept = *a;
  *a = *b;
  *b = kept;
}

static void change_places(fsam_device *d) {
  const size_t bytes = d->workspace_bytes;
  d->workspace_bytes = d->other_workspace_bytes;
  d->other_workspace_bytes = bytes;
  swap(&d->workspace, &d->other_workspace);
  if (d->capture) swap(&d->stream, &d->other_stream);
  d->is_beside = !d->is_beside;
}

int fsam_beside_begin(fsam_device *d) {
  if (!d->graphs)
    return fsam__fail(FSAM_ENODEV, "beside: the device %s does all work in order", d->name);
  if (d->is_beside) return fsam__fail(FSAM_EINVAL, "beside: it has begun already");
  if (d->capture) FSAM_TRY(d->graphs->part(d));
  change_places(d);
  return FSAM_OK;
}

int fsam_beside_end(int64_t *ticket, fsam_device *d) {
  if (!d->is_beside) return fsam__fail(FSAM_EINVAL, "beside: it has not begun");
  const int rc = d->kernels->column_sums_flush(d, SUMS_OF_A_LAYER);
  change_places(d);
  FSAM_TRY(rc);
  *ticket = ++d->tickets;
  return d->capture ? d->graphs->mark(d, *ticket) : FSAM_OK;
}

int fsam_beside_join(fsam_device *d, int64_t ticket) {
  if (d->is_beside) return fsam__fail(FSAM_EINVAL, "beside: it has not ended");
  return d->capture ? d->graphs->join(d, ticket) : FSAM_OK;
}

int fsam_beside_sums(fsam_device *d, int hold) {
  if (!d->graphs)
    return fsam__fail(FSAM_ENODEV, "beside: the device %s does all work in order", d->name);
  return d->kernels->column_sums_hold(d, hold);
}

void fsam__beside_leave(fsam_device *d) {
  if (d->is_beside) change_places(d);
}
