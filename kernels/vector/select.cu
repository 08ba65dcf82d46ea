/* select.cu: exact top-k by a histogram of the keys' bits (radix select, as select.c), and counts
 * of mask bits. Bound by memory: the keys are read once for each of the three parts of their bits,
 * 11, 11 and 9, once more where only some ties are chosen, and once to set bits. Atomics are of
 * integers only, in shared memory first. A group is what shares one k: all blocks of the layout, or
 * the blocks of one parameter. Nothing waits for the host between the launches. */
#include "kernels/vector/select.cuh"

#include "kernels/cuda/common.cuh"

#include <stdlib.h>
#include <string.h>

enum { THREADS = 256, BINS = 2048, LEVELS = 3, PER_BLOCK = 8 /* layout blocks of a histogram */ };

/* The state of one group's selection. */
struct group {
  uint32_t prefix; /* bits of the k-th largest key found so far; all ones: nothing is chosen */
  uint32_t k;      /* how many keys with this prefix belong to the k largest */
  uint32_t equal;  /* how many keys have this prefix */
  uint32_t chosen, size;
  uint32_t first, end; /* blocks of the layout */
};

/* Everything the kernels work on, in device memory. */
struct selection {
  const float *keys;
  uint32_t *mask; /* halves of the mask's words, low half first */
  const layout_block *blocks;
  const uint8_t *pool; /* [parameters] */
  group *groups;
  uint32_t *bins;          /* [groups][BINS] */
  uint32_t *ties;          /* [blocks]: keys equal to the threshold, then how many may be chosen */
  uint32_t *all_ties;      /* the same of the whole layout, of which the blocks may be a share */
  unsigned long long *bad; /* the lowest element whose key is negative or NaN, or all ones */
  int64_t block_count;
  int per_parameter, outside;
};

__device__ __forceinline__ int group_of(const selection &s, const layout_block &block) {
  return s.per_parameter ? block.parameter : 0;
}

/* -0 counts as 0. */
__device__ __forceinline__ uint32_t key_bits(float key) {
  const uint32_t bits = float_to_bits(key);
  return bits == 0x80000000u ? 0 : bits;
}

/* -- the threshold ----------------------------------------------------------------------------- */

/* Adds a block's bins to those of its group, and empties them. */
__device__ __forceinline__ void flush(const selection &s, uint32_t *bins, int group) {
  __syncthreads();
  for (int i = (int)threadIdx.x; i < BINS; i += THREADS) {
    if (bins[i]) atomic_add(s.bins + (int64_t)group * BINS + i, bins[i]);
    bins[i] = 0;
  }
  __syncthreads();
}

/* The rows of a table that no sample named are zeros: counted one by one, all threads would wait
 * for the same bin. */
__device__ __forceinline__ bool all_zero(const float key[OCTET]) {
  uint32_t bits = 0;
  for (int k = 0; k < OCTET; k++) bits |= float_to_bits(key[k]);
  return (bits & 0x7fffffffu) == 0;
}

/* Counts the keys of a layout block that share the prefix, by the `width` bits above `shift`. */
__device__ __forceinline__ void count_block(const selection &s, uint32_t *bins,
                                            const layout_block &block, int shift, int width) {
  const int above = shift + width; /* 31 in the first sweep, where the prefix has no bits */
  const uint32_t found = s.groups[group_of(s, block)].prefix, prefix = found >> above;
  if (found == UINT32_MAX) return;
  const uint32_t mask = (1u << width) - 1;
  for (int i = (int)threadIdx.x * OCTET; i < block.count; i += THREADS * OCTET) {
    float key[OCTET];
    load8(key, s.keys + block.offset + i, block.count - i, true);
    if (i + OCTET <= block.count && all_zero(key)) {
      if (prefix == 0) atomic_add(bins, OCTET);
      continue;
    }
    for (int k = 0; k < OCTET; k++) {
      const uint32_t bits = key_bits(key[k]);
      if (i + k >= block.count) continue;
      if (bits > 0x7f800000u)
        atomic_min(s.bad, (unsigned long long)(block.offset + i + k));
      else if (bits >> above == prefix)
        atomic_add(bins + (bits >> shift & mask), 1);
    }
  }
}

/* Block b has PER_BLOCK blocks of the layout. */
static __global__ void __launch_bounds__(THREADS) histogram_k(selection s, int shift, int width) {
  FSAM_SHARED(uint32_t, bins, BINS);
  for (int i = (int)threadIdx.x; i < BINS; i += THREADS) bins[i] = 0;
  __syncthreads();
  int group = -1;
  for (int64_t b = (int64_t)blockIdx.x * PER_BLOCK;
       b < (int64_t)(blockIdx.x + 1) * PER_BLOCK && b < s.block_count; b++) {
    const layout_block block = s.blocks[b];
    if (!s.pool[block.parameter]) continue;
    if (group >= 0 && group != group_of(s, block)) flush(s, bins, group);
    group = group_of(s, block);
    count_block(s, bins, block, shift, width);
  }
  if (group >= 0) flush(s, bins, group);
}

/* A warp to a group: finds the bin of the k-th largest key, and takes away those above it. */
static __global__ void __launch_bounds__(WARP) pick_k(selection s, int shift) {
  group *g = s.groups + blockIdx.x;
  uint32_t *bins = s.bins + (int64_t)blockIdx.x * BINS;
  const int each = BINS / WARP, first = lane_id() * each;
  const uint32_t k = g->k, prefix = g->prefix;
  uint32_t sum = 0, above = 0;
  for (int i = 0; i < each; i++) sum += bins[first + i];
  for (int lane = 0; lane < WARP; lane++) {
    const uint32_t other = shuffle(sum, lane);
    if (lane > lane_id()) above += other;
  }
  if (prefix != UINT32_MAX && above < k && k <= above + sum) {
    int bin = first + each - 1;
    while (above + bins[bin] < k) above += bins[bin--];
    g->prefix = prefix | (uint32_t)bin << shift;
    g->k = k - above;
    g->equal = bins[bin];
    /* Key 0 is chosen only with the whole pool. */
    if (shift == 0 && g->prefix == 0 && g->chosen < g->size) g->k = 0;
  }
  for (int i = 0; i < each; i++) bins[first + i] = 0; /* for the next part of the bits */
}

/* -- ties -------------------------------------------------------------------------------------- */

/* Are only some of the group's ties chosen (neither all nor none)? */
__device__ __forceinline__ bool shares(const group &g) { return g.k > 0 && g.k < g.equal; }

/* Sums over the block's threads: over all, and over those before this one. */
__device__ __forceinline__ uint32_t count_before(uint32_t value, uint32_t *total) {
  FSAM_SHARED(uint32_t, parts, THREADS / WARP);
  uint32_t before = 0, sum = 0;
  for (int lane = 0; lane < WARP; lane++) {
    const uint32_t other = shuffle(value, lane);
    sum += other;
    if (lane < lane_id()) before += other;
  }
  __syncthreads(); /* parts may still be read */
  if (lane_id() == 0) parts[warp_id()] = sum;
  __syncthreads();
  *total = 0;
  for (int w = 0; w < THREADS / WARP; w++) {
    if (w < warp_id()) before += parts[w];
    *total += parts[w];
  }
  return before;
}

static __global__ void __launch_bounds__(THREADS) count_ties_k(selection s) {
  const layout_block block = s.blocks[blockIdx.x];
  const group g = s.groups[group_of(s, block)];
  if (!s.pool[block.parameter] || !shares(g)) {
    if (threadIdx.x == 0) s.ties[blockIdx.x] = 0;
    return;
  }
  uint32_t ties = 0, total;
  for (int i = (int)threadIdx.x * OCTET; i < block.count; i += THREADS * OCTET) {
    float key[OCTET];
    load8(key, s.keys + block.offset + i, block.count - i, true);
    for (int k = 0; k < OCTET; k++) ties += i + k < block.count && key_bits(key[k]) == g.prefix;
  }
  count_before(ties, &total);
  if (threadIdx.x == 0) s.ties[blockIdx.x] = total;
}

/* A block to a group: counts of ties become how many of them each block of the layout may choose,
 * the first g.k of the group in all. */
static __global__ void __launch_bounds__(THREADS) share_ties_k(selection s) {
  const group g = s.groups[blockIdx.x];
  uint32_t used = 0;
  for (uint32_t first = g.first; first < g.end; first += THREADS) {
    const uint32_t b = first + threadIdx.x;
    uint32_t ties = b < g.end ? s.all_ties[b] : 0, total;
    const uint32_t before = used + count_before(ties, &total);
    const uint32_t left = before < g.k ? g.k - before : 0;
    if (!shares(g))
      ties = g.k ? BLOCK : 0;
    else if (ties > left)
      ties = left;
    if (b < g.end) s.all_ties[b] = ties;
    used += total;
  }
}

/* -- the mask ---------------------------------------------------------------------------------- */

enum { PIECES = BLOCK / (THREADS * OCTET) /* octets of a layout block that a thread has */ };

/* Of an octet: the bits of keys above the threshold and, in *ties, of those that equal it. */
__device__ __forceinline__ uint32_t chosen_octet(uint32_t *ties, const float key[OCTET],
                                                 uint32_t prefix) {
  uint32_t above = 0;
  *ties = 0;
  if (prefix == UINT32_MAX) return 0;
  for (int k = 0; k < OCTET; k++) {
    const uint32_t bits = key_bits(key[k]);
    above |= (uint32_t)(bits > prefix) << k;
    *ties |= (uint32_t)(bits == prefix) << k;
  }
  return above;
}

/* The first `count` bits that are set. */
__device__ __forceinline__ uint32_t first_bits(uint32_t bits, uint32_t count) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < count && bits; i++) {
    found |= bits & (0u - bits);
    bits &= bits - 1;
  }
  return found;
}

/* Sets the bits of one block of the layout: keys above the threshold, and the first of its ties.
 * Four neighbouring lanes have the octets of one word. */
static __global__ void __launch_bounds__(THREADS) choose_k(selection s) {
  const layout_block block = s.blocks[blockIdx.x];
  const group g = s.groups[group_of(s, block)];
  const bool in_pool = s.pool[block.parameter];
  const uint32_t quota = s.ties[blockIdx.x];
  const bool ranked = in_pool && quota > 0 && quota < (uint32_t)block.count;
  const int padded = (block.count + 63) / 64 * 64; /* whole words: zeros behind the parameter */
  float key[PIECES][OCTET];
#pragma unroll
  for (int p = 0; p < PIECES; p++) {
    const int i = (p * THREADS + (int)threadIdx.x) * OCTET;
    load8(key[p], s.keys + block.offset + i, in_pool ? block.count - i : 0, true);
  }
  uint32_t used = 0;
#pragma unroll
  for (int p = 0; p < PIECES; p++) {
    const int i = (p * THREADS + (int)threadIdx.x) * OCTET;
    const int live = block.count - i < OCTET ? block.count - i : OCTET; /* below 0: none */
    const uint32_t present = live > 0 ? (1u << live) - 1 : 0;
    uint32_t ties, bits = chosen_octet(&ties, key[p], g.prefix);
    ties &= quota ? present : 0;
    if (ranked) { /* the same for the whole block */
      uint32_t total;
      const uint32_t before = used + count_before((uint32_t)__popc(ties), &total);
      ties = first_bits(ties, before < quota ? quota - before : 0);
      used += total;
    }
    bits = in_pool ? (bits & present) | ties : s.outside ? present : 0;
    bits <<= lane_id() % 4 * OCTET;
    bits |= shuffle_xor(bits, 1);
    bits |= shuffle_xor(bits, 2);
    if (lane_id() % 4 == 0 && i < padded) s.mask[(block.offset + i) / 32] = bits;
  }
}

/* -- on the host ------------------------------------------------------------------------------- */

/* Elements of the blocks [first, end) whose parameter is in the pool. */
static int64_t pool_size(const fsam_layout *l, const uint8_t *pool, int64_t first, int64_t end) {
  int64_t size = 0;
  for (int64_t b = first; b < end; b++)
    if (pool[l->blocks[b].parameter]) size += l->blocks[b].count;
  return size;
}

static group group_from(const fsam_layout *l, const uint8_t *pool, int64_t k, int64_t first,
                        int64_t end) {
  const int64_t size = pool_size(l, pool, first, end);
  const uint32_t chosen = (uint32_t)(k < size ? k : size);
  return {chosen ? 0 : UINT32_MAX, chosen,       0, chosen, (uint32_t)size,
          (uint32_t)first,         (uint32_t)end};
}

enum { HEAD = 16 /* bytes before the groups: `bad` */ };

/* What the host decides, as it lies in the workspace: groups[groups], pool[parameters]. */
static size_t pool_place(int groups) { return ((size_t)groups * sizeof(group) + 15) / 16 * 16; }

/* Fills `bad`, the groups and the pool in one copy, and empties the bins. */
static int upload(fsam_device *device, const selection &s, const fsam_layout *l,
                  const uint8_t *pool, const int64_t *k, int groups) {
  const size_t bytes = pool_place(groups) + (size_t)l->parameters;
  char *host = (char *)calloc(1, HEAD + bytes);
  if (!host) return fsam__fail(FSAM_ENOMEM, "select: no memory for %d groups", groups);
  group *to = (group *)(host + HEAD);
  memset(host, 0xff, sizeof *s.bad);
  for (int i = 0; i < groups; i++)
    to[i] = s.per_parameter ? group_from(l, pool, k[i], l->first_block[i], l->first_block[i + 1])
                            : group_from(l, pool, k[i], 0, l->block_count);
  memcpy(host + HEAD + pool_place(groups), pool, (size_t)l->parameters);
  int rc = device->memory->copy_in(device, s.bad, host, HEAD + bytes);
  free(host);
  FSAM_TRY(rc);
  return device->memory->zero(device, s.bins, (size_t)groups * BINS * sizeof *s.bins);
}

/* Counts of this process's blocks become those of all ranks' blocks. */
static int add_ranks(const fsam_layout *l, uint32_t *counts, int64_t count) {
  return layout_is_shared(l) ? fsam__ranks_sum_words(l->device, counts, count, sizeof *counts)
                             : FSAM_OK;
}

static int launch_all(const fsam_layout *l, const selection &s, int groups) {
  static const int SHIFT[LEVELS] = {20, 9, 0}, WIDTH[LEVELS] = {11, 11, 9};
  const dim3 blocks((unsigned)s.block_count), of_groups((unsigned)groups);
  fsam_device *device = l->device;
  for (int i = 0; i < LEVELS; i++) {
    FSAM_TRY(FSAM_LAUNCH(device, histogram_k, dim3((unsigned)divide_up(s.block_count, PER_BLOCK)),
                         THREADS, 0, s, SHIFT[i], WIDTH[i]));
    FSAM_TRY(add_ranks(l, s.bins, (int64_t)groups * BINS));
    FSAM_TRY(FSAM_LAUNCH(device, pick_k, of_groups, WARP, 0, s, SHIFT[i]));
  }
  if (layout_is_shared(l))
    FSAM_TRY(device->memory->zero(device, s.all_ties,
                                  (size_t)l->block_count * sizeof *s.all_ties));
  FSAM_TRY(FSAM_LAUNCH(device, count_ties_k, blocks, THREADS, 0, s));
  FSAM_TRY(add_ranks(l, s.all_ties, l->block_count));
  FSAM_TRY(FSAM_LAUNCH(device, share_ties_k, of_groups, THREADS, 0, s));
  return FSAM_LAUNCH(device, choose_k, blocks, THREADS, 0, s);
}

/* Where each rank has looked at a share of the keys, the first bad one of them all: ranks' shares
 * follow each other. */
static int first_bad(unsigned long long *bad, const fsam_layout *l) {
  if (!layout_is_shared(l)) return FSAM_OK;
  double *all = (double *)calloc((size_t)l->ranks, sizeof *all);
  if (!all) return fsam__fail(FSAM_ENOMEM, "select: no memory for %d ranks", l->ranks);
  all[l->share] = *bad == ~0ull ? 0 : (double)(*bad + 1);
  const int rc = fsam_ranks_sum_numbers(all, l->ranks);
  for (int rank = l->ranks - 1; rc == FSAM_OK && rank >= 0; rank--)
    if (all[rank] > 0) *bad = (unsigned long long)all[rank] - 1;
  free(all);
  return rc;
}

int select_keys_cuda(uint64_t *mask, const float *keys, const layout_block *blocks, fsam_layout *l,
                     const uint8_t *pool, const int64_t *k, int per_parameter, int outside) {
  fsam_device *device = l->device;
  if (l->total > UINT32_MAX)
    return fsam__fail(FSAM_EINVAL, "select: %lld elements, on cuda at most %lld",
                      (long long)l->total, (long long)UINT32_MAX);
  const int groups = per_parameter ? l->parameters : 1;
  const size_t counts = (size_t)groups * BINS + (size_t)l->block_count; /* bins and ties */
  void *workspace;
  FSAM_TRY(fsam__workspace(
      &workspace, device,
      HEAD + pool_place(groups) + (size_t)l->parameters + 16 + counts * sizeof(uint32_t)));
  selection s = {};
  s.keys = keys;
  s.mask = (uint32_t *)mask;
  s.blocks = blocks;
  s.bad = (unsigned long long *)workspace;
  s.groups = (group *)((char *)workspace + HEAD);
  s.pool = (const uint8_t *)s.groups + pool_place(groups);
  s.bins = (uint32_t *)(s.pool + ((size_t)l->parameters + 15) / 16 * 16);
  s.all_ties = s.bins + (size_t)groups * BINS;
  s.ties = s.all_ties + l->first;
  s.block_count = l->end - l->first;
  s.per_parameter = per_parameter;
  s.outside = outside;
  FSAM_TRY(upload(device, s, l, pool, k, groups));
  FSAM_TRY(launch_all(l, s, groups));
  unsigned long long bad;
  FSAM_TRY(device->memory->copy_out(device, &bad, s.bad, sizeof bad));
  FSAM_TRY(first_bad(&bad, l));
  if (bad == ~0ull) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL, "select: the key of element %llu is negative or not a number",
                    bad);
}

/* -- counting bits ----------------------------------------------------------------------------- */

enum { BLOCKS_EACH = 32 /* thread blocks for a parameter */ };

/* counts[parameter][BLOCKS_EACH] = how many bits are set in a, and in b too unless it is NULL; a
 * parameter's words are words[first[parameter]] … of count[parameter]. */
static __global__ void __launch_bounds__(THREADS)
    mask_count_k(uint32_t *counts, const int64_t *first, const int64_t *words, const uint64_t *a,
                 const uint64_t *b) {
  const int64_t at = first[blockIdx.x];
  uint32_t count = 0, total;
  for (int64_t i = (int64_t)blockIdx.y * THREADS + threadIdx.x; i < words[blockIdx.x];
       i += BLOCKS_EACH * THREADS) {
    const uint64_t word = b ? a[at + i] & b[at + i] : a[at + i];
    count += (uint32_t)(__popc((uint32_t)word) + __popc((uint32_t)(word >> 32)));
  }
  count_before(count, &total);
  if (threadIdx.x == 0) counts[blockIdx.x * BLOCKS_EACH + blockIdx.y] = total;
}

/* host: first[parameters], words[parameters], counts[parameters][BLOCKS_EACH]; the device has
 * the same. */
static int count_on(fsam_device *device, int64_t *host, int parameters, const uint64_t *a,
                    const uint64_t *b) {
  const size_t ranges = 2 * (size_t)parameters * sizeof *host;
  const size_t parts = (size_t)parameters * BLOCKS_EACH * sizeof(uint32_t);
  void *workspace;
  FSAM_TRY(fsam__workspace(&workspace, device, ranges + parts));
  int64_t *first = (int64_t *)workspace, *words = first + parameters;
  uint32_t *counts = (uint32_t *)(words + parameters);
  FSAM_TRY(device->memory->copy_in(device, first, host, ranges));
  FSAM_TRY(FSAM_LAUNCH(device, mask_count_k, dim3((unsigned)parameters, BLOCKS_EACH), THREADS, 0,
                       counts, first, words, a, b));
  return device->memory->copy_out(device, host + 2 * parameters, counts, parts);
}

int mask_count_cuda(double *counts, fsam_layout *l, const uint64_t *a, const uint64_t *b) {
  const size_t n = (size_t)l->parameters;
  int64_t *host = (int64_t *)malloc(n * (2 * sizeof *host + BLOCKS_EACH * sizeof(uint32_t)) + 1);
  if (!host)
    return fsam__fail(FSAM_ENOMEM, "mask_count: no memory for %d parameters", l->parameters);
  const bool shared = layout_is_shared(l); /* then each rank counts its own bits */
  const int64_t from = shared ? l->share_starts[l->share] / 64 : 0;
  const int64_t to = (shared ? l->share_starts[l->share + 1] : l->total) / 64;
  for (size_t i = 0; i < n; i++) {
    const int64_t first = l->offset[i] / 64, end = first + divide_up(l->count[i], 64);
    host[i] = first > from ? first : from;
    host[n + i] = (end < to ? end : to) - host[i]; /* below 0: none */
  }
  int rc = count_on(l->device, host, l->parameters, a, b);
  const uint32_t *parts = (const uint32_t *)(host + 2 * n);
  for (size_t i = 0; rc == FSAM_OK && i < n; i++) {
    counts[i] = 0;
    for (int p = 0; p < BLOCKS_EACH; p++) counts[i] += parts[i * BLOCKS_EACH + p];
  }
  free(host);
  if (rc == FSAM_OK && shared) rc = fsam_ranks_sum_numbers(counts, l->parameters);
  return rc;
}
