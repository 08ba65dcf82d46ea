/* error.c: the one error message of each thread, and the version of the library. The code that sees
 * a fault sets the message; its callers return the code unchanged. */
#include <stdarg.h>
#include <stdio.h>

#include "engine/engine.h"

static _Thread_local char message[512];

int fsam_abi(void) { return FSAM_ABI; }

const char *fsam_version(void) { return FSAM_VERSION; }

const char *fsam_error(void) { return message; }

int fsam__fail(int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  return code;
}
