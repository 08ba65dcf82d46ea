/* products.c: which of oneDNN's ways is fastest for a layer's products? For RoBERTa-base's shapes
 * and the tokens of 32 sentences: a primitive with its second matrix as it lies in the model; one
 * with that matrix in the library's own layout (format any), and the reorder into it, which every
 * product here would have to pay; sgemm. In alternation, each over the matrices of 12 layers, so
 * that they come from memory as in a pass. Prints a table of Markdown: the least wall time of each.
 *
 *     cc -O2 bench/products/products.c -ldnnl -o products
 *     OMP_NUM_THREADS=2 ./products [TOKENS = 365] [ROUNDS = 10]
 *
 * oneDNN 2.x. */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if DNNL_VERSION_MAJOR != 2
#error "products.c is written for the C interface of oneDNN 2"
#endif

enum { A, B, C, OPERANDS };
enum { LAYERS = 12 };
enum { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, KINDS };

static const char *const kind_names[KINDS] = {"forward", "input gradient", "weight gradient"};

static dnnl_engine_t engine;
static dnnl_stream_t stream;
static int rounds;

static void check(dnnl_status_t status) {
  if (!status) return;
  fprintf(stderr, "products: oneDNN says %d\n", (int)status);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *numbers(int64_t count) {
  float *p = malloc((size_t)count * sizeof *p);
  if (!p) exit(1);
  for (int64_t i = 0; i < count; i++) p[i] = (float)(i % 97) * 0.01f;
  return p;
}

/* c[m,n] = op(a)[m,k] op(b)[k,n], all dense; transposed: stored as [k,m], [n,k]. */
typedef struct shape {
  int64_t m, n, k;
  int a_transposed, b_transposed;
} shape;

static shape shape_of(int kind, int64_t tokens, int64_t out, int64_t in) {
  if (kind == FORWARD) return (shape){tokens, out, in, 0, 1};        /* y = x w^T */
  if (kind == INPUT_GRADIENT) return (shape){tokens, in, out, 0, 0}; /* dx = dy w */
  return (shape){out, in, tokens, 1, 0};                             /* dw = dy^T x */
}

/* -- a primitive, and the reorder of its b ----------------------------------------------------- */

typedef struct primitive {
  dnnl_primitive_t product, reorder; /* reorder: NULL where b is read as it lies */
  dnnl_memory_t memory[OPERANDS], own;
} primitive;

static void layout(dnnl_memory_desc_t *out, int64_t rows, int64_t columns, int transposed) {
  const dnnl_dims_t dims = {rows, columns};
  check(dnnl_memory_desc_init_by_tag(out, 2, dims, dnnl_f32, transposed ? dnnl_ba : dnnl_ab));
}

static primitive primitive_of(shape s, int own_layout) {
  primitive p = {.reorder = NULL};
  dnnl_memory_desc_t l[OPERANDS], b;
  layout(&l[A], s.m, s.k, s.a_transposed);
  layout(&l[B], s.k, s.n, s.b_transposed);
  layout(&l[C], s.m, s.n, 0);
  b = l[B];
  const dnnl_dims_t dims = {s.k, s.n};
  if (own_layout) check(dnnl_memory_desc_init_by_tag(&b, 2, dims, dnnl_f32, dnnl_format_tag_any));
  dnnl_matmul_desc_t d;
  dnnl_primitive_desc_t described;
  check(dnnl_matmul_desc_init(&d, &l[A], &b, NULL, &l[C]));
  check(dnnl_primitive_desc_create(&described, &d, NULL, engine, NULL));
  check(dnnl_primitive_create(&p.product, described));
  b = *dnnl_primitive_desc_query_md(described, dnnl_query_weights_md, 0);
  dnnl_primitive_desc_destroy(described);
  for (int i = 0; i < OPERANDS; i++) check(dnnl_memory_create(&p.memory[i], &l[i], engine, NULL));
  if (!own_layout) return p;
  check(dnnl_memory_create(&p.own, &b, engine, DNNL_MEMORY_ALLOCATE));
  check(dnnl_reorder_primitive_desc_create(&described, &l[B], engine, &b, engine, NULL));
  check(dnnl_primitive_create(&p.reorder, described));
  dnnl_primitive_desc_destroy(described);
  return p;
}

static void set(const primitive *p, float *const data[OPERANDS]) {
  for (int i = 0; i < OPERANDS; i++) check(dnnl_memory_set_data_handle(p->memory[i], data[i]));
}

static double multiply(const primitive *p) {
  const dnnl_memory_t b = p->reorder ? p->own : p->memory[B];
  const dnnl_exec_arg_t arguments[] = {
      {DNNL_ARG_SRC, p->memory[A]}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, p->memory[C]}};
  const double from = now();
  check(dnnl_primitive_execute(p->product, stream, OPERANDS, arguments));
  check(dnnl_stream_wait(stream));
  return now() - from;
}

static double reorder(const primitive *p) {
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, p->memory[B]}, {DNNL_ARG_TO, p->own}};
  const double from = now();
  check(dnnl_primitive_execute(p->reorder, stream, 2, arguments));
  check(dnnl_stream_wait(stream));
  return now() - from;
}

static double sgemm(shape s, float *const data[OPERANDS]) {
  const double from = now();
  check(dnnl_sgemm(s.a_transposed ? 'T' : 'N', s.b_transposed ? 'T' : 'N', s.m, s.n, s.k, 1,
                   data[A], s.a_transposed ? s.m : s.k, data[B], s.b_transposed ? s.k : s.n, 0,
                   data[C], s.n));
  return now() - from;
}

/* -- the table --------------------------------------------------------------------------------- */

static double least(double a, double b) { return a < b ? a : b; }

static void compare(int kind, int64_t tokens, int64_t out, int64_t in) {
  const shape s = shape_of(kind, tokens, out, in);
  const primitive plain = primitive_of(s, 0), own = primitive_of(s, 1);
  float *data[LAYERS][OPERANDS];
  double best[4] = {1e9, 1e9, 1e9, 1e9};
  for (int l = 0; l < LAYERS; l++) {
    data[l][A] = numbers(s.m * s.k);
    data[l][B] = numbers(s.k * s.n);
    data[l][C] = numbers(s.m * s.n);
  }
  for (int i = 0; i < rounds; i++) {
    double t[4] = {0, 0, 0, 0};
    for (int l = 0; l < LAYERS; l++) set(&plain, data[l]), t[0] += multiply(&plain);
    for (int l = 0; l < LAYERS; l++) {
      set(&own, data[l]);
      t[1] += reorder(&own);
      t[2] += multiply(&own);
    }
    for (int l = 0; l < LAYERS; l++) t[3] += sgemm(s, data[l]);
    for (int j = 0; j < 4; j++) best[j] = least(best[j], t[j] / LAYERS);
  }
  for (int l = 0; l < LAYERS; l++)
    for (int i = 0; i < OPERANDS; i++) free(data[l][i]);
  printf("| %s | %lld x %lld | %.2f | %.2f + %.2f | %.2f | %.2f | %.2f |\n", kind_names[kind],
         (long long)out, (long long)in, best[0] * 1e3, best[2] * 1e3, best[1] * 1e3, best[3] * 1e3,
         (best[1] + best[2]) / best[0], best[3] / best[0]);
}

int main(int argc, char **argv) {
  const int64_t tokens = argc > 1 ? atoi(argv[1]) : 365;
  const int64_t h = 768, shapes[][2] = {{3 * h, h}, {h, h}, {4 * h, h}, {h, 4 * h}};
  rounds = argc > 2 ? atoi(argv[2]) : 10;
  check(dnnl_engine_create(&engine, dnnl_cpu, 0));
  check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
  printf(
      "| product | w | as it lies, ms | own layout + reorder, ms | sgemm, ms | ratio of the own "
      "layout | of sgemm |\n|---|---|---|---|---|---|---|\n");
  for (int kind = 0; kind < KINDS; kind++)
    for (int i = 0; i < 4; i++) compare(kind, tokens, shapes[i][0], shapes[i][1]);
  return 0;
}
