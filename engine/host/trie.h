/* trie.h: a set of byte strings as a trie. Owns: building it, and the step along an edge. Leaves to
 * others: what is looked for (unigram.c, wordpiece.c). */
#ifndef FSAM_TRIE_H
#define FSAM_TRIE_H

#include "engine/engine.h"

typedef struct {
  uint32_t key;  /* node << 8 | byte */
  uint32_t node; /* 0: the place is free */
} fsam__edge;

/* The edges are a hash table from (node, byte) to node; node 0 is the root, which no edge leads
 * to. */
typedef struct {
  fsam__edge *edges;
  uint64_t mask;  /* places for edges, a power of two, less one */
  int32_t *piece; /* [nodes] the string that ends at a node, counted from 0, or -1 */
} fsam__trie;

/* The trie of `count` strings, which stand end to end in `bytes` and end at ends[i]; of equal ones
 * the last counts. `what` begins the message. Free it after a failure, too. */
int fsam__trie_build(fsam__trie *trie, const uint8_t *bytes, const int64_t *ends, int64_t count,
                     const char *what);
void fsam__trie_free(fsam__trie *trie);

/* The place of an edge, or the free place where it would go. */
static inline fsam__edge *fsam__trie_edge(const fsam__trie *trie, uint32_t node, uint8_t byte) {
  uint32_t key = node << 8 | byte;
  uint64_t at = (key * UINT64_C(0x9E3779B97F4A7C15) >> 32) & trie->mask;
  while (trie->edges[at].node && trie->edges[at].key != key) at = (at + 1) & trie->mask;
  return &trie->edges[at];
}

/* The node that a byte leads to, 0 when there is none. */
static inline uint32_t fsam__trie_next(const fsam__trie *trie, uint32_t node, uint8_t byte) {
  return fsam__trie_edge(trie, node, byte)->node;
}

#endif
