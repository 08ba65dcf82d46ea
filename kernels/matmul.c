/* matmul.c: matrix products for linear.c. Owns what hangs off the device: the library's state and
 * the room in which bf16 matrices become f32 where the library or the processor cannot multiply
 * bf16 (about half as fast as f32 alone, and as exact as bf16 done natively). */
#include "matmul.h"

#if FSAM_PUBLIC

#include <omp.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(fsam__product) == 7 * 8, "a product is compared as bytes");

typedef struct matmul {
  fsam__library *library;
  float *room; /* for the conversions; grows, never shrinks */
  int64_t room_elements;
} matmul;

static void matmul_free(void *state) {
  matmul *m = state;
  fsam__library_free(m->library);
  free(m->room);
  free(m);
}

/* The device's state, made at the first product. */
static int state_of(matmul **out, fsam_device *device) {
  *out = device->matmul;
  if (*out) return FSAM_OK;
  matmul *m = calloc(1, sizeof *m);
  if (!m) return fsam__fail(FSAM_ENOMEM, "linear: no memory for the matrix library's state");
  int rc = fsam__library_new(&m->library);
  if (rc < 0) {
    free(m);
    return rc;
  }
  device->matmul = *out = m;
  device->matmul_free = matmul_free;
  return FSAM_OK;
}

/* -- sums without terms ------------------------------------------------------------------------- */

/* k = 0: c is the bias, or what it was. Rare (an empty batch), so plain. */
static int no_terms(fsam_tensor *c, const fsam_tensor *bias, bool accumulate) {
  fsam_tensor row = *c, from = {.rank = 2, .dtype = FSAM_F32, .shape = {1, c->shape[1], 1, 1}};
  from.row_stride = c->shape[1];
  row.shape[0] = 1;
  float *zeros = calloc((size_t)c->shape[1] + 1, sizeof *zeros);
  if (!zeros) return fsam__fail(FSAM_ENOMEM, "linear: no memory for a row");
  from.data = bias ? bias->data : zeros;
  int rc = FSAM_OK;
  for (int64_t i = 0; rc == FSAM_OK && !accumulate && i < c->shape[0]; i++) {
    row.data = (char *)c->data + i * c->row_stride * fsam__dtype_bytes(c->dtype);
    rc = fsam__device_of(c)->kernels->cast(&row, &from);
  }
  free(zeros);
  return rc;
}

/* -- bf16 by way of f32 ------------------------------------------------------------------------- */

/* Room for `elements`, whatever was in it. */
static float *room_for(matmul *m, int64_t elements) {
  if (elements <= m->room_elements) return m->room;
  free(m->room);
  m->room_elements = 0;
  m->room = aligned_alloc(64, ((size_t)elements * sizeof *m->room + 63) / 64 * 64);
  if (m->room) m->room_elements = elements;
  return m->room;
}

/* An f32 matrix of t's shape without gaps, at *room, which moves on. */
static fsam_tensor place(const fsam_tensor *t, float **room) {
  fsam_tensor f = *t;
  f.dtype = FSAM_F32;
  f.data = *room;
  f.row_stride = t->shape[1];
  *room += fsam__elements(t);
  return f;
}

static int by_way_of_f32(matmul *m, fsam__product p, fsam_tensor *c, const fsam_tensor *a,
                         const fsam_tensor *b, const float *bias) {
  const fsam_kernels *kernels = fsam__device_of(c)->kernels;
  const bool rounded = c->dtype == FSAM_BF16;
  float *room = room_for(m, fsam__elements(a) + fsam__elements(b) + fsam__elements(c));
  if (!room) return fsam__fail(FSAM_ENOMEM, "linear: no memory to convert bf16 matrices");
  fsam_tensor wide_a = place(a, &room), wide_b = place(b, &room), wide_c = place(c, &room);
  FSAM_TRY(kernels->cast(&wide_a, a));
  FSAM_TRY(kernels->cast(&wide_b, b));
  if (rounded && p.accumulate) FSAM_TRY(kernels->cast(&wide_c, c));
  fsam_tensor *target = rounded ? &wide_c : c;
  p.type = p.c_type = FSAM_F32;
  p.a_stride = wide_a.row_stride;
  p.b_stride = wide_b.row_stride;
  p.c_stride = target->row_stride;
  int done = fsam__library_multiply(m->library, &p, target->data, wide_a.data, wide_b.data, bias);
  if (done == 0) return fsam__fail(FSAM_EINTERNAL, "linear: the matrix library has no f32 product");
  if (done < 0) return done;
  return rounded ? kernels->cast(c, &wide_c) : FSAM_OK;
}

/* -- the product -------------------------------------------------------------------------------- */

int fsam__matmul(fsam_tensor *c, const fsam_tensor *a, bool a_transposed, const fsam_tensor *b,
                 bool b_transposed, const fsam_tensor *bias, bool accumulate) {
  matmul *m;
  const fsam__product p = {.m = c->shape[0],
                           .n = c->shape[1],
                           .k = a->shape[a_transposed ? 0 : 1],
                           .a_stride = a->row_stride,
                           .b_stride = b->row_stride,
                           .c_stride = c->row_stride,
                           .a_transposed = a_transposed,
                           .b_transposed = b_transposed,
                           .type = (int8_t)a->dtype,
                           .c_type = (int8_t)c->dtype,
                           .biased = bias != NULL,
                           .accumulate = accumulate,
                           .threads = (int16_t)omp_get_max_threads()};
  const float *bias_data = bias ? bias->data : NULL;
  if (p.m == 0 || p.n == 0) return FSAM_OK;
  if (p.k == 0) return no_terms(c, bias, accumulate);
  FSAM_TRY(state_of(&m, fsam__device_of(c)));
  int done = fsam__library_multiply(m->library, &p, c->data, a->data, b->data, bias_data);
  if (done < 0) return done;
  return done ? FSAM_OK : by_way_of_f32(m, p, c, a, b, bias_data);
}

#endif
