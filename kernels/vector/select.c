/* select.c: exact top-k by a histogram of the keys' bits (radix select; non-negative floats order
 * as their bits do). The keys are the result of a vector program and are never stored: each of four
 * sweeps computes them again. Three sweeps find the k-th largest key, 11, 11 and 9 bits at a time;
 * the last one sets bits. Memory: the histograms, and one count of ties per block. Ties go to the
 * lowest element at any number of threads, because the blocks' counts are added in order before the
 * last sweep. */
#include <stdlib.h>

#include "kernels/vector/interpreter.h"

enum { BINS = 2048, LEVELS = 3, COPIES = 2 };
static const int SHIFT[LEVELS] = {20, 9, 0}, WIDTH[LEVELS] = {11, 11, 9};

/* What one call works on: blocks [first, end) whose parameter is in the pool. */
typedef struct selection {
  program_state *state;
  uint64_t *mask;
  const uint8_t *pool;
  int64_t first, end;
  int32_t *ties;   /* [blocks of the layout]: keys equal to the threshold */
  uint32_t prefix; /* the threshold's bits found so far */
  int level;
  int64_t bad; /* an element whose key is negative or NaN, or -1 */
} selection;

/* One thread's state. Neighbouring keys are often in one bin: two copies of the first histogram,
 * used in turn, let their additions overlap. */
typedef struct worker {
  selection *all;
  int64_t bins[COPIES][BINS];
  int64_t ties, quota; /* ties in the block in hand, and how many of them may be chosen */
  int64_t bad;
} worker;

/* The bits of LANES keys, -0 as 0. */
FSAM_INLINE vu bits_of(vf key) {
  const vu bits = (vu)key;
  return bits & ~(vu)(bits == 0x80000000u);
}

/* One bit per key i … i + LANES - 1 of the n in hand for which `condition` holds. */
#define KEYS_WHERE(condition, i) \
  (lane_bits(condition) & (n - (i) < LANES ? ((uint64_t)1 << (n - (i))) - 1 : UINT64_MAX))

/* Notes the first of the keys i … that are negative or NaN. */
static void note_bad(worker *w, const program_frame *f, int i, uint64_t bad) {
  if (w->bad < 0) w->bad = f->offset + i + __builtin_ctzll(bad);
}

static void count_first(void *context, const program_frame *f) {
  worker *w = context;
  const int n = f->n;
  uint32_t bins[STRIP];
  for (int k = 0; k < n; k += LANES) {
    const vu bits = bits_of(v_load_n(f->key + k, n - k));
    const vi is_bad = (vi)(bits > 0x7f800000u);
    const uint64_t bad = KEYS_WHERE(is_bad, k);
    if (__builtin_expect(bad != 0, 0)) note_bad(w, f, k, bad);
    const vu bin = (bits & ~(vu)is_bad) >> SHIFT[0];
    memcpy(bins + k, &bin, sizeof bin);
  }
  int i = 0;
  for (; i < n - 1; i += COPIES) {
    w->bins[0][bins[i]]++;
    w->bins[1][bins[i + 1]]++;
  }
  if (i < n) w->bins[0][bins[i]]++;
}

/* Later levels count only keys that share the bits found so far, which are few. */
static void count_next(void *context, const program_frame *f) {
  worker *w = context;
  const int n = f->n, level = w->all->level, shift = SHIFT[level], above = shift + WIDTH[level];
  const uint32_t prefix = w->all->prefix >> above, last = (1u << WIDTH[level]) - 1;
  for (int i = 0; i < n; i += LANES) {
    const vu bits = bits_of(v_load_n(f->key + i, n - i));
    for (uint64_t found = KEYS_WHERE((vi)(bits >> above == prefix), i); found; found &= found - 1)
      w->bins[0][bits[__builtin_ctzll(found)] >> shift & last]++;
  }
}

static void count_ties(void *context, const program_frame *f) {
  worker *w = context;
  const int n = f->n;
  const uint32_t threshold = w->all->prefix;
  for (int i = 0; i < n; i += LANES) {
    const vu bits = bits_of(v_load_n(f->key + i, n - i));
    w->ties += __builtin_popcountll(KEYS_WHERE((vi)(bits == threshold), i));
  }
}

/* Sets bits of the keys above the threshold, and of the first ties while the quota lasts. Keys are
 * not negative, so that they compare as their bits do; no key is above the NaN of UINT32_MAX. */
static void choose(void *context, const program_frame *f) {
  worker *w = context;
  const uint32_t threshold = w->all->prefix;
  float limit;
  memcpy(&limit, &threshold, sizeof limit);
  uint64_t *words = w->all->mask + f->offset / 64;
  for (int i = 0; i < f->n; i += 64) {
    const int count = f->n - i < 64 ? f->n - i : 64;
    uint64_t larger = 0, ties = 0;
    for (int k = 0; k < count; k += LANES) {
      const vf key = v_load_n(f->key + i + k, count - k);
      larger |= lane_bits(key > v_set(limit)) << k;
      ties |= lane_bits(key == v_set(limit)) << k;
    }
    if (count < 64) ties &= ((uint64_t)1 << count) - 1;
    for (; ties && w->quota > 0; ties &= ties - 1, w->quota--) larger |= ties & -ties;
    words[i / 64] = larger;
  }
}

/* Those of the selection's blocks that this process holds. */
static int64_t own_first(const selection *s) {
  const int64_t first = s->state->layout->first;
  return first > s->first ? first : s->first;
}

static int64_t own_end(const selection *s) {
  const int64_t end = s->state->layout->end;
  return end < s->end ? end : s->end;
}

/* Runs `sink` over the strips of the selection's blocks; adds up the histograms into bins, unless
 * that is NULL. `each_block` (or NULL) comes before (done = false) and after a block. */
static void sweep(selection *s, program_sink sink, int64_t *bins,
                  void (*each_block)(worker *, int64_t block, bool done)) {
  if (bins) memset(bins, 0, BINS * sizeof *bins);
#pragma omp parallel
  {
    _Alignas(64) float temps[(MAX_TEMPS + MAX_BOUND) * STRIP];
    program_frame f;
    worker w;
    w.all = s;
    w.bad = -1;
    if (bins) memset(w.bins, 0, sizeof w.bins);
    FSAM_CPU(program_frame_init)(&f, s->state, temps);
#pragma omp for schedule(static)
    for (int64_t block = own_first(s); block < own_end(s); block++) {
      if (!s->pool[s->state->layout->blocks[block].parameter]) continue;
      if (each_block) each_block(&w, block, false);
      FSAM_CPU(program_block)(&f, s->state, block, sink, &w);
      if (each_block) each_block(&w, block, true);
    }
#pragma omp critical
    {
      if (bins)
        for (int i = 0; i < BINS; i++) bins[i] += w.bins[0][i] + w.bins[1][i];
      if (w.bad >= 0 && (s->bad < 0 || w.bad < s->bad)) s->bad = w.bad;
    }
  }
}

static void block_of_ties(worker *w, int64_t block, bool done) {
  if (done)
    w->all->ties[block] = (int32_t)w->ties;
  else
    w->ties = 0;
}

static void block_of_choice(worker *w, int64_t block, bool done) {
  if (!done) w->quota = w->all->ties[block];
}

/* Where each rank holds a share of the keys: adds up the ranks' histograms, which are whole numbers
 * and so have no order, and finds the first bad key of them all. */
static int add_ranks(selection *s, int64_t *bins) {
  const fsam_layout *l = s->state->layout;
  if (!layout_is_shared(l)) return FSAM_OK;
  double *all = calloc(BINS + l->ranks, sizeof *all);
  if (!all) return fsam__fail(FSAM_ENOMEM, "select: no memory for %d ranks", l->ranks);
  for (int i = 0; i < BINS; i++) all[i] = (double)bins[i];
  all[BINS + l->share] = (double)(s->bad + 1);
  const int rc = fsam_ranks_sum_numbers(all, BINS + l->ranks);
  for (int i = 0; rc == FSAM_OK && i < BINS; i++) bins[i] = (int64_t)all[i];
  for (int r = l->ranks - 1; rc == FSAM_OK && r >= 0; r--)
    if (all[BINS + r] > 0) s->bad = (int64_t)all[BINS + r] - 1;
  free(all);
  return rc;
}

/* The k-th largest key's bits into s->prefix; *left = how many keys equal to it belong to the k. */
static int find_threshold(selection *s, int64_t k, int64_t *left, int64_t *equal) {
  int64_t bins[BINS];
  s->prefix = 0;
  for (s->level = 0; s->level < LEVELS; s->level++) {
    sweep(s, s->level == 0 ? count_first : count_next, bins, NULL);
    FSAM_TRY(add_ranks(s, bins));
    if (s->bad >= 0)
      return fsam__fail(FSAM_EINVAL, "select: the key of element %lld is negative or not a number",
                        (long long)s->bad);
    int bin = BINS - 1;
    while (bin > 0 && bins[bin] < k) k -= bins[bin--];
    s->prefix |= (uint32_t)bin << SHIFT[s->level];
    *equal = bins[bin];
  }
  *left = k;
  return FSAM_OK;
}

/* Turns the blocks' counts of ties into how many of them each may choose: the first `left`. */
static void share_ties(selection *s, int64_t left) {
  for (int64_t block = s->first; block < s->end; block++) {
    if (!s->pool[s->state->layout->blocks[block].parameter]) continue;
    const int64_t ties = s->ties[block];
    s->ties[block] = (int32_t)(ties < left ? ties : left);
    left -= s->ties[block];
  }
}

/* The k largest of the blocks [first, end). */
static int choose_from(selection *s, int64_t k) {
  int64_t size = 0, left = 0, equal = 0;
  for (int64_t block = s->first; block < s->end; block++)
    if (s->pool[s->state->layout->blocks[block].parameter])
      size += s->state->layout->blocks[block].count;
  if (k > size) k = size;
  if (k > 0) {
    FSAM_TRY(find_threshold(s, k, &left, &equal));
  } else {
    s->prefix = UINT32_MAX;
  }
  if (k > 0 && s->prefix == 0 && k < size) left = 0; /* key 0 is chosen only with the whole pool */
  if (left > 0 && left < equal) {
    sweep(s, count_ties, NULL, block_of_ties);
    if (layout_is_shared(s->state->layout))
      FSAM_TRY(fsam__ranks_gather(s->ties, s->state->layout->share_blocks, sizeof *s->ties));
    share_ties(s, left);
  } else {
    for (int64_t block = s->first; block < s->end; block++) s->ties[block] = left > 0 ? BLOCK : 0;
  }
  sweep(s, choose, NULL, block_of_choice);
  return FSAM_OK;
}

/* Sets all bits of the parameters outside the pool to `outside`. Frozen parameters have no blocks:
 * their bits are not touched. */
static void fill_outside(uint64_t *mask, const fsam_layout *l, const uint8_t *pool, int outside) {
  for (int64_t i = l->first; i < l->end; i++) {
    const layout_block *b = &l->blocks[i];
    if (pool[b->parameter]) continue;
    uint64_t *words = mask + b->offset / 64;
    for (int done = 0; done < b->count; done += 64) {
      const int count = b->count - done;
      const uint64_t all = count < 64 ? ((uint64_t)1 << count) - 1 : UINT64_MAX;
      words[done / 64] = outside ? all : 0;
    }
  }
}

int FSAM_CPU(program_select)(uint64_t *mask, const fsam_program *program, fsam_layout *layout,
                             const fsam_binding *binding, const uint8_t *pool, const int64_t *k,
                             int per_parameter, int outside) {
  program_state state;
  FSAM_TRY(FSAM_CPU(program_begin)(&state, program, layout, binding));
  for (int i = 0; i < program->stage_count - 2; i++)
    FSAM_TRY(FSAM_CPU(program_stage_run)(&state, &program->stages[i]));
  FSAM_CPU(program_prepare)(&state, &program->stages[program->stage_count - 2]);
  selection s = {.state = &state, .mask = mask, .pool = pool, .bad = -1};
  s.ties = malloc(((size_t)layout->block_count + 1) * sizeof *s.ties);
  if (!s.ties) return fsam__fail(FSAM_ENOMEM, "select: no memory for the counts of ties");
  int rc = FSAM_OK;
  for (int i = 0; rc == FSAM_OK && i < (per_parameter ? layout->parameters : 1); i++) {
    s.first = per_parameter ? layout->first_block[i] : 0;
    s.end = per_parameter ? layout->first_block[i + 1] : layout->block_count;
    if (!per_parameter || pool[i]) rc = choose_from(&s, k[i]);
  }
  free(s.ties);
  if (rc == FSAM_OK) fill_outside(mask, layout, pool, outside);
  return rc;
}

/* Of bits in shares, each rank counts its own. */
int FSAM_CPU(mask_count)(double *counts, fsam_layout *layout, const uint64_t *a,
                         const uint64_t *b) {
  const bool shared = layout_is_shared(layout);
  const int64_t from = shared ? layout->share_starts[layout->share] / 64 : 0;
  const int64_t to = (shared ? layout->share_starts[layout->share + 1] : layout->total) / 64;
  for (int i = 0; i < layout->parameters; i++) {
    const int64_t first = layout->offset[i] / 64, end = first + (layout->count[i] + 63) / 64;
    int64_t set = 0;
    for (int64_t w = first > from ? first : from; w < end && w < to; w++)
      set += __builtin_popcountll(b ? a[w] & b[w] : a[w]);
    counts[i] = (double)set;
  }
  return shared ? fsam_ranks_sum_numbers(counts, layout->parameters) : FSAM_OK;
}

/* Here a norm is bound by memory whenever it is computed. */
int FSAM_CPU(squares_part)(fsam_layout *layout, const fsam_tensor *vector, int64_t first,
                           int64_t count) {
  (void)layout, (void)vector, (void)first, (void)count;
  return FSAM_OK;
}
