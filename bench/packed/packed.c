/* packed.c: would weights in the layout that oneDNN likes best make a layer's products faster? For
 * RoBERTa-base's shapes and the tokens of 32 sentences: each product with w as it lies in the model
 * and with w in the library's own layout (format any, reordered before), in alternation, and the
 * reorder itself, which every update would have to pay once and every perturbation once more.
 * Prints a table of Markdown; the least time of the processor of each.
 *
 *     cc -O2 bench/packed/packed.c -ldnnl -o packed && OMP_NUM_THREADS=1 ./packed [TOKENS] [ROUNDS]
 *
 * oneDNN 2.x. */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if DNNL_VERSION_MAJOR != 2
#error "packed.c is written for the C interface of oneDNN 2"
#endif

enum { SRC, WEIGHTS, DST, OPERANDS };

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void check(dnnl_status_t status) {
  if (!status) return;
  fprintf(stderr, "packed: oneDNN says %d\n", (int)status);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct product {
  dnnl_primitive_t primitive;
  dnnl_memory_desc_t weights;
  dnnl_exec_arg_t arguments[OPERANDS];
  const char *name;
} product;

static dnnl_memory_t memory(const dnnl_memory_desc_t *layout) {
  dnnl_memory_t m;
  check(dnnl_memory_create(&m, layout, engine, DNNL_MEMORY_ALLOCATE));
  void *p;
  check(dnnl_memory_get_data_handle(m, &p));
  float *f = p;
  for (size_t i = 0; i < dnnl_memory_desc_get_size(layout) / sizeof *f; i++)
    f[i] = (float)(i % 97) * 0.01f;
  return m;
}

/* dst[m,n] = src[m,k] w, with w[k,n] by these strides, or NULL: in the library's layout. */
static product product_of(int64_t m, int64_t n, int64_t k, const int64_t *strides) {
  product p;
  dnnl_memory_desc_t l[OPERANDS];
  const dnnl_dims_t src = {m, k}, w = {k, n}, dst = {m, n};
  check(dnnl_memory_desc_init_by_tag(&l[SRC], 2, src, dnnl_f32, dnnl_ab));
  check(dnnl_memory_desc_init_by_tag(&l[DST], 2, dst, dnnl_f32, dnnl_ab));
  if (strides)
    check(dnnl_memory_desc_init_by_strides(&l[WEIGHTS], 2, w, dnnl_f32, strides));
  else
    check(dnnl_memory_desc_init_by_tag(&l[WEIGHTS], 2, w, dnnl_f32, dnnl_format_tag_any));
  dnnl_matmul_desc_t d;
  dnnl_primitive_desc_t described;
  check(dnnl_matmul_desc_init(&d, &l[SRC], &l[WEIGHTS], NULL, &l[DST]));
  check(dnnl_primitive_desc_create(&described, &d, NULL, engine, NULL));
  check(dnnl_primitive_desc_query(described, dnnl_query_impl_info_str, 0, &p.name));
  p.name = strdup(p.name);
  p.weights = *dnnl_primitive_desc_query_md(described, dnnl_query_weights_md, 0);
  check(dnnl_primitive_create(&p.primitive, described));
  dnnl_primitive_desc_destroy(described);
  p.arguments[SRC] = (dnnl_exec_arg_t){DNNL_ARG_SRC, memory(&l[SRC])};
  p.arguments[WEIGHTS] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, memory(&p.weights)};
  p.arguments[DST] = (dnnl_exec_arg_t){DNNL_ARG_DST, memory(&l[DST])};
  return p;
}

static double run(const product *p) {
  const double from = now();
  check(dnnl_primitive_execute(p->primitive, stream, OPERANDS, p->arguments));
  check(dnnl_stream_wait(stream));
  return now() - from;
}

static product reorder_of(const product *from, const product *to) {
  product p = {.name = "reorder"};
  dnnl_primitive_desc_t described;
  check(dnnl_reorder_primitive_desc_create(&described, &from->weights, engine, &to->weights, engine,
                                           NULL));
  check(dnnl_primitive_create(&p.primitive, described));
  dnnl_primitive_desc_destroy(described);
  p.arguments[0] = (dnnl_exec_arg_t){DNNL_ARG_FROM, from->arguments[WEIGHTS].memory};
  p.arguments[1] = (dnnl_exec_arg_t){DNNL_ARG_TO, to->arguments[WEIGHTS].memory};
  return p;
}

static double run_reorder(const product *p) {
  const double from = now();
  check(dnnl_primitive_execute(p->primitive, stream, 2, p->arguments));
  check(dnnl_stream_wait(stream));
  return now() - from;
}

static double least(double a, double b) { return a < b ? a : b; }

/* w[out,in] as the model has it; forward reads it transposed, the way back plainly. */
static void compare(const char *name, int64_t tokens, int64_t out, int64_t in, int forward,
                    int rounds) {
  const int64_t n = forward ? out : in, k = forward ? in : out;
  const int64_t strides[2] = {forward ? 1 : in, forward ? in : 1};
  const product plain = product_of(tokens, n, k, strides), own = product_of(tokens, n, k, NULL);
  const product pack = reorder_of(&plain, &own);
  double t[3] = {1e9, 1e9, 1e9};
  for (int i = 0; i < rounds; i++) {
    t[0] = least(t[0], run(&plain));
    t[1] = least(t[1], run(&own));
    t[2] = least(t[2], run_reorder(&pack));
  }
  const dnnl_dims_t shape = {k, n};
  dnnl_memory_desc_t rows;
  check(dnnl_memory_desc_init_by_tag(&rows, 2, shape, dnnl_f32, dnnl_ab));
  printf("| %s | %lld x %lld | %.2f | %.2f | %.2f | %.2f | %s, %s |\n", name, (long long)out,
         (long long)in, t[0] * 1e3, t[1] * 1e3, t[1] / t[0], t[2] * 1e3, own.name,
         dnnl_memory_desc_equal(&own.weights, &rows) ? "rows of inputs" : "blocks");
}

int main(int argc, char **argv) {
  const int64_t tokens = argc > 1 ? atoi(argv[1]) : 384;
  const int rounds = argc > 2 ? atoi(argv[2]) : 30;
  check(dnnl_engine_create(&engine, dnnl_cpu, 0));
  check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
  printf("| product | w | as it lies, ms | own layout, ms | ratio | reorder, ms | that layout |\n");
  printf("|---|---|---|---|---|---|---|\n");
  for (int forward = 1; forward >= 0; forward--) {
    const char *name = forward ? "forward" : "input gradient";
    compare(name, tokens, 2304, 768, forward, rounds);
    compare(name, tokens, 768, 768, forward, rounds);
    compare(name, tokens, 3072, 768, forward, rounds);
    compare(name, tokens, 768, 3072, forward, rounds);
  }
  return 0;
}
