/* error.c: the one error message of each thread, and the version of the library. The code that sees
 * a fault sets the message; its callers return the code unchanged. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

/* Two of the longest paths (PATH_MAX) and a sentence fit. */
static _Thread_local char message[9000];

int fsam_abi(void) { return FSAM_ABI; }

const char *fsam_version(void) { return FSAM_VERSION; }

const char *fsam_error(void) { return message; }

/* A longer message loses its middle: the reason stands at its end. */
static void cut_middle(size_t length, const char *format, va_list args) {
  static const char gap[] = " … ";
  const size_t half = (sizeof message - sizeof gap) / 2;
  char *whole = malloc(length + 1);
  if (!whole) return; /* what fits of its beginning is there already */
  vsnprintf(whole, length + 1, format, args);
  memcpy(message + half, gap, sizeof gap - 1);
  memcpy(message + half + sizeof gap - 1, whole + length - half, half + 1);
  free(whole);
}

int fsam__fail(int code, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  const int length = vsnprintf(message, sizeof message, format, args);
  if (length >= (int)sizeof message) cut_middle((size_t)length, format, again);
  va_end(again);
  va_end(args);
  return code;
}
