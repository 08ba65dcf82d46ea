/* wordpiece.c: the longest piece that fits, again and again. Owns: the ids of words. Leaves to
 * others: finding pieces (trie.h), words (bert.c), normalisation and files (lua/fsam/text). */
#include <stdlib.h>
#include <string.h>

#include "engine/host/bert.h"
#include "engine/host/trie.h"

struct fsam_wordpiece {
  fsam__trie trie;
  int32_t *ids;
  int64_t within; /* the node of the prefix; -1: no piece has it */
  int64_t max_characters;
  int32_t unknown_id;
};

void fsam_wordpiece_free(fsam_wordpiece *w) {
  if (!w) return;
  fsam__trie_free(&w->trie);
  free(w->ids);
  free(w);
}

/* The node that all bytes of a prefix lead to, or -1. */
static int64_t node_of(const fsam__trie *trie, const uint8_t *prefix, int64_t bytes) {
  uint32_t node = 0;
  for (int64_t i = 0; i < bytes; i++) {
    node = fsam__trie_next(trie, node, prefix[i]);
    if (!node) return -1;
  }
  return node;
}

int fsam_wordpiece_new(fsam_wordpiece **out, const fsam_word_pieces *p) {
  fsam_wordpiece *w = calloc(1, sizeof *w);
  if (!w) return fsam__fail(FSAM_ENOMEM, "wordpiece_new: no memory");
  int rc = fsam__trie_build(&w->trie, p->bytes, p->ends, p->count, "wordpiece_new");
  if (rc == FSAM_OK) {
    w->ids = malloc(((size_t)p->count + 1) * sizeof *w->ids);
    if (!w->ids) rc = fsam__fail(FSAM_ENOMEM, "wordpiece_new: no memory");
  }
  if (rc != FSAM_OK) {
    fsam_wordpiece_free(w);
    return rc;
  }
  if (p->count > 0) memcpy(w->ids, p->ids, (size_t)p->count * sizeof *w->ids);
  w->within = node_of(&w->trie, p->prefix, p->prefix_bytes);
  w->max_characters = p->max_characters;
  w->unknown_id = p->unknown_id;
  *out = w;
  return FSAM_OK;
}

static bool begins_character(uint8_t byte) { return (byte & 0xC0) != 0x80; }

/* The longest piece that begins at `from`: where it ends, or `from` when none fits. */
static int64_t longest(const fsam_wordpiece *w, int32_t *id, const uint8_t *word, int64_t bytes,
                       int64_t from) {
  int64_t end = from;
  if (from > 0 && w->within < 0) return end;
  uint32_t node = from > 0 ? (uint32_t)w->within : 0;
  for (int64_t i = from; i < bytes;) {
    node = fsam__trie_next(&w->trie, node, word[i++]);
    if (!node) break;
    int32_t piece = w->trie.piece[node];
    if (piece < 0 || (i < bytes && !begins_character(word[i]))) continue;
    *id = w->ids[piece];
    end = i;
  }
  return end;
}

/* Appends the ids of one word, at most one for each byte. */
static int64_t append_word(const fsam_wordpiece *w, int32_t *ids, int64_t count,
                           const uint8_t *word, int64_t bytes) {
  int64_t characters = 0, first = count;
  for (int64_t i = 0; i < bytes; i++) characters += begins_character(word[i]);
  bool known = characters <= w->max_characters;
  for (int64_t from = 0; known && from < bytes;) {
    int64_t end = longest(w, &ids[count], word, bytes, from);
    known = end > from;
    count += known;
    from = end;
  }
  if (known) return count;
  ids[first] = w->unknown_id;
  return first + 1;
}

int fsam_wordpiece_encode(const fsam_wordpiece *w, int32_t *ids, int64_t *count, int64_t capacity,
                          const uint8_t *text, int64_t bytes, const uint8_t *classes) {
  if (bytes < 0 || capacity < bytes)
    return fsam__fail(FSAM_EINVAL, "wordpiece_encode: a text of %lld bytes with room for %lld ids",
                      (long long)bytes, (long long)capacity);
  int64_t n = 0;
  if (!classes && bytes > 0) n = append_word(w, ids, 0, text, bytes);
  for (int64_t begin, end = 0;
       classes && fsam__bert_next_word(&begin, &end, text, bytes, classes);)
    n = append_word(w, ids, n, text + begin, end - begin);
  *count = n;
  return FSAM_OK;
}
