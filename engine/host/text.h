/* text.h: what the files of text processing share of text.c. */
#ifndef FSAM_TEXT_H
#define FSAM_TEXT_H

#include "engine/engine.h"

/* Orders each run of combining marks by their classes; marks of one class keep their order. `spare`
 * has room for all `count` code points. */
void fsam__order_marks(int32_t *codes, int32_t *spare, int64_t count);

#endif
