/* cubin_cache_cuda.c: compiled programs on disk, a file for each, named by a digest of everything
 * that its content depends on. A file is written under another name and renamed, and has its length
 * and a digest of its bytes in it: a file that was cut short or damaged is ignored, and the program
 * compiled again. Losing the folder, or being unable to write it, costs time only. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/vendor/nvrtc_cuda.h"

typedef struct header {
  char magic[8];
  uint64_t bytes;
  cubin_key content;
} header;

static const char MAGIC[8] = "fsamcub";

/* -- digests ----------------------------------------------------------------------------------- */

/* Two FNV-1a hashes of 64 bits, from different starts. Not against forgers: a program that can
 * write the folder can run code as this user anyway. */
static void digest(cubin_key *key, const void *data, size_t bytes) {
  const unsigned char *p = data;
  for (size_t i = 0; i < bytes; i++) {
    key->word[0] = (key->word[0] ^ p[i]) * 0x100000001b3u;
    key->word[1] = (key->word[1] ^ p[i]) * 0x100000001b3u;
    key->word[1] ^= key->word[1] >> 29;
  }
}

static cubin_key fresh(void) { return (cubin_key){{0xcbf29ce484222325u, 0x9e3779b97f4a7c15u}}; }

cubin_key cubin_key_of(const char *const *parts, int count) {
  cubin_key key = fresh();
  for (int i = 0; i < count; i++) digest(&key, parts[i], strlen(parts[i]) + 1);
  return key;
}

static cubin_key content_of(const void *image, size_t bytes) {
  cubin_key key = fresh();
  digest(&key, image, bytes);
  return key;
}

/* -- files ------------------------------------------------------------------------------------- */

/* The folder's path; with `make` the folder is created. False where the environment names none. */
static bool folder_of(char path[1024], bool make) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  const bool own = cache && cache[0] == '/'; /* XDG: relative paths are ignored */
  if (!own && !home) return false;
  const int parent = snprintf(path, 1024, "%s%s", own ? cache : home, own ? "" : "/.cache");
  if (parent < 0 || parent > 900) return false;
  if (make) mkdir(path, 0700);
  strcpy(path + parent, "/fsam-lua");
  return !make || mkdir(path, 0700) == 0 || errno == EEXIST;
}

static bool path_of(char path[1024], cubin_key key, bool make) {
  if (!folder_of(path, make)) return false;
  const size_t length = strlen(path);
  snprintf(path + length, 1024 - length, "/%016llx%016llx.cubin", (unsigned long long)key.word[0],
           (unsigned long long)key.word[1]);
  return true;
}

bool cubin_cache_read(void **image, size_t *bytes, cubin_key key) {
  char path[1024];
  header h;
  struct stat info;
  if (!path_of(path, key, false)) return false;
  FILE *file = fopen(path, "rb");
  if (!file) return false;
  bool good = fread(&h, sizeof h, 1, file) == 1 && !memcmp(h.magic, MAGIC, sizeof h.magic) &&
              fstat(fileno(file), &info) == 0 && (uint64_t)info.st_size == sizeof h + h.bytes;
  *image = good ? malloc((size_t)h.bytes + 1) : NULL;
  good = *image && fread(*image, 1, (size_t)h.bytes, file) == (size_t)h.bytes;
  fclose(file);
  if (good) {
    const cubin_key content = content_of(*image, (size_t)h.bytes);
    good = !memcmp(&content, &h.content, sizeof content);
  }
  *bytes = good ? (size_t)h.bytes : 0;
  if (good) return true;
  free(*image);
  *image = NULL;
  return false;
}

void cubin_cache_write(const void *image, size_t bytes, cubin_key key) {
  char path[1024], host[65] = "", beside[1200];
  if (!path_of(path, key, true)) return;
  gethostname(host, sizeof host - 1); /* several hosts may share the folder */
  snprintf(beside, sizeof beside, "%s.%s.%ld", path, host, (long)getpid());
  FILE *file = fopen(beside, "wb");
  if (!file) return;
  header h = {.bytes = bytes, .content = content_of(image, bytes)};
  memcpy(h.magic, MAGIC, sizeof h.magic);
  bool good = fwrite(&h, sizeof h, 1, file) == 1 && fwrite(image, 1, bytes, file) == bytes;
  good = fclose(file) == 0 && good;
  if (!good || rename(beside, path)) unlink(beside);
}
