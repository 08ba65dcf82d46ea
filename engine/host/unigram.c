/* unigram.c: the best split of a text by a unigram language model (Kudo 2018). Owns: the
 * Viterbi search. Leaves to others: finding pieces (trie.h), normalisation, words, and files
 * (lua/fsam/text). */
#include <stdlib.h>
#include <string.h>

#include "engine/host/trie.h"

typedef struct {
  double score; /* of the best split of the text up to here */
  int32_t from; /* where its last piece begins; -1: none reaches here */
  int32_t id;
} place;

struct fsam_unigram {
  fsam__trie trie;
  double *scores;   /* [count] */
  int32_t *ids;     /* [count] */
  uint8_t *whole;   /* [count] */
  place *places;    /* [room] */
  int64_t room;
  double unknown, whole_per_byte;
  int32_t unknown_id;
  bool narrow, by_byte;
  int32_t byte_ids[256];
};

void fsam_unigram_free(fsam_unigram *u) {
  if (!u) return;
  fsam__trie_free(&u->trie);
  free(u->scores);
  free(u->ids);
  free(u->whole);
  free(u->places);
  free(u);
}

static bool reserve(fsam_unigram *u, int64_t count) {
  u->scores = malloc(((size_t)count + 1) * sizeof *u->scores);
  u->ids = malloc(((size_t)count + 1) * sizeof *u->ids);
  u->whole = malloc((size_t)count + 1);
  return u->scores && u->ids && u->whole;
}

int fsam_unigram_new(fsam_unigram **out, const fsam_pieces *p) {
  fsam_unigram *u = calloc(1, sizeof *u);
  if (!u) return fsam__fail(FSAM_ENOMEM, "unigram_new: no memory");
  int rc = fsam__trie_build(&u->trie, p->bytes, p->ends, p->count, "unigram_new");
  if (rc == FSAM_OK && !reserve(u, p->count))
    rc = fsam__fail(FSAM_ENOMEM, "unigram_new: no memory");
  if (rc != FSAM_OK) {
    fsam_unigram_free(u);
    return rc;
  }
  if (p->count > 0) {
    memcpy(u->scores, p->scores, (size_t)p->count * sizeof *u->scores);
    memcpy(u->ids, p->ids, (size_t)p->count * sizeof *u->ids);
    memcpy(u->whole, p->whole, (size_t)p->count);
  }
  u->unknown = p->unknown;
  u->whole_per_byte = p->whole_per_byte;
  u->unknown_id = p->unknown_id;
  u->narrow = p->narrow != 0;
  u->by_byte = p->bytes_ids != NULL;
  if (u->by_byte) memcpy(u->byte_ids, p->bytes_ids, sizeof u->byte_ids);
  *out = u;
  return FSAM_OK;
}

static int64_t character_bytes(uint8_t lead) {
  return lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* Takes the way over a piece from `from` to *to if it is better than what is known. SentencePiece
 * compares a sum of doubles with the stored float, and stores a float. */
static void offer(const fsam_unigram *u, place *to, int64_t from, double score, int32_t id) {
  if (to->from >= 0 && !(score > to->score)) return;
  *to = (place){u->narrow ? (double)(float)score : score, (int32_t)from, id};
}

static double score_of(const fsam_unigram *u, int32_t piece, int64_t bytes) {
  if (!u->whole[piece]) return u->scores[piece];
  double score = (double)bytes * u->whole_per_byte;
  return (u->narrow ? (double)(float)score : score) - 0.1;
}

/* Offers every piece that begins at `from`, and the character there as unknown if it is none. */
static int64_t advance(const fsam_unigram *u, const uint8_t *text, int64_t bytes, int64_t from) {
  place *places = u->places;
  double before = places[from].score;
  int64_t character = character_bytes(text[from]);
  if (character > bytes - from) character = bytes - from;
  bool known = false;
  uint32_t node = 0;
  for (int64_t i = from; i < bytes; i++) {
    node = fsam__trie_next(&u->trie, node, text[i]);
    if (!node) break;
    int32_t piece = u->trie.piece[node];
    if (piece < 0) continue;
    int64_t size = i + 1 - from;
    offer(u, &places[i + 1], from, score_of(u, piece, size) + before, u->ids[piece]);
    known = known || size == character;
  }
  if (!known) {
    double score = u->unknown + before;
    if (u->narrow) score = (double)(float)score;
    offer(u, &places[from + character], from, score, u->unknown_id);
  }
  return from + character;
}

/* Appends an unknown stretch, by its bytes where every one has an id. */
static int64_t append_unknown(const fsam_unigram *u, int32_t *ids, int64_t count,
                              const uint8_t *text, int64_t bytes) {
  bool by_byte = u->by_byte;
  for (int64_t i = 0; by_byte && i < bytes; i++) by_byte = u->byte_ids[text[i]] >= 0;
  if (!by_byte) {
    ids[count] = u->unknown_id;
    return count + 1;
  }
  for (int64_t i = 0; i < bytes; i++) ids[count + i] = u->byte_ids[text[i]];
  return count + bytes;
}

/* Appends the ids of one text. The way back is turned round through `from`, which then says where
 * the piece that begins at a place ends. */
static int64_t encode(const fsam_unigram *u, int32_t *ids, int64_t count, const uint8_t *text,
                      int64_t bytes) {
  place *places = u->places;
  for (int64_t i = 0; i <= bytes; i++) places[i].from = -1;
  places[0].score = 0;
  for (int64_t at = 0; at < bytes;) at = advance(u, text, bytes, at);
  int32_t id = 0;
  for (int64_t end = bytes, next = bytes; end > 0;) {
    int64_t from = places[end].from;
    int32_t own = places[end].id;
    places[end].from = (int32_t)next;
    places[end].id = id;
    next = end;
    id = own;
    end = from;
    if (end == 0) places[0] = (place){0, (int32_t)next, id};
  }
  for (int64_t at = 0; at < bytes;) {
    int64_t end = places[at].from;
    if (places[at].id != u->unknown_id) {
      ids[count++] = places[at].id;
    } else {
      while (end < bytes && places[end].id == u->unknown_id) end = places[end].from;
      count = append_unknown(u, ids, count, text + at, end - at);
    }
    at = end;
  }
  return count;
}

/* Where the word that begins at `from` ends: before the next U+2581. */
static int64_t word_end(const uint8_t *text, int64_t bytes, int64_t from) {
  for (int64_t i = from + 1; i + 2 < bytes; i++)
    if (text[i] == 0xE2 && text[i + 1] == 0x96 && text[i + 2] == 0x81) return i;
  return bytes;
}

int fsam_unigram_encode(fsam_unigram *u, int32_t *ids, int64_t *count, int64_t capacity,
                        const uint8_t *text, int64_t bytes, int by_word) {
  if (bytes < 0 || bytes >= INT32_MAX || capacity < bytes)
    return fsam__fail(FSAM_EINVAL, "unigram_encode: a text of %lld bytes with room for %lld ids",
                      (long long)bytes, (long long)capacity);
  if (bytes >= u->room) {
    free(u->places);
    u->room = 2 * bytes + 1024;
    u->places = malloc((size_t)u->room * sizeof *u->places);
    if (!u->places) {
      u->room = 0;
      return fsam__fail(FSAM_ENOMEM, "unigram_encode: no memory");
    }
  }
  *count = 0;
  for (int64_t at = 0; at < bytes;) {
    int64_t end = by_word ? word_end(text, bytes, at) : bytes;
    *count = encode(u, ids, *count, text + at, end - at);
    at = end;
  }
  return FSAM_OK;
}
