/* check.c: the checks of arguments that every public function of the kernels begins with: tensors
 * against a type and a shape, batches, dropout. Each raises one line that names the function, the
 * argument, what it got and what it expected. Leaves to others: keeping the message (error.c),
 * whether a tensor is alive (arena.c). */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

/* -- tensors ----------------------------------------------------------------------------------- */

static const char *dtype_name(int dtype) {
  static const char *const names[] = {"f32", "bf16", "i32"};
  return dtype >= 0 && dtype < 3 ? names[dtype] : "float";
}

/* "[384, 128] f32" into text. */
static void describe(char *text, size_t size, const fsam_tensor *t) {
  size_t used = (size_t)snprintf(text, size, "[");
  for (int i = 0; i < t->rank && i < 4 && used < size; i++)
    used +=
        (size_t)snprintf(text + used, size - used, i ? ", %lld" : "%lld", (long long)t->shape[i]);
  if (used < size) snprintf(text + used, size - used, "] %s", dtype_name(t->dtype));
}

int fsam__expect_optional(const char *op, const char *arg, const fsam_tensor *t, int dtype,
                          int rank, int64_t d0, int64_t d1) {
  if (!t) return FSAM_OK;
  FSAM_TRY(fsam_tensor_check(t));
  const int64_t want[2] = {d0, d1};
  bool fits = t->rank == rank && (dtype < 0 ? t->dtype != FSAM_I32 : t->dtype == dtype);
  for (int i = 0; i < 2 && i < rank; i++) fits = fits && (want[i] < 0 || t->shape[i] == want[i]);
  if (fits) return FSAM_OK;
  char got[96], expected[96];
  fsam_tensor wanted = {.rank = rank, .dtype = dtype, .shape = {d0, d1, 1, 1}};
  describe(got, sizeof got, t);
  describe(expected, sizeof expected, &wanted);
  return fsam__fail(FSAM_EINVAL, "%s: %s (%s) is %s, expected %s%s", op, arg,
                    t->name[0] ? t->name : "unnamed", got, expected,
                    strstr(expected, "-1") ? " (-1: any)" : "");
}

int fsam__expect(const char *op, const char *arg, const fsam_tensor *t, int dtype, int rank,
                 int64_t d0, int64_t d1) {
  if (!t) return fsam__fail(FSAM_EINVAL, "%s: %s is missing", op, arg);
  return fsam__expect_optional(op, arg, t, dtype, rank, d0, d1);
}

int fsam__expect_dense(const char *op, const char *arg, const fsam_tensor *t) {
  if (!t || t->rank < 2 || t->row_stride == fsam__elements(t) / (t->shape[0] ? t->shape[0] : 1))
    return FSAM_OK;
  return fsam__fail(FSAM_EINVAL, "%s: %s (%s) is a column slice; whole rows are needed", op, arg,
                    t->name);
}

/* -- batches and dropout ----------------------------------------------------------------------- */

int fsam__check_dropout(const char *op, const fsam_dropout *dropout, const fsam_batch *batch) {
  if (!dropout || dropout->p == 0) return FSAM_OK;
  if (!(dropout->p > 0 && 65536 * dropout->p < 65535.5))
    return fsam__fail(FSAM_EINVAL, "%s: dropout p is %g, expected 0 to less than 1", op,
                      dropout->p);
  return fsam__check_pass(op, batch);
}

int fsam__check_batch(const char *op, const fsam_batch *batch) {
  if (!batch) return fsam__fail(FSAM_EINVAL, "%s: batch is missing", op);
  if (batch->tokens >= 0 && batch->samples >= 0 && batch->longest >= 0) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL, "%s: batch has %d tokens, %d samples, longest %d", op,
                    batch->tokens, batch->samples, batch->longest);
}

int fsam__check_pass(const char *op, const fsam_batch *batch) {
  if (!batch || batch->pass) return FSAM_OK; /* fsam__check_batch reports a missing batch */
  return fsam__fail(FSAM_EINVAL, "%s: batch has no pass", op);
}

int fsam__check_shared(const fsam_device *device, const char *kernel, size_t bytes) {
  if (bytes <= device->shared) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL,
                    "%s: this size needs %.1f KB of shared memory in a block, the GPU (%s, compute "
                    "capability %d.%d) has %.1f KB; use the device cpu or a smaller head",
                    kernel, (double)bytes / 1024, device->text, device->arch / 10,
                    device->arch % 10, (double)device->shared / 1024);
}
