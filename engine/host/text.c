/* text.c: the primitives of Unicode text that libraries do best: character properties and normal
 * forms (utf8proc), regular expressions (PCRE2). Leaves to others: tokenization (lua/fsam/text). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "engine/host/text.h"

/* -- Unicode ----------------------------------------------------------------------------------- */

const char *fsam_unicode_category(int32_t codepoint) { return utf8proc_category_string(codepoint); }

int32_t fsam_unicode_lower(int32_t codepoint) { return utf8proc_tolower(codepoint); }

/* Decomposes text without ordering its marks. Returns how many code points that gives, at most
 * `room` of which are written. */
static utf8proc_ssize_t decompose(utf8proc_int32_t *codes, int64_t room, const uint8_t *text,
                                  int64_t bytes, utf8proc_option_t options) {
  utf8proc_ssize_t count = 0;
  int boundary = 0;
  for (int64_t i = 0; i < bytes;) {
    utf8proc_int32_t code;
    utf8proc_ssize_t step = utf8proc_iterate(text + i, (utf8proc_ssize_t)(bytes - i), &code);
    if (step < 0) return step;
    bool fits = count < room;
    utf8proc_ssize_t n = utf8proc_decompose_char(code, fits ? codes + count : NULL,
                                                 fits ? room - count : 0, options, &boundary);
    if (n < 0) return n;
    count += n;
    i += step;
  }
  return count;
}

static int class_of(utf8proc_int32_t code) {
  return utf8proc_get_property(code)->combining_class & 0xFF;
}

/* A counting sort, since utf8proc's own exchange of neighbours takes quadratic time on a long
 * run. */
void fsam__order_marks(int32_t *codes, int32_t *spare, int64_t count) {
  for (int64_t first = 0; first < count;) {
    int64_t end = first;
    bool ordered = true;
    for (int before = 0, class; end < count && (class = class_of(codes[end])) != 0; end++) {
      ordered = ordered && before <= class;
      before = class;
    }
    if (!ordered) {
      int64_t start[256] = {0}; /* where the next mark of each class goes */
      for (int64_t i = first; i < end; i++) start[class_of(codes[i])]++;
      for (int64_t class = 0, sum = 0; class < 256; class++) {
        int64_t marks = start[class];
        start[class] = sum;
        sum += marks;
      }
      for (int64_t i = first; i < end; i++) spare[start[class_of(codes[i])]++] = codes[i];
      memcpy(codes + first, spare, (size_t)(end - first) * sizeof *codes);
    }
    first = end;
    while (first < count && class_of(codes[first]) == 0) first++;
  }
}

int fsam_unicode_normalize(uint8_t *out, int64_t *out_bytes, int64_t capacity, const uint8_t *text,
                           int64_t bytes, int form) {
  static const int forms[] = {
      UTF8PROC_DECOMPOSE,
      UTF8PROC_COMPOSE,
      UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
      UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
  };
  if (form < 0 || form > 3)
    return fsam__fail(FSAM_EINVAL, "unicode_normalize: form is %d, expected 0 … 3", form);
  if (bytes < 0)
    return fsam__fail(FSAM_EINVAL, "unicode_normalize: bytes is %lld, expected 0 or more",
                      (long long)bytes);
  utf8proc_option_t options = (utf8proc_option_t)(UTF8PROC_STABLE | forms[form]);
  utf8proc_ssize_t count = decompose(NULL, 0, text, bytes, options);
  if (count < 0)
    return fsam__fail(FSAM_EINVAL, "unicode_normalize: %s", utf8proc_errmsg(count));
  utf8proc_int32_t *codes = malloc(2 * ((size_t)count + 1) * sizeof *codes);
  if (!codes) return fsam__fail(FSAM_ENOMEM, "unicode_normalize: no memory");
  decompose(codes, count, text, bytes, options);
  fsam__order_marks(codes, codes + count + 1, count);
  if (form == 1 || form == 3) count = utf8proc_normalize_utf32(codes, count, options);
  uint8_t character[4];
  int64_t size = 0;
  for (utf8proc_ssize_t i = 0; i < count; i++) size += utf8proc_encode_char(codes[i], character);
  if (size <= capacity)
    for (utf8proc_ssize_t i = 0; i < count; i++) out += utf8proc_encode_char(codes[i], out);
  free(codes);
  *out_bytes = size;
  return FSAM_OK;
}

/* -- regular expressions ----------------------------------------------------------------------- */

struct fsam_regex {
  pcre2_code *code;
  pcre2_match_data *match;
  bool jit; /* compiled to machine code */
};

void fsam_regex_free(fsam_regex *regex) {
  if (!regex) return;
  pcre2_match_data_free(regex->match);
  pcre2_code_free(regex->code);
  free(regex);
}

int fsam_regex_new(fsam_regex **out, const char *pattern) {
  int error;
  PCRE2_SIZE where;
  fsam_regex *regex = calloc(1, sizeof *regex);
  if (!regex) return fsam__fail(FSAM_ENOMEM, "regex_new: no memory");
  regex->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                              &error, &where, NULL);
  if (!regex->code) {
    PCRE2_UCHAR reason[160];
    pcre2_get_error_message(error, reason, sizeof reason);
    free(regex);
    return fsam__fail(FSAM_EINVAL, "regex_new: %s, at byte %lld of the pattern",
                      (const char *)reason, (long long)where);
  }
  regex->jit = pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE) == 0;
  regex->match = pcre2_match_data_create_from_pattern(regex->code, NULL);
  if (!regex->match) {
    fsam_regex_free(regex);
    return fsam__fail(FSAM_ENOMEM, "regex_new: no memory");
  }
  *out = regex;
  return FSAM_OK;
}

/* One match at or after `from`. Machine code has a small fixed stack; a match that needs more is
 * tried again by the interpreter, which takes its memory from the heap. */
static int match_at(fsam_regex *regex, const uint8_t *text, int64_t bytes, int64_t from,
                    uint32_t options) {
  int rc = pcre2_match(regex->code, text, (PCRE2_SIZE)bytes, (PCRE2_SIZE)from, options,
                       regex->match, NULL);
  if (regex->jit && rc == PCRE2_ERROR_JIT_STACKLIMIT)
    rc = pcre2_match(regex->code, text, (PCRE2_SIZE)bytes, (PCRE2_SIZE)from, options | PCRE2_NO_JIT,
                     regex->match, NULL);
  return rc;
}

/* The first byte after the character at i. */
static int64_t next_character(const uint8_t *text, int64_t bytes, int64_t i) {
  do i++;
  while (i < bytes && (text[i] & 0xC0) == 0x80);
  return i;
}

int fsam_regex_find_all(fsam_regex *regex, int64_t *count, int64_t *bounds, int64_t capacity,
                        const uint8_t *text, int64_t bytes) {
  if (bytes < 0)
    return fsam__fail(FSAM_EINVAL, "regex_find_all: bytes is %lld, expected 0 or more",
                      (long long)bytes);
  const PCRE2_SIZE *found = pcre2_get_ovector_pointer(regex->match);
  uint32_t options = 0; /* the first match checks the whole text's UTF-8 */
  int64_t from = 0;
  *count = 0;
  while (from <= bytes) {
    int rc = match_at(regex, text, bytes, from, options);
    if (rc == PCRE2_ERROR_NOMATCH) break;
    if (rc < 0) {
      PCRE2_UCHAR reason[160];
      pcre2_get_error_message(rc, reason, sizeof reason);
      return fsam__fail(rc == PCRE2_ERROR_NOMEMORY ? FSAM_ENOMEM : FSAM_EINVAL,
                        "regex_find_all: %s", (const char *)reason);
    }
    int64_t begin = (int64_t)found[0], end = (int64_t)found[1];
    if (end < from || begin > end) /* \K inside a lookaround can do this */
      return fsam__fail(FSAM_EINVAL, "regex_find_all: a match ends before it begins");
    if (*count == capacity)
      return fsam__fail(FSAM_EINVAL, "regex_find_all: more than %lld matches", (long long)capacity);
    bounds[2 * *count] = begin;
    bounds[2 * *count + 1] = end;
    ++*count;
    from = end > begin ? end : next_character(text, bytes, end);
    options = PCRE2_NO_UTF_CHECK;
  }
  return FSAM_OK;
}
