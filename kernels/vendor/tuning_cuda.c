/* tuning_cuda.c: the text of what was chosen by timing (tuning.h), one for each device. It has a
 * few hundred lines, and is read at plain passes alone, so a key is sought line by line. */
#include "kernels/vendor/tuning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tuning {
  char *text;
} tuning;

static void tuning_free(void *kept) {
  tuning *t = kept;
  free(t->text);
  free(t);
}

/* The device's text, or NULL before the beginning. */
static tuning *tuning_of(fsam_device *device) {
  void **slot;
  return fsam__device_slot(&slot, device, tuning_free) < 0 ? NULL : *slot;
}

static int no_memory(void) { return fsam__fail(FSAM_ENOMEM, "tuning: no memory for its text"); }

int fsam__tuning_begin(fsam_device *device, const char *head, const char *known) {
  void **slot;
  FSAM_TRY(fsam__device_slot(&slot, device, tuning_free));
  const char *from = known && !strncmp(known, head, strlen(head)) ? known : head;
  char *text = malloc(strlen(from) + 1);
  if (!text) return no_memory();
  strcpy(text, from);
  tuning *t = *slot;
  if (!t) t = *slot = calloc(1, sizeof *t);
  if (!t) {
    free(text);
    return no_memory();
  }
  free(t->text);
  t->text = text;
  return FSAM_OK;
}

bool fsam__tuning_is_on(fsam_device *device) { return tuning_of(device) != NULL; }

const char *fsam__tuning_find(fsam_device *device, const char *key) {
  const tuning *t = tuning_of(device);
  const size_t length = strlen(key);
  const char *found = NULL;
  for (const char *line = t ? t->text : NULL; line; line = strchr(line, '\n')) {
    line += *line == '\n';
    if (!strncmp(line, key, length) && !strncmp(line + length, " = ", 3)) found = line + length + 3;
  }
  return found;
}

int fsam__tuning_add(fsam_device *device, const char *key, const char *choice) {
  tuning *t = tuning_of(device);
  if (!t) return FSAM_OK;
  const size_t used = strlen(t->text), line = strlen(key) + strlen(choice) + sizeof " = \n";
  char *grown = realloc(t->text, used + line);
  if (!grown) return no_memory();
  t->text = grown;
  snprintf(grown + used, line, "%s = %s\n", key, choice);
  return FSAM_OK;
}

const char *fsam__tuning_text(fsam_device *device) {
  const tuning *t = tuning_of(device);
  return t ? t->text : "";
}
