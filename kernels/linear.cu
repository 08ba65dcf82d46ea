/* linear.cu: y = x w^T + b and its gradients (linear.c). Owns: describing products by rows as
 * products by columns, and the bias with its gradient. Leaves to others: the products
 * (vendor/cublaslt.cuh). The bias is rounded to bf16 where y is bf16, because cuBLASLt wants it in
 * the type of its output. The products are bound by the matrix unit or, at a few hundred tokens, by
 * reading the weights; the gradient of the bias reads dy once more. */
#include "kernels/cuda/columns.cuh"
#include "kernels/vendor/cublaslt.cuh"
#include "kernels/vendor/tuning.h"

#include <stdlib.h>

/* -- from rows to columns ---------------------------------------------------------------------- */

static int8_t alignment_of(const void *p) {
  int8_t bits = 0;
  while (bits < 8 && (uintptr_t)p % ((uintptr_t)2 << bits) == 0) bits++;
  return bits;
}

/* c[rows,columns] = op(a) op(b), by rows. Read by columns, each matrix is its transpose, and the
 * product is c' = op(b)' op(a)': the operands change places, and an operand is transposed for
 * cuBLASLt exactly where it is for us. A bias of c's columns is one of the rows of c'. */
static cublaslt_product product_of(const fsam_tensor *c, const fsam_tensor *a, bool a_transposed,
                                   const fsam_tensor *b, bool b_transposed, const void *bias) {
  cublaslt_product p = {};
  p.kind.m = c->shape[1];
  p.kind.n = c->shape[0];
  p.kind.k = a->shape[a_transposed ? 0 : 1];
  p.kind.lda = b->row_stride;
  p.kind.ldb = a->row_stride;
  p.kind.ldd = c->row_stride;
  p.kind.a_transposed = b_transposed;
  p.kind.b_transposed = a_transposed;
  p.kind.type = (int8_t)a->dtype;
  p.kind.d_type = (int8_t)c->dtype;
  p.kind.align_a = alignment_of(b->data);
  p.kind.align_b = alignment_of(a->data);
  p.kind.align_d = alignment_of(c->data);
  p.kind.align_bias = bias ? alignment_of(bias) : (int8_t)-1;
  p.a = b->data;
  p.b = a->data;
  p.bias = bias;
  p.d = c->data;
  p.add = c->filled;
  return p;
}

/* -- the bias ---------------------------------------------------------------------------------- */

enum { THREADS = 128 };

static __global__ void round_bias_k(bf16 *to, const float *from, int64_t columns) {
  const int64_t c = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (c < columns) to[c] = from_float<bf16>(from[c]);
}

/* Biases that are rounded already: `rounded` has those of `from`. */
struct rounded_biases {
  fsam_device *device;
  const float *from; /* NULL: there are none */
  bf16 *rounded;
  int64_t count, room;
};

static void free_biases(void *kept) {
  rounded_biases *b = (rounded_biases *)kept;
  fsam__give(b->device, b->rounded);
  free(b);
}

static int biases_of(rounded_biases **out, fsam_device *device) {
  void **slot;
  FSAM_TRY(fsam__device_slot(&slot, device, free_biases));
  if (!*slot) *slot = calloc(1, sizeof(rounded_biases));
  if (!*slot) return fsam__fail(FSAM_ENOMEM, "device %s: no memory", device->name);
  *out = (rounded_biases *)*slot;
  (*out)->device = device;
  return FSAM_OK;
}

static int round_biases(const fsam_device *device, bf16 *to, const float *from, int64_t count) {
  return FSAM_LAUNCH(device, round_bias_k, dim3((unsigned)divide_up(count, THREADS)), THREADS, 0,
                     to, from, count);
}

int linear_biases_cuda(fsam_device *device, const fsam_tensor *biases) {
  rounded_biases *b;
  FSAM_TRY(biases_of(&b, device));
  b->from = NULL;
  if (!biases) return FSAM_OK;
  b->count = biases->shape[0];
  if (b->count > b->room) {
    FSAM_TRY(fsam__not_recording(device, "make room for rounded biases"));
    fsam__give(device, b->rounded);
    device->moves++;
    b->room = 0;
    b->rounded = (bf16 *)device->memory->alloc(device, (size_t)b->count * sizeof(bf16));
    if (!b->rounded) return fsam__fail(FSAM_ENOMEM, "device %s: no memory", device->name);
    b->room = b->count;
  }
  FSAM_TRY(round_biases(device, b->rounded, (const float *)biases->data, b->count));
  b->from = (const float *)biases->data;
  return FSAM_OK;
}

/* sums[chunk][columns]: a block has a chunk's rows and THREADS octets of columns. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    bias_gradient_k(float *sums, matrix<const T> dy, row_chunks chunks, int64_t columns,
                    bool wide) {
  const int64_t column = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * OCTET;
  const int64_t first = (int64_t)blockIdx.x * chunks.each, left = columns - column;
  if (column >= columns) return;
  float sum[OCTET] = {0};
  for (int64_t row = first; row < first + chunks.each && row < chunks.rows; row++) {
    float v[OCTET];
    load8(v, dy.at(row, column), left, wide);
    for (int i = 0; i < OCTET; i++) sum[i] += v[i];
  }
  store8(sums + blockIdx.x * columns + column, sum, left, columns % OCTET == 0);
}

template <typename T>
static int bias_gradient(fsam_tensor *db, const fsam_tensor *dy) {
  fsam_device *device = fsam__device_of(dy);
  const row_chunks chunks = row_chunks_of(dy->shape[0]);
  const int64_t n = dy->shape[1];
  void *sums;
  FSAM_TRY(column_sums_memory(&sums, device, (size_t)(chunks.count * n) * sizeof(float)));
  FSAM_TRY(FSAM_LAUNCH(device, bias_gradient_k<T>,
                       dim3((unsigned)chunks.count, (unsigned)divide_up(n, THREADS * OCTET)),
                       THREADS, 0, (float *)sums, matrix_of<const T>(dy), chunks, n, is_wide(dy)));
  sum_outputs outputs = {};
  set_output(&outputs, 0, db);
  return column_sums(device, outputs, (const float *)sums, chunks, 1, n, n);
}

/* -- the kernels ------------------------------------------------------------------------------- */

/* Zeros where there is nothing to sum over. */
static int clear(const cublaslt_product &p, fsam_device *device) {
  const size_t bytes = (size_t)(p.kind.m * fsam__dtype_bytes(p.kind.d_type));
  const size_t step = (size_t)(p.kind.ldd * fsam__dtype_bytes(p.kind.d_type));
  for (int64_t j = 0; !p.add && j < p.kind.n; j++)
    FSAM_TRY(device->memory->zero(device, (char *)p.d + (size_t)j * step, bytes));
  return FSAM_OK;
}

static int multiply(const cublaslt_product &p, fsam_device *device, void *workspace) {
  if (p.kind.m == 0 || p.kind.n == 0) return FSAM_OK;
  if (p.kind.k == 0) return clear(p, device);
  return fsam__cublaslt_run(device, &p, workspace);
}

int linear_forward_cuda(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *w,
                        const fsam_tensor *b) {
  fsam_device *device = fsam__device_of(y);
  size_t rounded = b && y->dtype == FSAM_BF16 ? (size_t)b->shape[0] * sizeof(bf16) : 0;
  const void *bias = b ? b->data : NULL;
  rounded_biases *known;
  FSAM_TRY(biases_of(&known, device));
  const int64_t at = rounded && known->from ? (const float *)b->data - known->from : -1;
  if (at >= 0 && at + b->shape[0] <= known->count) {
    bias = known->rounded + at;
    rounded = 0;
  }
  void *workspace;
  FSAM_TRY(fsam__workspace(&workspace, device, CUBLASLT_WORKSPACE + rounded));
  if (rounded) {
    bf16 *to = (bf16 *)((char *)workspace + CUBLASLT_WORKSPACE);
    FSAM_TRY(round_biases(device, to, (const float *)b->data, b->shape[0]));
    bias = to;
  }
  cublaslt_product p = product_of(y, x, false, w, true, bias);
  p.add = 0; /* an output, not a gradient */
  return multiply(p, device, workspace);
}

int linear_backward_input_cuda(fsam_tensor *dx, const fsam_tensor *dy, const fsam_tensor *w) {
  fsam_device *device = fsam__device_of(dx);
  void *workspace;
  FSAM_TRY(fsam__workspace(&workspace, device, CUBLASLT_WORKSPACE));
  return multiply(product_of(dx, dy, false, w, false, NULL), device, workspace);
}

int linear_backward_weight_cuda(fsam_tensor *dw, fsam_tensor *db, const fsam_tensor *dy,
                                const fsam_tensor *x) {
  fsam_device *device = fsam__device_of(dy);
  if (db)
    FSAM_TRY(dy->dtype == FSAM_BF16 ? bias_gradient<bf16>(db, dy) : bias_gradient<float>(db, dy));
  if (!dw) return FSAM_OK;
  void *workspace;
  FSAM_TRY(fsam__workspace(&workspace, device, CUBLASLT_WORKSPACE));
  return multiply(product_of(dw, dy, true, x, false, NULL), device, workspace);
}

int tuning_begin_cuda(fsam_device *device, const char *known) {
  return fsam__cublaslt_tuning_begin(device, known);
}

int tuning_text_cuda(fsam_device *device, const char **text) {
  *text = fsam__tuning_text(device);
  return FSAM_OK;
}
