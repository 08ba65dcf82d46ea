/* arena.c: memory with explicit lifetimes, and the tensors in it. An arena lays blocks one after
 * another inside large chunks and takes all of them back at once. A tensor remembers its block's
 * slot and serial number, so that using it after a reset is an error that names it. Leaves to
 * others: where chunks come from (the device's fsam_memory), values of tensors (tensor.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

enum { ALIGNMENT = 256, FIRST_CHUNK = 1 << 20 };

typedef struct chunk {
  char *base;
  int64_t bytes, used;
  int64_t touched; /* bytes that blocks ever had: those behind them are as alloc gave them */
} chunk;

struct fsam_arena {
  fsam_device *device;
  char name[16];
  chunk *chunks;
  int chunk_count;
  uint64_t *serials; /* of the blocks handed out */
  int64_t block_count, block_capacity;
  int64_t live, peak;
  uint64_t serial; /* the last one given out */
};

int fsam_arena_new(fsam_arena **out, fsam_device *device, const char *name) {
  fsam_arena *a = calloc(1, sizeof *a);
  if (!a) return fsam__fail(FSAM_ENOMEM, "arena %s: no memory for its header", name);
  a->device = device;
  device->refs++;
  snprintf(a->name, sizeof a->name, "%s", name);
  *out = a;
  return FSAM_OK;
}

void fsam_arena_free(fsam_arena *a) {
  if (!a) return;
  for (int i = 0; i < a->chunk_count; i++) fsam__give(a->device, a->chunks[i].base);
  free(a->chunks);
  free(a->serials);
  fsam_device_close(a->device);
  free(a);
}

int64_t fsam_arena_live(const fsam_arena *a) { return a->live; }

int64_t fsam_arena_peak(const fsam_arena *a) { return a->peak; }

/* A reset replaces several chunks by one of their total size, so that the next pass finds its
 * memory in one piece and at the same offsets. What is reset is filled again, so this one has large
 * pages; memory that a run fills once and may leave in part untouched has not. */
void fsam_arena_reset(fsam_arena *a) {
  if (a->block_count && a->device->memory->reuse) a->device->memory->reuse(a->device);
  a->block_count = 0;
  a->live = 0;
  for (int i = 0; i < a->chunk_count; i++) a->chunks[i].used = 0;
  if (a->chunk_count < 2 || a->device->capture) return; /* a capture cannot move memory */
  int64_t total = 0;
  a->device->moves++;
  for (int i = 0; i < a->chunk_count; i++) {
    total += a->chunks[i].bytes;
    fsam__give(a->device, a->chunks[i].base);
  }
  a->chunk_count = 0;
  char *base = a->device->memory->alloc(a->device, (size_t)total);
  if (!base) return;
  if (a->device->memory->large_pages) a->device->memory->large_pages(base, (size_t)total);
  a->chunks[a->chunk_count++] = (chunk){base, total, 0, 0};
}

/* The last chunk with room for `bytes`, or a new one; -1 without memory, or while the device
 * records, which refuses new memory. */
static int chunk_for(fsam_arena *a, int64_t bytes) {
  int last = a->chunk_count - 1;
  if (last >= 0 && a->chunks[last].used + bytes <= a->chunks[last].bytes) return last;
  if (a->device->capture) return -1;
  int64_t want = last >= 0 ? a->chunks[last].bytes : FIRST_CHUNK;
  if (want < bytes) want = bytes;
  chunk *grown = realloc(a->chunks, (size_t)(a->chunk_count + 1) * sizeof *grown);
  if (!grown) return -1;
  a->chunks = grown;
  char *base = a->device->memory->alloc(a->device, (size_t)want);
  if (!base && want > bytes) base = a->device->memory->alloc(a->device, (size_t)(want = bytes));
  if (!base) return -1;
  a->chunks[a->chunk_count] = (chunk){base, want, 0, 0};
  return a->chunk_count++;
}

/* Pushes a block of at least `bytes`; *slot and *serial identify it, *fresh says that no block had
 * its memory before. NULL without memory. */
static void *push(fsam_arena *a, int64_t bytes, uint32_t *slot, uint64_t *serial, bool *fresh) {
  int64_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (a->block_count == a->block_capacity) {
    int64_t capacity = a->block_capacity ? 2 * a->block_capacity : 256;
    uint64_t *grown = realloc(a->serials, (size_t)capacity * sizeof *grown);
    if (!grown) return NULL;
    a->serials = grown;
    a->block_capacity = capacity;
  }
  int c = chunk_for(a, rounded);
  if (c < 0) return NULL;
  chunk *ch = &a->chunks[c];
  *serial = a->serials[a->block_count] = ++a->serial;
  *slot = (uint32_t)a->block_count++;
  void *p = ch->base + ch->used;
  *fresh = ch->used >= ch->touched;
  ch->used += rounded;
  if (ch->used > ch->touched) ch->touched = ch->used;
  a->live += rounded;
  if (a->live > a->peak) a->peak = a->live;
  return p;
}

fsam_device *fsam__device_of(const fsam_tensor *t) { return t->arena->device; }

static int set_shape(fsam_tensor *t, int rank, const int64_t *shape, const char *name) {
  if (rank < 1 || rank > 4)
    return fsam__fail(FSAM_EINVAL, "tensor %s: rank %d, expected 1 to 4", name, rank);
  int64_t elements = 1;
  t->rank = rank;
  for (int i = 0; i < 4; i++) {
    t->shape[i] = i < rank ? shape[i] : 1;
    if (t->shape[i] < 0 || (t->shape[i] && elements > INT64_MAX / 8 / t->shape[i]))
      return fsam__fail(FSAM_EINVAL, "tensor %s: dimension %d is %lld", name, i + 1,
                        (long long)t->shape[i]);
    elements *= t->shape[i];
  }
  t->row_stride = t->shape[1] * t->shape[2] * t->shape[3];
  snprintf(t->name, sizeof t->name, "%s", name ? name : "");
  return FSAM_OK;
}

int fsam_tensor_new(fsam_tensor *out, fsam_arena *a, int dtype, int rank, const int64_t *shape,
                    const char *name, int zeroed) {
  fsam_tensor t = {.arena = a, .dtype = dtype};
  if (dtype < FSAM_F32 || dtype > FSAM_I32)
    return fsam__fail(FSAM_EINVAL, "tensor %s: type %d is unknown", name, dtype);
  FSAM_TRY(set_shape(&t, rank, shape, name));
  int64_t bytes = fsam__elements(&t) * fsam__dtype_bytes(dtype);
  bool fresh = false;
  t.data = push(a, bytes ? bytes : 1, &t.slot, &t.serial, &fresh);
  char left[64];
  if (!t.data) FSAM_TRY(fsam__not_recording(a->device, "take more memory"));
  if (!t.data)
    return fsam__fail(FSAM_ENOMEM, "%s arena: no memory for %s (%.1f MB; %.1f MB are in use%s)",
                      a->name, t.name, (double)bytes / 1e6, (double)a->live / 1e6,
                      fsam__memory_left(a->device, left));
  if (zeroed && !(fresh && a->device->memory->clean))
    FSAM_TRY(a->device->memory->zero(a->device, t.data, (size_t)bytes));
  *out = t;
  return FSAM_OK;
}

int fsam_tensor_check(const fsam_tensor *t) {
  const fsam_arena *a = t->arena;
  if (a && t->slot < a->block_count && a->serials[t->slot] == t->serial) return FSAM_OK;
  return fsam__fail(FSAM_ESTALE, "tensor %s: its memory was taken back (the %s arena was reset)",
                    t->name[0] ? t->name : "unnamed", a ? a->name : "freed");
}

int fsam_tensor_view(fsam_tensor *out, const fsam_tensor *from, int64_t offset, int rank,
                     const int64_t *shape, const char *name) {
  FSAM_TRY(fsam_tensor_check(from));
  if (from->rank > 1 && from->row_stride * from->shape[0] != fsam__elements(from))
    return fsam__fail(FSAM_EINVAL, "view %s: %s is a column slice; whole rows are needed", name,
                      from->name);
  fsam_tensor t = *from;
  t.filled = 0;
  FSAM_TRY(set_shape(&t, rank, shape, name));
  if (offset < 0 || offset + fsam__elements(&t) > fsam__elements(from))
    return fsam__fail(FSAM_EINVAL, "view %s: elements %lld to %lld of %s, which has %lld", name,
                      (long long)offset, (long long)(offset + fsam__elements(&t)), from->name,
                      (long long)fsam__elements(from));
  t.data = (char *)from->data + offset * fsam__dtype_bytes(t.dtype);
  *out = t;
  return FSAM_OK;
}
