/* matmul_dnnl.c: matrix products by oneDNN, through its C API. Gradients in f32 go through its
 * sgemm; all others through primitives. One section has all that changed between 2.x and 3.x. A
 * primitive is made at the first call of a product, which takes 0.2 to 0.5 ms, and kept with its
 * memory objects; a later call is a look-up, a few pointers and the execution. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "kernels/vendor/matmul.h"

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* With MAX_ENTRIES known products, all are dropped: one run has fewer shapes. */
enum { SLOTS = 4096, MAX_ENTRIES = SLOTS / 2 };
enum { A, B, C, BIAS, OPERANDS };

typedef struct entry {
  matmul_product product;
  dnnl_primitive_t primitive; /* NULL: oneDNN lacks these types on this processor */
  dnnl_memory_t memory[OPERANDS];
} entry;

struct matmul_library {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  bool multiplied; /* sgemm has made its kernels, which it keeps */
  int count;
  entry *slots[SLOTS]; /* open addressing, linear probing */
};

static int failed(const char *what, dnnl_status_t status) {
  return fsam__fail(status == dnnl_out_of_memory ? FSAM_ENOMEM : FSAM_EINTERNAL,
                    "linear: oneDNN cannot %s: %s", what, dnnl_status2str(status));
}

/* -- where 2.x and 3.x differ ------------------------------------------------------------------ */

#if DNNL_VERSION_MAJOR >= 3
#define LAYOUT(x) (x) /* dnnl_memory_desc_t is a handle */

static dnnl_status_t layout_new(dnnl_memory_desc_t *out, const dnnl_dims_t shape,
                                dnnl_data_type_t type, const dnnl_dims_t strides) {
  return dnnl_memory_desc_create_with_strides(out, 2, shape, type, strides);
}

static void layout_free(dnnl_memory_desc_t layout) { dnnl_memory_desc_destroy(layout); }

static dnnl_status_t append_sum(dnnl_post_ops_t ops) {
  return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
}

static dnnl_status_t describe(dnnl_primitive_desc_t *out, const dnnl_memory_desc_t *l, bool biased,
                              dnnl_primitive_attr_t attributes, dnnl_engine_t engine) {
  return dnnl_matmul_primitive_desc_create(out, engine, l[A], l[B], biased ? l[BIAS] : NULL, l[C],
                                           attributes);
}
#else
#define LAYOUT(x) (&(x)) /* dnnl_memory_desc_t is a struct */

static dnnl_status_t layout_new(dnnl_memory_desc_t *out, const dnnl_dims_t shape,
                                dnnl_data_type_t type, const dnnl_dims_t strides) {
  return dnnl_memory_desc_init_by_strides(out, 2, shape, type, strides);
}

static void layout_free(dnnl_memory_desc_t layout) { (void)layout; }

static dnnl_status_t append_sum(dnnl_post_ops_t ops) { return dnnl_post_ops_append_sum(ops, 1); }

static dnnl_status_t describe(dnnl_primitive_desc_t *out, const dnnl_memory_desc_t *l, bool biased,
                              dnnl_primitive_attr_t attributes, dnnl_engine_t engine) {
  dnnl_matmul_desc_t d;
  dnnl_status_t status = dnnl_matmul_desc_init(&d, &l[A], &l[B], biased ? &l[BIAS] : NULL, &l[C]);
  return status ? status : dnnl_primitive_desc_create(out, &d, attributes, engine, NULL);
}
#endif

/* -- making a product -------------------------------------------------------------------------- */

/* Layouts of a, b, c, bias as oneDNN reads them: transposed operands by their strides. Returns how
 * many were made, all of them when *status is success. */
static int make_layouts(dnnl_memory_desc_t *l, const matmul_product *p, dnnl_status_t *status) {
  const dnnl_data_type_t types[] = {[FSAM_F32] = dnnl_f32, [FSAM_BF16] = dnnl_bf16};
  const struct {
    dnnl_dims_t shape, strides;
    dnnl_data_type_t type;
  } wanted[OPERANDS] = {
      [A] = {{p->m, p->k}, {p->a_stride, 1}, types[p->type]},
      [B] = {{p->k, p->n}, {p->b_stride, 1}, types[p->type]},
      [C] = {{p->m, p->n}, {p->c_stride, 1}, types[p->c_type]},
      [BIAS] = {{1, p->n}, {p->n, 1}, dnnl_f32},
  };
  const bool transposed[OPERANDS] = {[A] = p->a_transposed, [B] = p->b_transposed};
  int made = 0;
  for (*status = dnnl_success; made < OPERANDS; made++) {
    dnnl_dims_t strides = {wanted[made].strides[transposed[made] ? 1 : 0],
                           wanted[made].strides[transposed[made] ? 0 : 1]};
    *status = layout_new(&l[made], wanted[made].shape, wanted[made].type, strides);
    if (*status) break;
  }
  return made;
}

static dnnl_status_t make_attributes(dnnl_primitive_attr_t *out, bool accumulate) {
  dnnl_status_t status = dnnl_primitive_attr_create(out);
  if (status || !accumulate) return status;
  dnnl_post_ops_t ops;
  status = dnnl_post_ops_create(&ops);
  if (status) return status;
  status = append_sum(ops);
  if (!status) status = dnnl_primitive_attr_set_post_ops(*out, ops);
  dnnl_post_ops_destroy(ops);
  return status;
}

/* Fills e->primitive and e->memory; leaves the primitive NULL where oneDNN lacks these types. */
static dnnl_status_t make_primitive(entry *e, dnnl_engine_t engine) {
  const matmul_product *p = &e->product;
  dnnl_memory_desc_t layouts[OPERANDS];
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t described = NULL;
  dnnl_status_t status;
  int made = make_layouts(layouts, p, &status);
  if (!status) status = make_attributes(&attributes, p->accumulate);
  if (!status) status = describe(&described, layouts, p->biased, attributes, engine);
  if (!status) status = dnnl_primitive_create(&e->primitive, described);
  for (int i = 0; !status && i < OPERANDS; i++)
    status = dnnl_memory_create(&e->memory[i], LAYOUT(layouts[i]), engine, NULL);
  if (described) dnnl_primitive_desc_destroy(described);
  if (attributes) dnnl_primitive_attr_destroy(attributes);
  while (made > 0) layout_free(layouts[--made]);
  return status == dnnl_unimplemented ? dnnl_success : status;
}

static void entry_free(entry *e) {
  if (!e) return;
  for (int i = 0; i < OPERANDS; i++)
    if (e->memory[i]) dnnl_memory_destroy(e->memory[i]);
  if (e->primitive) dnnl_primitive_destroy(e->primitive);
  free(e);
}

/* -- the cache --------------------------------------------------------------------------------- */

static void forget_all(matmul_library *lib) {
  for (int i = 0; i < SLOTS; i++) {
    entry_free(lib->slots[i]);
    lib->slots[i] = NULL;
  }
  lib->count = 0;
}

static uint32_t hash(const matmul_product *p) {
  uint64_t words[sizeof *p / 8], h = 0;
  memcpy(words, p, sizeof words);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    h = (h ^ words[i]) * 0x9e3779b97f4a7c15u, h ^= h >> 32;
  return (uint32_t)h % SLOTS;
}

/* oneDNN ends the program where memory ends while it makes a kernel, so a limit on the address
 * space (ulimit -v) must leave it room. The first product also starts its threads. */
static bool has_room(bool first) {
  const size_t room = (size_t)(first ? 96 : 24) << 20;
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY) return true;
  void *p = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return false;
  munmap(p, room);
  return true;
}

static int no_room(void) {
  return fsam__fail(FSAM_ENOMEM, "linear: the limit of the address space leaves oneDNN too little "
                                 "memory; raise it (ulimit -v)");
}

static int find(entry **out, matmul_library *lib, const matmul_product *p) {
  uint32_t slot = hash(p);
  for (; lib->slots[slot]; slot = (slot + 1) % SLOTS) {
    *out = lib->slots[slot];
    if (!memcmp(&(*out)->product, p, sizeof *p)) return FSAM_OK;
  }
  if (lib->count == MAX_ENTRIES) {
    forget_all(lib);
    slot = hash(p);
  }
  if (!has_room(lib->count == 0)) return no_room();
  entry *e = calloc(1, sizeof *e);
  if (!e) return fsam__fail(FSAM_ENOMEM, "linear: no memory for a product");
  e->product = *p;
  dnnl_status_t status = make_primitive(e, lib->engine);
  if (status) {
    entry_free(e);
    return failed("prepare a product", status);
  }
  lib->slots[slot] = *out = e;
  lib->count++;
  return FSAM_OK;
}

/* -- gradients in f32 -------------------------------------------------------------------------- */

/* Does b lie as rows of n? So it does in both gradients of a layer, never forward. With AVX-512 a
 * primitive then reads b where it lies, and rows that begin whole pages apart (3072 f32) fall on
 * the same few lines of a cache: half as fast. sgemm copies b first, and is as fast or faster for
 * all shapes of a layer; forward it is slower for most (bench/results/products.md). */
static bool by_sgemm(const matmul_product *p) {
  return p->type == FSAM_F32 && p->c_type == FSAM_F32 && !p->b_transposed && !p->biased;
}

static int multiply_f32(matmul_library *lib, const matmul_product *p, float *c, const float *a,
                        const float *b) {
  if (!lib->multiplied && !has_room(lib->count == 0)) return no_room();
  lib->multiplied = true;
  const dnnl_status_t status =
      dnnl_sgemm(p->a_transposed ? 'T' : 'N', 'N', p->m, p->n, p->k, 1, a, p->a_stride, b,
                 p->b_stride, p->accumulate ? 1 : 0, c, p->c_stride);
  return status ? failed("multiply", status) : 1;
}

/* -- the library as matmul.c sees it ----------------------------------------------------------- */

int fsam__matmul_library_new(matmul_library **out) {
  matmul_library *lib = calloc(1, sizeof *lib);
  if (!lib) return fsam__fail(FSAM_ENOMEM, "linear: no memory for the cache of products");
  dnnl_status_t status = dnnl_engine_create(&lib->engine, dnnl_cpu, 0);
  if (!status) status = dnnl_stream_create(&lib->stream, lib->engine, dnnl_stream_default_flags);
  if (status) {
    fsam__matmul_library_free(lib);
    return failed("start", status);
  }
  *out = lib;
  return FSAM_OK;
}

void fsam__matmul_library_free(matmul_library *lib) {
  if (!lib) return;
  forget_all(lib);
  if (lib->stream) dnnl_stream_destroy(lib->stream);
  if (lib->engine) dnnl_engine_destroy(lib->engine);
  free(lib);
}

int fsam__matmul_library_multiply(matmul_library *lib, const matmul_product *p, void *c,
                                  const void *a, const void *b, const float *bias) {
  if (by_sgemm(p)) return multiply_f32(lib, p, c, a, b);
  entry *e = NULL;
  FSAM_TRY(find(&e, lib, p));
  if (!e->primitive) return 0;
  void *const data[OPERANDS] = {[A] = (void *)a, [B] = (void *)b, [C] = c, [BIAS] = (void *)bias};
  const dnnl_exec_arg_t arguments[OPERANDS] = {{DNNL_ARG_SRC, e->memory[A]},
                                               {DNNL_ARG_WEIGHTS, e->memory[B]},
                                               {DNNL_ARG_DST, e->memory[C]},
                                               {DNNL_ARG_BIAS, e->memory[BIAS]}};
  const int count = p->biased ? OPERANDS : OPERANDS - 1;
  dnnl_status_t status = dnnl_success;
  for (int i = 0; i < count && !status; i++)
    status = dnnl_memory_set_data_handle(e->memory[i], data[i]);
  if (!status) status = dnnl_primitive_execute(e->primitive, lib->stream, count, arguments);
  return status ? failed("multiply", status) : 1;
}

/* oneDNN's names are cpu_isa_avx2, fpmath_mode_bf16. */
static const char *without(const char *prefix, const char *name) {
  const size_t n = strlen(prefix);
  return strncmp(name, prefix, n) ? name : name + n;
}

/* The level that the library may use, which DNNL_MAX_CPU_ISA lowers; narrower registers by
 * DNNL_CPU_ISA_HINTS; f32 products of fewer bits by DNNL_DEFAULT_FPMATH_MODE. Asking settles them.
 */
void fsam_matrix_library(char *out, int64_t bytes) {
  const dnnl_version_t *v = dnnl_version();
  dnnl_fpmath_mode_t mode = dnnl_fpmath_mode_strict;
  dnnl_get_default_fpmath_mode(&mode);
  const bool narrow = dnnl_get_cpu_isa_hints() != dnnl_cpu_isa_no_hints;
  const bool strict = mode == dnnl_fpmath_mode_strict;
  snprintf(out, (size_t)bytes, "oneDNN %d.%d.%d %s%s%s%s", v->major, v->minor, v->patch,
           without("cpu_isa_", dnnl_cpu_isa2str(dnnl_get_effective_cpu_isa())),
           narrow ? " prefer-ymm" : "", strict ? "" : " fpmath-",
           strict ? "" : without("fpmath_mode_", dnnl_fpmath_mode2str(mode)));
}
