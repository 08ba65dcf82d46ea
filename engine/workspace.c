/* workspace.c: one block of scratch memory per device, for what a kernel needs only while it runs:
 * partial sums, transposed copies. It grows to the largest size ever asked for and is freed with
 * the device, so that kernels allocate nothing themselves. Its contents do not outlive the kernel.
 */
#include "engine/engine.h"

int fsam__workspace(void **out, fsam_device *d, size_t bytes) {
  if (bytes > d->workspace_bytes) {
    FSAM_TRY(fsam__not_recording(d, "enlarge the workspace"));
    fsam__give(d, d->workspace);
    d->moves++;
    d->workspace_bytes = 0;
    d->workspace = d->memory->alloc(d, bytes);
    char left[64];
    if (!d->workspace)
      return fsam__fail(FSAM_ENOMEM, "device %s: no memory for a workspace of %.1f MB%s", d->name,
                        (double)bytes / 1e6, fsam__memory_left(d, left));
    d->workspace_bytes = bytes;
  }
  *out = d->workspace;
  return FSAM_OK;
}
