/* bert.h: the words of bert.c, one by one. */
#ifndef FSAM_BERT_H
#define FSAM_BERT_H

#include "engine/engine.h"

/* The next word at or after *end: the bytes [*begin, *end). false when there is none. */
bool fsam__bert_next_word(int64_t *begin, int64_t *end, const uint8_t *text, int64_t bytes,
                          const uint8_t *classes);

#endif
