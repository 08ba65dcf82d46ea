/* file.c: files. Owns: reading numbers from a mapped file, with every range checked against its
 * size; a writer that checks every byte and ends with fsync; locks; the few path operations that
 * make replacing a folder safe. Leaves to others: mapping (mapping.c), what the bytes mean
 * (lua/fsam/formats). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/host/mapping.h"

/* -- bytes ------------------------------------------------------------------------------------- */

/* Are `count` elements of `width` bytes from `offset` inside the file? */
static int check_range(const fsam_file *file, int64_t offset, int64_t count, int64_t width) {
  if (offset >= 0 && count >= 0 && offset <= file->size && count <= (file->size - offset) / width)
    return FSAM_OK;
  return fsam__fail(
      FSAM_EINVAL, "%s: %lld elements of %lld bytes from byte %lld on, but it has %lld", file->path,
      (long long)count, (long long)width, (long long)offset, (long long)file->size);
}

int fsam_file_read(void *out, const fsam_file *file, int64_t offset, int64_t bytes) {
  FSAM_TRY(check_range(file, offset, bytes, 1));
  if (bytes) memcpy(out, file->data + offset, (size_t)bytes);
  return fsam_file_unchanged(file);
}

/* -- number formats, from unaligned little-endian bytes to f32 --------------------------------- */

typedef void converter(float *to, const uint8_t *from, int64_t count);

static void convert_f32(float *to, const uint8_t *from, int64_t count) {
  if (count) memcpy(to, from, (size_t)count * 4);
}

static void convert_bf16(float *to, const uint8_t *from, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, from + 2 * i, 2);
    uint32_t bits = (uint32_t)half << 16;
    memcpy(to + i, &bits, 4);
  }
}

/* IEEE binary16. Subnormals are the integer times 2^-24, which f32 holds exactly. */
static void convert_f16(float *to, const uint8_t *from, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, from + 2 * i, 2);
    uint32_t rest = half & 0x7fffu, bits;
    float small = (float)rest * 0x1p-24f;
    memcpy(&bits, &small, 4);
    if (rest >= 0x7c00u)
      bits = (rest << 13) | 0x7f800000u;
    else if (rest >= 0x0400u)
      bits = (rest << 13) + ((127u - 15u) << 23);
    bits |= (uint32_t)(half & 0x8000u) << 16;
    memcpy(to + i, &bits, 4);
  }
}

static void convert_f64(float *to, const uint8_t *from, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    double value;
    memcpy(&value, from + 8 * i, 8);
    to[i] = (float)value;
  }
}

/* How many numbers are infinite or NaN: those in whose exponent all bits are set. A block is
 * counted in 32 bits, several of which fit into a register. */
#define COUNT_ENDLESS(name, type, exponent)                                    \
  static int64_t name(const uint8_t *from, int64_t count) {                    \
    enum { BLOCK = 1 << 16 };                                                  \
    int64_t all = 0;                                                           \
    for (int64_t first = 0; first < count; first += BLOCK) {                   \
      const int n = count - first < BLOCK ? (int)(count - first) : BLOCK;      \
      uint32_t found = 0;                                                      \
      for (int i = 0; i < n; i++) {                                            \
        type bits;                                                             \
        memcpy(&bits, from + (first + i) * (int64_t)sizeof bits, sizeof bits); \
        found += (bits & (exponent)) == (exponent);                            \
      }                                                                        \
      all += found;                                                            \
    }                                                                          \
    return all;                                                                \
  }
COUNT_ENDLESS(endless_f32, uint32_t, 0x7f800000u)
COUNT_ENDLESS(endless_bf16, uint16_t, 0x7f80u)
COUNT_ENDLESS(endless_f16, uint16_t, 0x7c00u)
COUNT_ENDLESS(endless_f64, uint64_t, 0x7ff0000000000000u)

typedef struct stored_type {
  const char *name;
  int64_t width;      /* bytes */
  int dtype;          /* the tensor type with the same bits, or -1 */
  converter *convert; /* to f32; NULL for integers */
  int64_t (*endless)(const uint8_t *from, int64_t count);
} stored_type;

static const stored_type *find_type(const char *name) {
  static const stored_type types[] = {
      {"F32", 4, FSAM_F32, convert_f32, endless_f32},
      {"BF16", 2, FSAM_BF16, convert_bf16, endless_bf16},
      {"F16", 2, -1, convert_f16, endless_f16},
      {"F64", 8, -1, convert_f64, endless_f64},
      {"I32", 4, FSAM_I32, NULL, NULL},
  };
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (!strcmp(types[i].name, name)) return &types[i];
  return NULL;
}

int fsam_file_read_f32(float *out, const fsam_file *file, const char *type, int64_t offset,
                       int64_t count) {
  const stored_type *t = find_type(type);
  if (!t || !t->convert)
    return fsam__fail(FSAM_EINVAL, "%s: type %s does not become f32 (F32, F16, BF16, F64 do)",
                      file->path, type);
  FSAM_TRY(check_range(file, offset, count, t->width));
  if (count) t->convert(out, file->data + offset, count);
  return fsam_file_unchanged(file);
}

/* A tensor is filled in pieces that stay in the cache, where each is looked at and perhaps
 * converted on its way. */
enum { PIECE = 1 << 16 }; /* elements; f64, which would need twice the bytes, comes in halves */

typedef struct filling {
  fsam_tensor *to;
  fsam_device *device;
  fsam_file *file;
  const stored_type *type;
  int64_t offset, width, count, most; /* first byte; of an element of `to`; elements; of a piece */
} filling;

/* Piece k: its elements, where they go and where they stand in the file. */
static int64_t piece_of(const filling *f, int64_t k, uint8_t **to, int64_t *at) {
  const int64_t first = k * f->most, left = f->count - first;
  *to = (uint8_t *)f->to->data + first * f->width;
  *at = f->offset + first * f->type->width;
  return left < f->most ? left : f->most;
}

/* For memory that the host writes: a piece of the same type goes there at once, another through
 * `piece`. Returns 0 or errno, as any thread may call it. */
static int fetch_piece(const filling *f, int64_t k, float *piece, int64_t *endless) {
  uint8_t *to;
  int64_t at;
  const int64_t n = piece_of(f, k, &to, &at);
  f->device->memory->prepare(to, (size_t)(n * f->width));
  void *fetched = piece ? (void *)piece : to;
  const int failed = fsam__file_fetch(f->file, fetched, at, n * f->type->width);
  if (failed) return failed;
  if (f->type->endless) *endless += f->type->endless(fetched, n);
  if (piece) f->type->convert((float *)to, fetched, n);
  return 0;
}

/* All threads share the work, because most of it is getting pages that no one has used yet. */
static int fill_on_host(const filling *f, int64_t pieces, bool same) {
  int64_t endless = 0;
  int failed = 0;
#pragma omp parallel if (pieces > 1) reduction(+ : endless)
  {
    float *piece = same ? NULL : malloc(PIECE * sizeof *piece);
    int mine = same || piece ? 0 : ENOMEM;
#pragma omp for schedule(dynamic)
    for (int64_t k = 0; k < pieces; k++)
      if (!mine) mine = fetch_piece(f, k, piece, &endless);
    free(piece);
    if (mine) {
#pragma omp atomic write
      failed = mine;
    }
  }
  f->file->not_finite += endless;
  errno = failed;
  return failed ? fsam__fail_errno("read", f->file->path) : FSAM_OK;
}

static int fill_on_device(const filling *f, int64_t pieces, bool same) {
  float *piece = same ? NULL : malloc(PIECE * sizeof *piece);
  if (!same && !piece) return fsam__fail(FSAM_ENOMEM, "no memory to convert %s", f->to->name);
  int rc = FSAM_OK;
  for (int64_t k = 0; rc == FSAM_OK && k < pieces; k++) {
    uint8_t *to;
    int64_t at;
    const int64_t n = piece_of(f, k, &to, &at);
    const void *source = f->file->data + at;
    if (f->type->endless) f->file->not_finite += f->type->endless(source, n);
    if (piece) {
      f->type->convert(piece, source, n);
      source = piece;
    }
    rc = f->device->memory->copy_in(f->device, to, source, (size_t)(n * f->width));
  }
  free(piece);
  return rc;
}

int fsam_file_read_tensor(fsam_tensor *t, fsam_file *file, const char *type, int64_t offset) {
  FSAM_TRY(fsam_tensor_check(t));
  FSAM_TRY(fsam__expect_dense("file", "t", t));
  const stored_type *from = find_type(type);
  bool same = from && from->dtype == t->dtype;
  if (!same && !(from && from->convert && t->dtype == FSAM_F32))
    return fsam__fail(FSAM_EINVAL, "%s: type %s cannot be read into %s", file->path, type, t->name);
  const filling f = {.to = t,
                     .device = fsam__device_of(t),
                     .file = file,
                     .type = from,
                     .offset = offset,
                     .width = fsam__dtype_bytes(t->dtype),
                     .count = fsam__elements(t),
                     .most = from->width > 4 ? PIECE / 2 : PIECE};
  FSAM_TRY(check_range(file, offset, f.count, from->width));
  if (!f.count) return FSAM_OK;
  const int64_t pieces = (f.count + f.most - 1) / f.most;
  FSAM_TRY((f.device->memory->prepare ? fill_on_host : fill_on_device)(&f, pieces, same));
  return fsam_file_unchanged(file);
}

int fsam_file_not_finite(int64_t *out, const fsam_file *file, const char *type, int64_t offset,
                         int64_t count) {
  const stored_type *t = find_type(type);
  *out = 0;
  if (!t || !t->convert) return FSAM_OK;
  FSAM_TRY(check_range(file, offset, count, t->width));
  if (!count) return FSAM_OK;
  *out = t->endless(file->data + offset, count);
  return fsam_file_unchanged(file);
}

/* -- the writer -------------------------------------------------------------------------------- */

enum { BUFFER_BYTES = 1 << 20 };

struct fsam_writer {
  int fd;
  bool failed;        /* after the first failure nothing more is written */
  int64_t used;       /* bytes waiting in the buffer */
  int64_t not_finite; /* numbers of tensors written so far */
  uint8_t *buffer;
  char path[];
};

/* Opens for writing what is a regular file, or none yet; a log or a lock that stands on a link or a
 * pipe would write somewhere else, or wait for ever. */
static int open_plain(const char *path, int flags, int mode) {
  struct stat info;
  int fd = fsam__open(path, flags | O_NOFOLLOW | O_NONBLOCK, mode);
  if (fd >= 0 && (fstat(fd, &info) || S_ISREG(info.st_mode))) return fd;
  if (fd >= 0) close(fd);
  if (fd >= 0 || errno == ELOOP || errno == ENXIO)
    return fsam__fail(FSAM_EIO, "cannot write %s: it is a link or no regular file", path);
  return fsam__fail_errno("write", path);
}

int fsam_writer_open(fsam_writer **out, const char *path, int how) {
  fsam_writer *w = calloc(1, sizeof *w + strlen(path) + 1);
  uint8_t *buffer = malloc(BUFFER_BYTES);
  if (!w || !buffer) {
    free(w);
    free(buffer);
    return fsam__fail(FSAM_ENOMEM, "cannot write %s: no memory", path);
  }
  strcpy(w->path, path);
  w->buffer = buffer;
  const int flags = O_CREAT | (how & FSAM_APPEND ? O_RDWR | O_APPEND : O_WRONLY | O_TRUNC);
  const int mode = how & FSAM_PRIVATE ? 0600 : 0666;
  w->fd = how & FSAM_PLAIN ? open_plain(path, flags, mode) : fsam__open(path, flags, mode);
  if (w->fd < 0) {
    int rc = how & FSAM_PLAIN ? FSAM_EIO : fsam__fail_errno("write", path);
    free(buffer);
    free(w);
    return rc;
  }
  *out = w;
  return FSAM_OK;
}

/* One write(2) may take less than asked, at a signal or just before the disk is full. */
static int write_all(fsam_writer *w, const uint8_t *data, int64_t bytes) {
  while (bytes > 0) {
    ssize_t n = write(w->fd, data, (size_t)bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      w->failed = true;
      return fsam__fail_errno("write", w->path);
    }
    data += n;
    bytes -= n;
  }
  return FSAM_OK;
}

static int flush(fsam_writer *w) {
  int64_t used = w->used;
  w->used = 0;
  return write_all(w, w->buffer, used);
}

static int check_writer(const fsam_writer *w) {
  if (!w->failed) return FSAM_OK;
  return fsam__fail(FSAM_EIO, "cannot write %s: an earlier write failed", w->path);
}

int fsam_writer_flush(fsam_writer *w) {
  FSAM_TRY(check_writer(w));
  return flush(w);
}

int fsam_writer_torn(const fsam_writer *w) {
  char last = '\n';
  off_t end = lseek(w->fd, 0, SEEK_END);
  return end > 0 && pread(w->fd, &last, 1, end - 1) == 1 && last != '\n';
}

int fsam_writer_write(fsam_writer *w, const void *data, int64_t bytes) {
  FSAM_TRY(check_writer(w));
  if (bytes < 0)
    return fsam__fail(FSAM_EINVAL, "cannot write %s: %lld bytes", w->path, (long long)bytes);
  if (bytes > BUFFER_BYTES - w->used) FSAM_TRY(flush(w));
  if (bytes >= BUFFER_BYTES) return write_all(w, data, bytes);
  if (bytes) memcpy(w->buffer + w->used, data, (size_t)bytes);
  w->used += bytes;
  return FSAM_OK;
}

int fsam_writer_tensor(fsam_writer *w, const fsam_tensor *t) {
  FSAM_TRY(check_writer(w));
  FSAM_TRY(fsam_tensor_check(t));
  FSAM_TRY(fsam__expect_dense("write", "t", t));
  fsam_device *d = fsam__device_of(t);
  const int64_t width = fsam__dtype_bytes(t->dtype), bytes = fsam__elements(t) * width;
  for (int64_t done = 0; done < bytes;) {
    if (BUFFER_BYTES - w->used < width) FSAM_TRY(flush(w));
    const int64_t room = (BUFFER_BYTES - w->used) / width * width; /* whole elements */
    const int64_t n = bytes - done < room ? bytes - done : room;
    FSAM_TRY(
        d->memory->copy_out(d, w->buffer + w->used, (const uint8_t *)t->data + done, (size_t)n));
    if (t->dtype == FSAM_F32) w->not_finite += endless_f32(w->buffer + w->used, n / 4);
    if (t->dtype == FSAM_BF16) w->not_finite += endless_bf16(w->buffer + w->used, n / 2);
    w->used += n;
    done += n;
  }
  return FSAM_OK;
}

int64_t fsam_writer_not_finite(const fsam_writer *w) { return w->not_finite; }

/* Pipes and devices cannot be synced; that is no failure. */
static bool sync_failed(int fd) {
  int rc;
  do rc = fsync(fd);
  while (rc && errno == EINTR);
  return rc && errno != EINVAL && errno != ENOTSUP && errno != EROFS;
}

/* A file is closed also where a signal ends the call, and its bytes are on the disk by then. */
static bool close_failed(int fd) { return close(fd) && errno != EINTR; }

int fsam_writer_close(fsam_writer *w) {
  int rc = check_writer(w);
  if (rc == FSAM_OK) rc = flush(w);
  if (rc == FSAM_OK && sync_failed(w->fd)) rc = fsam__fail_errno("write", w->path);
  if (close_failed(w->fd) && rc == FSAM_OK) rc = fsam__fail_errno("write", w->path);
  w->fd = -1;
  fsam_writer_abandon(w);
  return rc;
}

void fsam_writer_abandon(fsam_writer *w) {
  if (!w) return;
  if (w->fd >= 0) close(w->fd);
  free(w->buffer);
  free(w);
}

/* -- locks ------------------------------------------------------------------------------------- */

struct fsam_lock {
  int fd;
};

int fsam_lock_take(fsam_lock **out, const char *path) {
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int fd = open_plain(path, O_RDWR | O_CREAT, 0666), rc;
  *out = NULL;
  if (fd < 0) return FSAM_EIO;
  do rc = fcntl(fd, F_SETLK, &whole);
  while (rc && errno == EINTR);
  fsam_lock *lock = rc ? NULL : malloc(sizeof *lock);
  if (lock) {
    lock->fd = fd;
    *out = lock;
    return FSAM_OK;
  }
  if (!rc)
    rc = fsam__fail(FSAM_ENOMEM, "cannot lock %s: no memory", path);
  else if (errno == EAGAIN || errno == EACCES)
    rc = FSAM_OK; /* another process has it */
  else
    rc = fsam__fail_errno("lock", path);
  close(fd);
  return rc;
}

void fsam_lock_free(fsam_lock *lock) {
  if (!lock) return;
  close(lock->fd);
  free(lock);
}

/* -- paths ------------------------------------------------------------------------------------- */

int fsam_path_sync(const char *path) {
  int fd = fsam__open(path, O_RDONLY | O_NONBLOCK, 0);
  if (fd < 0) return fsam__fail_errno("open", path);
  int rc = sync_failed(fd) ? fsam__fail_errno("sync", path) : FSAM_OK;
  close(fd);
  return rc;
}

int fsam_path_rename(const char *a, const char *b, int exchange) {
  if (!(exchange ? renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) : rename(a, b)))
    return FSAM_OK;
  /* The kernel or the file system does not know the flag. */
  bool refused = exchange && (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP);
  return fsam__fail(refused ? FSAM_EINVAL : FSAM_EIO, "cannot %s %s %s %s: %s",
                    exchange ? "exchange" : "rename", a, exchange ? "with" : "to", b,
                    strerror(errno));
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
  (void)info, (void)kind, (void)place;
  return remove(path) ? fsam__fail_errno("remove", path) : 0;
}

int fsam_path_remove(const char *path) {
  int rc = nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* a link, not its target */
  if (rc == FSAM_EIO) return rc;                             /* remove_one's */
  if (rc && errno != ENOENT) return fsam__fail_errno("remove", path);
  return FSAM_OK;
}
