/* layout.c: a model's vector cut into parameters, and each parameter into blocks of up to 4,096
 * elements. A block never straddles parameters, so that a row has one value within it. Frozen
 * parameters and padding have no block: code that runs over blocks cannot touch them. Leaves to
 * others: what runs over the blocks (kernels/vector). */
#include <stdlib.h>
#include <string.h>

#include "engine/program.h"

enum { ALIGNED = 64 };

static int check_parameters(int parameters, const int64_t *offset, const int64_t *count,
                            const int32_t *layer, int64_t total, int64_t act) {
  int64_t end = 0;
  if (total % ALIGNED || act % ALIGNED || act < 0 || act > total)
    return fsam__fail(FSAM_EINVAL,
                      "layout: %lld elements, %lld of them rounded; both must be "
                      "multiples of %d",
                      (long long)total, (long long)act, ALIGNED);
  for (int i = 0; i < parameters; i++) {
    if (offset[i] % ALIGNED || offset[i] < end || count[i] < 0 || count[i] > total - offset[i])
      return fsam__fail(FSAM_EINVAL,
                        "layout: parameter %d has elements %lld to %lld, expected a "
                        "start at a multiple of %d within %lld … %lld",
                        i, (long long)offset[i], (long long)(offset[i] + count[i]), ALIGNED,
                        (long long)end, (long long)total);
    if (offset[i] < act && offset[i] + count[i] > act)
      return fsam__fail(FSAM_EINVAL, "layout: parameter %d straddles the end of the rounded part",
                        i);
    if (layer[i] < 0 || layer[i] >= parameters)
      return fsam__fail(FSAM_EINVAL, "layout: parameter %d is in layer %d, expected 0 to %d", i,
                        layer[i], parameters - 1);
    end = offset[i] + count[i];
  }
  return FSAM_OK;
}

static void cut_blocks(fsam_layout *l, const uint8_t *frozen) {
  int64_t n = 0;
  int32_t spans = 0;
  for (int i = 0; i < l->parameters; i++) {
    l->first_block[i] = n;
    l->first_span[i] = spans;
    for (int64_t done = 0; !frozen[i] && done < l->count[i]; done += BLOCK) {
      const int64_t left = l->count[i] - done;
      const int32_t place = (int32_t)(done / BLOCK % SPAN);
      spans += place == 0;
      l->span_blocks[spans - 1]++;
      l->blocks[n++] =
          (layout_block){l->offset[i] + done, (int32_t)(left < BLOCK ? left : BLOCK), i, 0};
    }
  }
  n = 0;
  for (int32_t span = 0; span < spans; span++)
    for (int64_t place = 0; place < l->span_blocks[span]; place++)
      l->blocks[n++].slot = place * spans + span;
  l->first_block[l->parameters] = l->block_count = l->end = n;
  l->first_span[l->parameters] = spans;
}

int fsam_layout_new(fsam_layout **out, fsam_device *device, int parameters, const int64_t *offset,
                    const int64_t *count, const int32_t *layer, const uint8_t *frozen,
                    int64_t total, int64_t act) {
  FSAM_TRY(check_parameters(parameters, offset, count, layer, total, act));
  size_t n = (size_t)parameters, blocks = 0;
  for (int i = 0; i < parameters; i++) blocks += (size_t)((count[i] + BLOCK - 1) / BLOCK);
  fsam_layout *l = calloc(1, sizeof *l);
  if (!l) return fsam__fail(FSAM_ENOMEM, "layout: no memory");
  *l = (fsam_layout){.parameters = parameters, .total = total, .act = act};
  l->blocks = calloc(blocks + 1, sizeof *l->blocks);
  l->first_block = calloc(n + 1, sizeof *l->first_block);
  l->first_span = calloc(n + 1, sizeof *l->first_span);
  l->span_blocks = calloc(blocks + 1, sizeof *l->span_blocks);
  l->offset = calloc(n + 1, sizeof *l->offset);
  l->count = calloc(n + 1, sizeof *l->count);
  l->layer = calloc(n + 1, sizeof *l->layer);
  if (!l->blocks || !l->first_block || !l->first_span || !l->span_blocks || !l->offset ||
      !l->count || !l->layer) {
    fsam_layout_free(l);
    return fsam__fail(FSAM_ENOMEM, "layout: no memory for %d parameters", parameters);
  }
  l->device = device;
  device->refs++;
  memcpy(l->offset, offset, n * sizeof *offset);
  memcpy(l->count, count, n * sizeof *count);
  memcpy(l->layer, layer, n * sizeof *layer);
  for (int i = 0; i < parameters; i++)
    if (layer[i] >= l->layers) l->layers = layer[i] + 1;
  cut_blocks(l, frozen);
  *out = l;
  return FSAM_OK;
}

int fsam_layout_share(fsam_layout *l, int rank, int ranks, int64_t *starts) {
  if (layout_is_shared(l) || rank < 0 || rank >= ranks)
    return fsam__fail(FSAM_EINVAL, "layout: share %d of %d", rank, ranks);
  if (strcmp(fsam_device_name(l->device), "cpu") != 0 && !fsam__ranks_between(l->device))
    return fsam__fail(FSAM_ENODEV,
                      "--shard-state on GPUs needs NCCL 2.18 or newer (libnccl.so.2) and a GPU on "
                      "every rank; leave it out, or give --device cpu");
  l->share_blocks = calloc((size_t)ranks + 1, sizeof *l->share_blocks);
  l->share_starts = calloc((size_t)ranks + 1, sizeof *l->share_starts);
  if (!l->share_blocks || !l->share_starts)
    return fsam__fail(FSAM_ENOMEM, "layout: no memory for %d shares", ranks);
  int64_t at = 0;
  for (int r = 1; r < ranks; r++) {
    while (at < l->block_count && l->blocks[at].offset < l->total / ranks * r) at++;
    l->share_blocks[r] = at;
    l->share_starts[r] = at < l->block_count ? l->blocks[at].offset : l->total;
    if (l->share_starts[r] <= l->share_starts[r - 1] || l->share_starts[r] == l->total)
      return fsam__fail(FSAM_EINVAL,
                        "--shard-state: the model is too small for %d shares; leave it out", ranks);
  }
  l->share_blocks[ranks] = l->block_count;
  l->share_starts[ranks] = l->total;
  l->share = rank;
  l->ranks = ranks;
  l->first = l->share_blocks[rank];
  l->end = l->share_blocks[rank + 1];
  memcpy(starts, l->share_starts, ((size_t)ranks + 1) * sizeof *starts);
  return FSAM_OK;
}

void fsam_layout_free(fsam_layout *l) {
  if (!l) return;
  free(l->share_blocks);
  free(l->share_starts);
  free(l->blocks);
  free(l->first_block);
  free(l->first_span);
  free(l->span_blocks);
  free(l->offset);
  free(l->count);
  free(l->layer);
  free(l->workspace);
  fsam__give(l->device, l->on_device);
  fsam__give(l->device, l->keys);
  fsam__give(l->device, l->squares);
  fsam_device_close(l->device);
  free(l);
}

double *fsam__layout_workspace(fsam_layout *l, int64_t count) {
  if (count > l->workspace_count) {
    free(l->workspace);
    l->workspace = malloc((size_t)count * sizeof *l->workspace);
    l->workspace_count = l->workspace ? count : 0;
  }
  return l->workspace;
}

int fsam_squares_part(fsam_layout *l, const fsam_tensor *vector, int64_t first, int64_t count) {
  FSAM_TRY(fsam__expect("squares_part", "vector", vector, FSAM_F32, 1, l->total, -1));
  if (layout_is_shared(l) || first < 0 || count < 0 || first > l->total - count)
    return fsam__fail(FSAM_EINVAL, "squares_part: %lld elements from %lld on, of %lld",
                      (long long)count, (long long)first, (long long)l->total);
  return l->device->kernels->squares_part(l, vector, first, count);
}

void fsam_squares_of(fsam_layout *l, const fsam_tensor *vector) {
  l->squared = vector ? vector->data : NULL;
}
