/* column_sums.cu: adds up the sums that kernels leave for each chunk of rows (columns.cuh). Owns:
 * when that is done, and the memory of what waits for it. A layer's backward has eight such sums,
 * of biases and layer norms, and nothing needs them before backward ends. So while they are held
 * (fsam_beside_sums) they wait for each other, and go in one launch beside other work. In what
 * order a sum's parts are added does not depend on that. */
#include "kernels/cuda/columns.cuh"

#include <stdlib.h>

enum { MOST = 32 /* sums of one launch */, HALVES = 2 };

/* One sum: out[columns] from count parts, `step` elements from one part to the next. */
struct column_sum {
  const float *from;
  float *out;
  int64_t step, columns;
  int count, first_block;
  bool add;
};

struct column_sum_list {
  column_sum of[MOST];
  int count;
};

/* Memory has two halves. Kernels write into one, while what reads the other may still run beside
 * them. */
struct held_sums {
  fsam_device *device;
  bool holds;
  char *memory;
  size_t half, used; /* bytes of a half; those of the present one that are taken */
  int which;
  int64_t tickets[HALVES]; /* of the work that reads the half; 0: it was read in order */
  int64_t last;            /* the last that started here and not by fsam_beside_end; or 0 */
  int kinds;               /* column_sums calls since fsam_beside_end started them */
  size_t since;            /* bytes taken since then: a half has room for so many */
  column_sum_list list;
  const float **written; /* where all sums since they are held have gone or will go */
  int written_count, written_room;
};

/* Bound by latency: a warp reads 128 bytes of each of its chunks; a block has sixteen warps. */
static __global__ void column_sums_k(FSAM_GRID_CONSTANT const column_sum_list list) {
  FSAM_SHARED(float, warp_sums, SUM_ROWS *SUM_COLUMNS);
  wait_for_earlier();
  int which = 0;
  while (which + 1 < list.count && (int)blockIdx.x >= list.of[which + 1].first_block) which++;
  const column_sum &s = list.of[which];
  const int64_t column = (int64_t)((int)blockIdx.x - s.first_block) * SUM_COLUMNS + lane_id();
  float sum = 0;
  if (column < s.columns)
    for (int i = warp_id(); i < s.count; i += SUM_ROWS) sum += s.from[i * s.step + column];
  warp_sums[threadIdx.x] = sum;
  __syncthreads();
  if (warp_id() || column >= s.columns) return;
  sum = 0;
  for (int i = 0; i < SUM_ROWS; i++) sum += warp_sums[i * SUM_COLUMNS + lane_id()];
  s.out[column] = s.add ? s.out[column] + sum : sum;
}

static int start(const fsam_device *device, const column_sum_list &list) {
  if (list.count == 0) return FSAM_OK;
  const column_sum &last = list.of[list.count - 1];
  return FSAM_LAUNCH_EARLY(
      device, column_sums_k,
      dim3((unsigned)(last.first_block + divide_up(last.columns, SUM_COLUMNS))),
      SUM_COLUMNS * SUM_ROWS, 0, list);
}

static void append(column_sum_list *list, const sum_outputs &outputs, const float *chunk_sums,
                   int count, int sums, int64_t stride, int64_t columns) {
  for (int i = 0; i < sums; i++) {
    if (!outputs.out[i]) continue;
    int first = 0;
    if (list->count) {
      const column_sum &last = list->of[list->count - 1];
      first = last.first_block + (int)divide_up(last.columns, SUM_COLUMNS);
    }
    list->of[list->count++] = {
        chunk_sums + i * stride, outputs.out[i], sums * stride, columns, count, first,
        outputs.add[i]};
  }
}

/* -- what waits -------------------------------------------------------------------------------- */

static void free_held(void *kept) {
  held_sums *h = (held_sums *)kept;
  fsam__give(h->device, h->memory);
  free(h->written);
  free(h);
}

/* Those of the device; NULL where none were ever held. */
static int held_of(held_sums **out, fsam_device *device, bool make) {
  void **slot;
  FSAM_TRY(fsam__device_slot(&slot, device, free_held));
  if (!*slot && make) {
    held_sums *h = (held_sums *)calloc(1, sizeof *h);
    if (!h) return fsam__fail(FSAM_ENOMEM, "device %s: no memory", device->name);
    h->device = device;
    *slot = h;
  }
  *out = (held_sums *)*slot;
  return FSAM_OK;
}

/* Starts what waits, on the present stream, whose work beside other work `ticket` will mark. */
static int start_held(held_sums *h, int64_t ticket) {
  const int rc = start(h->device, h->list);
  if (h->list.count) {
    h->tickets[h->which] = ticket;
    h->which = 1 - h->which;
    h->used = 0;
  }
  h->list.count = 0;
  return rc;
}

/* Starts what waits, and `more` of it after that, beside other work from wherever it is called. */
static int start_beside(held_sums *h, const column_sum_list &more) {
  const bool within = h->device->is_beside;
  if (!within) FSAM_TRY(fsam_beside_begin(h->device));
  int rc = start_held(h, h->device->tickets + 1);
  if (rc == FSAM_OK) rc = start(h->device, more);
  if (!within) FSAM_TRY(fsam_beside_end(&h->last, h->device));
  return rc;
}

static int enlarge(held_sums *h, size_t half) {
  FSAM_TRY(fsam__not_recording(h->device, "enlarge the memory of column sums"));
  fsam__give(h->device, h->memory);
  h->device->moves++;
  h->half = h->used = 0;
  h->memory = (char *)h->device->memory->alloc(h->device, HALVES * half);
  if (!h->memory)
    return fsam__fail(FSAM_ENOMEM, "device %s: no memory for %.1f MB of column sums",
                      h->device->name, (double)(HALVES * half) / 1e6);
  h->half = half;
  return FSAM_OK;
}

/* What was held is about that of a layer: where a half had too little room for it, it has more from
 * now on. */
static int begin_layer(held_sums *h) {
  const size_t taken = h->since;
  h->kinds = 0;
  h->since = 0;
  return taken > h->half && !h->device->capture ? enlarge(h, taken) : FSAM_OK;
}

/* Room for `bytes` more. What does not fit beside what waits makes that start. */
static int room_for(held_sums *h, size_t bytes) {
  if (h->used + bytes <= h->half) return FSAM_OK;
  const size_t wanted = h->since + bytes;
  FSAM_TRY(start_beside(h, {}));
  return bytes > h->half || !h->device->capture ? enlarge(h, wanted) : FSAM_OK;
}

/* May these be added up in one launch? Not where both write one output. */
static bool go_together(const column_sum_list &a, const column_sum_list &b) {
  for (int i = 0; i < a.count; i++)
    for (int k = 0; k < b.count; k++)
      if (a.of[i].out == b.of[k].out) return false;
  return a.count + b.count <= MOST;
}

static bool has_written(const held_sums *h, const column_sum_list &list) {
  for (int i = 0; i < list.count; i++)
    for (int k = 0; k < h->written_count; k++)
      if (h->written[k] == list.of[i].out) return true;
  return false;
}

static int note_written(held_sums *h, const column_sum_list &list) {
  if (h->written_count + list.count > h->written_room) {
    const int room = 2 * (h->written_count + list.count);
    void *more = realloc(h->written, (size_t)room * sizeof *h->written);
    if (!more) return fsam__fail(FSAM_ENOMEM, "device %s: no memory", h->device->name);
    h->written = (const float **)more;
    h->written_room = room;
  }
  for (int i = 0; i < list.count; i++) h->written[h->written_count++] = list.of[i].out;
  return FSAM_OK;
}

int column_sums_memory(void **out, fsam_device *device, size_t bytes) {
  held_sums *h = NULL;
  FSAM_TRY(held_of(&h, device, false));
  bytes = (bytes / 64 + 1) * 64;
  if (!h || !h->holds) return fsam__workspace(out, device, bytes);
  FSAM_TRY(room_for(h, bytes));
  /* What read this half the last time must be done, unless it is ahead in the same queue. */
  if (h->used == 0 && h->tickets[h->which] && !device->is_beside) {
    FSAM_TRY(fsam_beside_join(device, h->tickets[h->which]));
    h->tickets[h->which] = 0;
  }
  *out = h->memory + h->which * h->half + h->used;
  h->used += bytes;
  h->since += bytes;
  return FSAM_OK;
}

int column_sums(fsam_device *device, const sum_outputs &outputs, const float *chunk_sums,
                const row_chunks &chunks, int sums, int64_t stride, int64_t columns) {
  held_sums *h = NULL;
  FSAM_TRY(held_of(&h, device, false));
  const char *at = (const char *)chunk_sums;
  const bool holds = h && h->holds && at >= h->memory && at < h->memory + HALVES * h->half;
  column_sum_list own = {};
  append(&own, outputs, chunk_sums, chunks.count, sums, stride, columns);
  if (!holds) {
    if (h && h->holds && has_written(h, own)) { /* these come after those */
      FSAM_TRY(start_beside(h, {}));
      FSAM_TRY(fsam_beside_join(device, h->last));
    }
    return start(device, own);
  }
  FSAM_TRY(note_written(h, own));
  if (!go_together(h->list, own)) return start_beside(h, own);
  append(&h->list, outputs, chunk_sums, chunks.count, sums, stride, columns);
  h->kinds++;
  return FSAM_OK;
}

int column_sums_hold_cuda(fsam_device *device, int hold) {
  held_sums *h = NULL;
  FSAM_TRY(held_of(&h, device, hold == FSAM_SUMS_HELD));
  if (!h) return FSAM_OK;
  int rc = FSAM_OK;
  if (hold == FSAM_SUMS_AT_ONCE && h->holds) {
    if (h->last) rc = fsam_beside_join(device, h->last);
    if (rc == FSAM_OK) rc = start(device, h->list);
    if (rc == FSAM_OK) rc = begin_layer(h);
  }
  h->holds = hold == FSAM_SUMS_HELD;
  h->list.count = h->kinds = 0;
  h->used = h->since = 0;
  h->written_count = 0;
  h->tickets[0] = h->tickets[1] = h->last = 0;
  return rc;
}

int column_sums_flush_cuda(fsam_device *device, int least) {
  held_sums *h = NULL;
  FSAM_TRY(held_of(&h, device, false));
  if (!h || !h->holds || h->kinds < least) return FSAM_OK;
  FSAM_TRY(start_held(h, device->tickets + 1));
  return begin_layer(h);
}
