/* folder.c: what is in a folder. The system tells names one by one, and may fail at any of them; a
 * folder whose names are only partly known is an error, never a smaller folder. Leaves to others:
 * what the names mean (lua/fsam/base/file.lua). */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

struct fsam_folder {
  DIR *names;
  char path[];
};

int fsam_folder_open(fsam_folder **out, const char *path) {
  fsam_folder *f = malloc(sizeof *f + strlen(path) + 1);
  if (!f) return fsam__fail(FSAM_ENOMEM, "%s: no memory", path);
  f->names = opendir(path);
  if (!f->names) {
    const int rc = fsam__fail(FSAM_EIO, "cannot open %s: %s", path, strerror(errno));
    free(f);
    return rc;
  }
  strcpy(f->path, path);
  *out = f;
  return FSAM_OK;
}

int fsam_folder_next(const char **name, fsam_folder *f) {
  const struct dirent *entry;
  do {
    errno = 0;
    entry = readdir(f->names);
    if (!entry && errno)
      return fsam__fail(FSAM_EIO, "cannot read %s: %s", f->path, strerror(errno));
  } while (entry && (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")));
  *name = entry ? entry->d_name : NULL;
  return FSAM_OK;
}

void fsam_folder_close(fsam_folder *f) {
  if (!f) return;
  closedir(f->names);
  free(f);
}
