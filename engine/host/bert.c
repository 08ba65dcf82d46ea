/* bert.c: BERT's normalisation and its words, in one pass over the text each. Leaves to others: the
 * classes of code points (lua/fsam/text/unicode_tables.lua), decomposition and lower case of one
 * code point (utf8proc), pieces of words (wordpiece.c). */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "engine/host/bert.h"
#include "engine/host/text.h"

#define REPLACEMENT 0xFFFD

/* The bytes of the ill-formed sequence at text[0]: its longest prefix that could go on. */
static int64_t ill_formed_bytes(const uint8_t *text, int64_t bytes) {
  uint8_t lead = text[0];
  if (lead < 0xC2 || lead > 0xF4) return 1;
  int64_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4, size = 1;
  for (; size < length && size < bytes; size++) {
    uint8_t least = 0x80, most = 0xBF;
    if (size == 1 && lead == 0xE0) least = 0xA0; /* no overlong forms */
    if (size == 1 && lead == 0xF0) least = 0x90;
    if (size == 1 && lead == 0xED) most = 0x9F; /* no surrogates */
    if (size == 1 && lead == 0xF4) most = 0x8F; /* nothing past U+10FFFF */
    if (text[size] < least || text[size] > most) break;
  }
  return size;
}

/* The code point at *at, which moves past it. */
static inline int32_t next_code(const uint8_t *text, int64_t bytes, int64_t *at) {
  if (text[*at] < 0x80) return text[(*at)++];
  utf8proc_int32_t code;
  utf8proc_ssize_t step = utf8proc_iterate(text + *at, (utf8proc_ssize_t)(bytes - *at), &code);
  if (step <= 0) {
    step = (utf8proc_ssize_t)ill_formed_bytes(text + *at, bytes - *at);
    code = REPLACEMENT;
  }
  *at += step;
  return code;
}

/* -- normalisation ----------------------------------------------------------------------------- */

typedef struct {
  const fsam_bert *bert;
  uint8_t *out;
  int64_t size, capacity;
  int32_t *marks; /* of decomposed text, not in their order yet; as many more places are spare */
  int64_t count, room;
} writer;

static void put(writer *w, int32_t code) {
  uint8_t character[4];
  if (code < 0x80) {
    if (w->size < w->capacity) w->out[w->size] = (uint8_t)code;
    w->size++;
    return;
  }
  utf8proc_ssize_t n = utf8proc_encode_char(code, character);
  if (w->size + n <= w->capacity) memcpy(w->out + w->size, character, (size_t)n);
  w->size += n;
}

static int32_t lower_of(const fsam_bert *bert, int32_t code) {
  if (code < 0x80) return code >= 'A' && code <= 'Z' ? code + 32 : code;
  int64_t low = 0, high = bert->lower_count;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (bert->lower[2 * middle] == code) return bert->lower[2 * middle + 1];
    if (bert->lower[2 * middle] < code) low = middle + 1;
    else high = middle;
  }
  return utf8proc_tolower(code);
}

static bool is_stripped(const fsam_bert *bert, int32_t code) {
  return bert->strip_accents && bert->classes[code] & FSAM_CLASS_MARK;
}

static void put_simplified(writer *w, int32_t code) {
  if (is_stripped(w->bert, code)) return;
  if (!w->bert->lowercase) {
    put(w, code);
    return;
  }
  put(w, lower_of(w->bert, code));
  if (code == 0x130) put(w, 0x307); /* the one code point whose lower case is two */
}

/* Writes the marks that wait, in the order of their classes. */
static void put_marks(writer *w) {
  fsam__order_marks(w->marks, w->marks + w->room, w->count);
  for (int64_t i = 0; i < w->count; i++) put_simplified(w, w->marks[i]);
  w->count = 0;
}

static void put_base(writer *w, int32_t code) {
  if (w->count > 0) put_marks(w);
  put_simplified(w, code);
}

static int keep_mark(writer *w, int32_t code) {
  if (w->count == w->room) {
    int64_t room = 2 * w->room + 64;
    int32_t *marks = realloc(w->marks, 2 * (size_t)room * sizeof *marks);
    if (!marks) return fsam__fail(FSAM_ENOMEM, "bert_normalize: no memory");
    w->marks = marks;
    w->room = room;
  }
  w->marks[w->count++] = code;
  return FSAM_OK;
}

/* Decomposes a code point. Marks wait for the next code point that is none, which ends their run;
 * those that are stripped need not wait, since they do not change the order of the others. */
static int put_decomposed(writer *w, int32_t code) {
  const fsam_bert *bert = w->bert;
  if (!bert->strip_accents || code < 0x80 || bert->classes[code] & FSAM_CLASS_INERT) {
    put_base(w, code);
    return FSAM_OK;
  }
  utf8proc_int32_t parts[8]; /* canonical decompositions have at most four */
  int boundary = 0;
  utf8proc_ssize_t n = utf8proc_decompose_char(code, parts, 8, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
                                               &boundary);
  if (n < 0 || n > 8)
    return fsam__fail(FSAM_EINTERNAL, "bert_normalize: U+%04X has no decomposition",
                      (unsigned)code);
  for (utf8proc_ssize_t i = 0; i < n; i++) {
    int rc = FSAM_OK;
    if (utf8proc_get_property(parts[i])->combining_class == 0) put_base(w, parts[i]);
    else if (!is_stripped(bert, parts[i])) rc = keep_mark(w, parts[i]);
    if (rc != FSAM_OK) return rc;
  }
  return FSAM_OK;
}

int fsam_bert_normalize(uint8_t *out, int64_t *out_bytes, int64_t capacity, const uint8_t *text,
                        int64_t bytes, const fsam_bert *bert) {
  if (bytes < 0 || capacity < 0)
    return fsam__fail(FSAM_EINVAL, "bert_normalize: a text of %lld bytes with room for %lld",
                      (long long)bytes, (long long)capacity);
  writer w = {.bert = bert, .out = out, .capacity = capacity};
  int rc = FSAM_OK;
  for (int64_t at = 0; at < bytes && rc == FSAM_OK;) {
    int32_t code = next_code(text, bytes, &at);
    uint8_t class = bert->classes[code];
    if (bert->clean_text && class & FSAM_CLASS_DROPPED) continue;
    if (bert->clean_text && class & FSAM_CLASS_SPACE) code = ' ';
    bool apart = bert->chinese && class & FSAM_CLASS_CHINESE;
    if (apart) put_base(&w, ' ');
    rc = put_decomposed(&w, code);
    if (apart) put_base(&w, ' ');
  }
  if (w.count > 0) put_marks(&w);
  free(w.marks);
  *out_bytes = w.size;
  return rc;
}

/* -- words ------------------------------------------------------------------------------------- */

bool fsam__bert_next_word(int64_t *begin, int64_t *end, const uint8_t *text, int64_t bytes,
                          const uint8_t *classes) {
  int64_t from = *end, after = from;
  uint8_t class = FSAM_CLASS_SPACE;
  while (from < bytes && (class = classes[next_code(text, bytes, &after)]) & FSAM_CLASS_SPACE)
    from = after;
  if (from >= bytes) return false;
  *begin = from;
  *end = after;
  if (class & FSAM_CLASS_PUNCTUATION) return true;
  const uint8_t ends = FSAM_CLASS_SPACE | FSAM_CLASS_PUNCTUATION;
  while (after < bytes && !(classes[next_code(text, bytes, &after)] & ends)) *end = after;
  return true;
}

int fsam_bert_words(int64_t *bounds, int64_t *count, int64_t capacity, const uint8_t *text,
                    int64_t bytes, const uint8_t *classes) {
  if (bytes < 0 || capacity < bytes)
    return fsam__fail(FSAM_EINVAL, "bert_words: a text of %lld bytes with room for %lld words",
                      (long long)bytes, (long long)capacity);
  int64_t words = 0;
  for (int64_t begin, end = 0; fsam__bert_next_word(&begin, &end, text, bytes, classes); words++) {
    bounds[2 * words] = begin;
    bounds[2 * words + 1] = end;
  }
  *count = words;
  return FSAM_OK;
}
