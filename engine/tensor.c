/* tensor.c: moving values between tensors and the host, and between tensors. Leaves to others:
 * memory and lifetimes of tensors (arena.c), conversion between types (kernels/cast.c). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

static int check_count(const char *op, const fsam_tensor *t, int64_t count) {
  FSAM_TRY(fsam_tensor_check(t));
  FSAM_TRY(fsam__expect_dense(op, "t", t));
  if (count == fsam__elements(t)) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL, "%s: %lld values for %s, which has %lld elements", op,
                    (long long)count, t->name, (long long)fsam__elements(t));
}

/* Round to nearest even; a NaN stays a NaN. */
static uint16_t to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40);
  return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

static float from_bf16(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

int fsam_tensor_write(fsam_tensor *t, const void *host, int64_t count) {
  FSAM_TRY(check_count("write", t, count));
  fsam_device *d = fsam__device_of(t);
  if (t->dtype != FSAM_BF16) return d->memory->copy_in(d, t->data, host, (size_t)count * 4);
  uint16_t *halves = malloc((size_t)count * 2 + 1);
  if (!halves) return fsam__fail(FSAM_ENOMEM, "write: no memory to convert %s", t->name);
  for (int64_t i = 0; i < count; i++) halves[i] = to_bf16(((const float *)host)[i]);
  int rc = d->memory->copy_in(d, t->data, halves, (size_t)count * 2);
  free(halves);
  return rc;
}

/* LuaJIT packs its types into NaNs, so that a NaN with other bits would not be a number there. */
static void canonical_nans(float *values, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (values[i] != values[i]) values[i] = NAN;
}

int fsam_tensor_read(const fsam_tensor *t, void *host, int64_t count) {
  FSAM_TRY(check_count("read", t, count));
  fsam_device *d = fsam__device_of(t);
  if (t->dtype != FSAM_BF16) {
    FSAM_TRY(d->memory->copy_out(d, host, t->data, (size_t)count * 4));
    if (t->dtype == FSAM_F32) canonical_nans(host, count);
    return FSAM_OK;
  }
  uint16_t *halves = malloc((size_t)count * 2 + 1);
  if (!halves) return fsam__fail(FSAM_ENOMEM, "read: no memory to convert %s", t->name);
  int rc = d->memory->copy_out(d, halves, t->data, (size_t)count * 2);
  for (int64_t i = 0; rc == FSAM_OK && i < count; i++) ((float *)host)[i] = from_bf16(halves[i]);
  free(halves);
  canonical_nans(host, rc == FSAM_OK ? count : 0);
  return rc;
}

/* Mixes words of 8 bytes into four lanes, which the processor multiplies side by side. */
static void mix(uint64_t lanes[4], const uint64_t *words, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint64_t x = (lanes[i % 4] ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
    lanes[i % 4] = x ^ x >> 29;
  }
}

int fsam_tensor_hash(uint64_t *out, const fsam_tensor *t) {
  enum { WORDS = 1 << 14 }; /* of a piece: 128 KB, so that it stays in a cache */
  const int64_t count = fsam__elements(t);
  FSAM_TRY(check_count("hash", t, count));
  if (t->dtype == FSAM_BF16) return fsam__fail(FSAM_EINVAL, "hash: %s is bf16", t->name);
  fsam_device *d = fsam__device_of(t);
  uint64_t lanes[4] = {1, 2, 3, (uint64_t)count};
  uint64_t *piece = calloc(WORDS, sizeof *piece);
  if (!piece) return fsam__fail(FSAM_ENOMEM, "hash: no memory to look at %s", t->name);
  int rc = FSAM_OK;
  for (int64_t at = 0; rc == FSAM_OK && at < count; at += 2 * WORDS) {
    const int64_t n = count - at < 2 * WORDS ? count - at : 2 * WORDS;
    if (n % 2) piece[n / 2] = 0;
    rc = d->memory->copy_out(d, piece, (const float *)t->data + at, (size_t)n * 4);
    if (rc == FSAM_OK) mix(lanes, piece, (n + 1) / 2);
  }
  free(piece);
  mix(lanes, (const uint64_t[]){lanes[1], lanes[2], lanes[3], lanes[0]}, 4);
  *out = lanes[0] ^ lanes[1] ^ lanes[2] ^ lanes[3];
  return rc;
}

struct fsam_readback {
  fsam_tensor t;
  fsam_device *device;
  void *ticket; /* a GPU's, until the read has ended */
  float *copy;  /* on the CPU, where a copy is made at once */
};

int fsam_readback_begin(fsam_readback **out, const fsam_tensor *t) {
  FSAM_TRY(check_count("readback", t, fsam__elements(t)));
  if (t->dtype == FSAM_BF16)
    return fsam__fail(FSAM_EINVAL, "readback: %s is bf16, expected f32 or i32", t->name);
  fsam_readback *r = calloc(1, sizeof *r);
  if (!r) return fsam__fail(FSAM_ENOMEM, "readback: no memory for %s", t->name);
  *r = (fsam_readback){.t = *t, .device = fsam__device_of(t)};
  r->device->refs++;
  const fsam_memory *memory = r->device->memory;
  const size_t bytes = (size_t)fsam__elements(t) * 4;
  int rc;
  if (memory->read_begin) {
    rc = memory->read_begin(r->device, &r->ticket, t->data, bytes);
  } else {
    r->copy = malloc(bytes + 1);
    rc = r->copy ? memory->copy_out(r->device, r->copy, t->data, bytes)
                 : fsam__fail(FSAM_ENOMEM, "readback: no memory for %s", t->name);
  }
  if (rc < 0)
    fsam_readback_free(r);
  else
    *out = r;
  return rc;
}

int fsam_readback_end(fsam_readback *r, void *host, int64_t count) {
  const int64_t elements = fsam__elements(&r->t);
  if (count != elements)
    return fsam__fail(FSAM_EINVAL, "readback: %lld values of %s, which has %lld elements",
                      (long long)count, r->t.name, (long long)elements);
  if (r->ticket) {
    void *ticket = r->ticket;
    r->ticket = NULL;
    FSAM_TRY(r->device->memory->read_end(r->device, ticket, host));
  } else if (r->copy) {
    memcpy(host, r->copy, (size_t)count * 4);
    free(r->copy);
    r->copy = NULL;
  } else {
    return fsam__fail(FSAM_EINVAL, "readback: %s has been taken already", r->t.name);
  }
  if (r->t.dtype == FSAM_F32) canonical_nans(host, count);
  return FSAM_OK;
}

void fsam_readback_free(fsam_readback *r) {
  if (!r) return;
  if (r->ticket) r->device->memory->read_end(r->device, r->ticket, NULL);
  free(r->copy);
  fsam_device_close(r->device);
  free(r);
}

/* Below this many bytes a few faults cost less than asking. */
enum { LARGE_COPY = 1 << 20, COPY_PIECE = 1 << 16 /* elements, which stay in a thread's cache */ };

static fsam_tensor flat_piece(const fsam_tensor *t, int64_t first, int64_t n) {
  fsam_tensor piece = *t;
  piece.data = (char *)t->data + first * fsam__dtype_bytes(t->dtype);
  piece.rank = 1;
  for (int i = 0; i < 4; i++) piece.shape[i] = i ? 1 : n;
  piece.row_stride = 1;
  return piece;
}

/* In memory of the host: each thread gets the pages of its piece in one call and fills them while
 * they are in its cache. */
static int copy_in_pieces(const fsam_device *d, const fsam_tensor *to, const fsam_tensor *from) {
  const int64_t count = fsam__elements(to), width = fsam__dtype_bytes(to->dtype);
  int rc = FSAM_OK;
#pragma omp parallel for schedule(static) reduction(min : rc)
  for (int64_t first = 0; first < count; first += COPY_PIECE) {
    const int64_t n = count - first < COPY_PIECE ? count - first : COPY_PIECE;
    fsam_tensor part = flat_piece(to, first, n);
    const fsam_tensor source = flat_piece(from, first, n);
    d->memory->prepare(part.data, (size_t)(n * width));
    const int done = d->kernels->cast(&part, &source);
    if (done < rc) rc = done;
  }
  return rc;
}

int fsam_tensor_copy(fsam_tensor *to, const fsam_tensor *from) {
  FSAM_TRY(fsam_tensor_check(from));
  FSAM_TRY(check_count("copy", to, fsam__elements(from)));
  FSAM_TRY(fsam__expect_dense("copy", "from", from));
  if ((to->dtype == FSAM_I32) != (from->dtype == FSAM_I32))
    return fsam__fail(FSAM_EINVAL, "copy: %s and %s differ in type (i32 and float)", to->name,
                      from->name);
  const fsam_device *d = fsam__device_of(to);
  const int64_t bytes = fsam__elements(to) * fsam__dtype_bytes(to->dtype);
  if (d->memory->prepare && bytes >= LARGE_COPY) return copy_in_pieces(d, to, from);
  return d->kernels->cast(to, from);
}

int fsam_tensor_fill(fsam_tensor *t, double value) {
  int64_t count = fsam__elements(t);
  FSAM_TRY(check_count("fill", t, count));
  fsam_device *d = fsam__device_of(t);
  if (value == 0) return d->memory->zero(d, t->data, (size_t)(count * fsam__dtype_bytes(t->dtype)));
  float *values = malloc((size_t)count * 4 + 1);
  if (!values) return fsam__fail(FSAM_ENOMEM, "fill: no memory for %s", t->name);
  for (int64_t i = 0; i < count; i++) {
    if (t->dtype == FSAM_I32)
      ((int32_t *)values)[i] = (int32_t)value;
    else
      values[i] = (float)value;
  }
  int rc = fsam_tensor_write(t, values, count);
  free(values);
  return rc;
}
