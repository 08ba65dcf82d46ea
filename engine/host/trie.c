/* trie.c: building the trie of trie.h. */
#include <stdlib.h>
#include <string.h>

#include "engine/host/trie.h"

#define MAX_NODES ((int64_t)1 << 24) /* a key holds a node and a byte in 32 bits */

void fsam__trie_free(fsam__trie *trie) {
  free(trie->edges);
  free(trie->piece);
  *trie = (fsam__trie){0};
}

static void insert(fsam__trie *trie, const uint8_t *bytes, int64_t size, int32_t piece,
                   uint32_t *nodes) {
  uint32_t node = 0;
  for (int64_t i = 0; i < size; i++) {
    fsam__edge *edge = fsam__trie_edge(trie, node, bytes[i]);
    if (!edge->node) *edge = (fsam__edge){node << 8 | bytes[i], (*nodes)++};
    node = edge->node;
  }
  trie->piece[node] = piece;
}

int fsam__trie_build(fsam__trie *trie, const uint8_t *bytes, const int64_t *ends, int64_t count,
                     const char *what) {
  *trie = (fsam__trie){0};
  int64_t size = 0;
  for (int64_t i = 0; i < count; i++) {
    if (ends[i] < size)
      return fsam__fail(FSAM_EINVAL, "%s: piece %lld ends before it begins", what, (long long)i);
    size = ends[i];
  }
  if (size >= MAX_NODES)
    return fsam__fail(FSAM_EINVAL, "%s: the pieces have %lld bytes, expected fewer than %lld", what,
                      (long long)size, (long long)MAX_NODES);
  uint64_t places = 64;
  while (places * 3 / 4 < (uint64_t)size) places *= 2;
  trie->mask = places - 1;
  trie->edges = calloc(places, sizeof *trie->edges);
  trie->piece = malloc(((size_t)size + 1) * sizeof *trie->piece);
  if (!trie->edges || !trie->piece) return fsam__fail(FSAM_ENOMEM, "%s: no memory", what);
  memset(trie->piece, 0xFF, ((size_t)size + 1) * sizeof *trie->piece);
  uint32_t nodes = 1;
  for (int64_t i = 0, begin = 0; i < count; begin = ends[i++])
    insert(trie, bytes + begin, ends[i] - begin, (int32_t)i, &nodes);
  return FSAM_OK;
}
