/* tuning.h: what is chosen by timing on a GPU, kept as text for a file: a line that says for which
 * libraries and GPU the choices hold, then a line "KEY = CHOICE" for each, in the order in which
 * they were made. Leaves to others: what is timed, and what keys and choices mean. */
#ifndef FSAM_TUNING_H
#define FSAM_TUNING_H

#include <stdbool.h>

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TUNING_LINE = 320 }; /* bytes of a line, at most */

/* From now on there are choices: those of `known`, a text of an earlier run or NULL, if its first
 * line is `head`, which ends in a newline. */
int fsam__tuning_begin(fsam_device *device, const char *head, const char *known);
/* Has it begun? */
bool fsam__tuning_is_on(fsam_device *device);
/* What follows "KEY = " in the last line of that key, up to a newline; NULL where there is none. */
const char *fsam__tuning_find(fsam_device *device, const char *key);
/* Adds a line. Of two with one key the later counts. */
int fsam__tuning_add(fsam_device *device, const char *key, const char *choice);
/* The text; "" before the beginning. It lives until the next addition. */
const char *fsam__tuning_text(fsam_device *device);

#ifdef __cplusplus
}
#endif
#endif
