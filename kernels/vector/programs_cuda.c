/* programs_cuda.c: runs a vector program on a GPU. A stage is two launches: one thread block, which
 * finishes the reductions of the stage before and computes scalars and rows, then the sweep over
 * the model. Registers stay in the device's memory, numbers are arguments; nothing waits for the
 * host. Programs of equal source share their kernels for as long as the process lives. Bound by
 * memory: a sweep reads and writes each of its vectors once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/vector/arguments.h"
#include "kernels/vector/programs_cuda.h"
#include "kernels/vector/select.cuh"

_Static_assert(sizeof(program_block) == sizeof(layout_block) &&
                   offsetof(program_block, count) == offsetof(layout_block, count) &&
                   offsetof(program_block, parameter) == offsetof(layout_block, parameter) &&
                   offsetof(program_block, slot) == offsetof(layout_block, slot),
               "blocks are uploaded as they are");

int program_compile_cuda(fsam_program *program, fsam_device *device);
int program_run_cuda(const fsam_program *program, fsam_layout *layout, const fsam_binding *binding);
int program_select_cuda(uint64_t *mask, const fsam_program *program, fsam_layout *layout,
                        const fsam_binding *binding, const uint8_t *pool, const int64_t *k,
                        int per_parameter, int outside);

enum {
  MAX_STAGED = 48,            /* vectors that the reductions of a sweep read */
  MAX_ARGUMENTS = 32764 & ~7, /* bytes of a kernel's parameters */
};

/* -- compiled programs ------------------------------------------------------------------------- */

typedef struct stage_code {
  void *between, *sweep; /* kernels, or NULL */
  int threads;
  int64_t blocks; /* of the sweep, that fill the device at once */
} stage_code;

typedef struct compiled {
  struct compiled *next;
  char *source;
  void *module;
  stage_code *stages;
} compiled;

static compiled *known; /* list of all that this process has compiled */

static const compiled *find(const char *source) {
  for (const compiled *c = known; c; c = c->next)
    if (!strcmp(c->source, source)) return c;
  return NULL;
}

static int get_kernel(void **kernel, void *module, const char *what, int stage) {
  char name[32];
  snprintf(name, sizeof name, "%s_%d", what, stage);
  return program_module_kernel(kernel, module, name);
}

static int make(compiled *c, const fsam_program *p, fsam_device *device) {
  c->stages = calloc((size_t)p->stage_count, sizeof *c->stages);
  if (!c->stages) return fsam__fail(FSAM_ENOMEM, "program: no memory");
  FSAM_TRY(program_module_make(&c->module, device, c->source));
  for (int i = 0; i < p->stage_count; i++) {
    const program_kernels kernels = program_kernels_of(p, i);
    c->stages[i].threads = kernels.threads;
    if (kernels.between) FSAM_TRY(get_kernel(&c->stages[i].between, c->module, "between", i));
    if (!kernels.sweep) continue;
    FSAM_TRY(get_kernel(&c->stages[i].sweep, c->module, "sweep", i));
    c->stages[i].blocks = (int64_t)program_module_units(device) *
                          program_module_resident(c->stages[i].sweep, kernels.threads);
  }
  return FSAM_OK;
}

static size_t argument_bytes(const fsam_program_size *n) {
  return sizeof(program_fixed) + 8 * ((size_t)n->bound + (size_t)n->cells + (size_t)n->numbers);
}

static int check_limits(const fsam_program *p) {
  if (argument_bytes(&p->size) > MAX_ARGUMENTS)
    return fsam__fail(FSAM_EINVAL,
                      "program: %d numbers and %d computed scalars in one program are too many for "
                      "cuda: flush earlier",
                      p->size.numbers, p->size.cells);
  for (int i = 0; i < p->stage_count; i++) {
    const int staged = program_kernels_of(p, i).staged;
    if (staged > MAX_STAGED)
      return fsam__fail(FSAM_EINVAL,
                        "program: the reductions of one sweep look at %d vectors, on cuda at most "
                        "%d: flush earlier",
                        staged, MAX_STAGED);
  }
  return FSAM_OK;
}

int program_compile_cuda(fsam_program *program, fsam_device *device) {
  FSAM_TRY(check_limits(program));
  char *source = program_source(program);
  if (!source) return fsam__fail(FSAM_ENOMEM, "program: no memory for its source");
  const compiled *found = find(source);
  if (found) {
    free(source);
    program->compiled = found;
    return FSAM_OK;
  }
  compiled *c = calloc(1, sizeof *c);
  int rc = c ? fsam__not_recording(device, "load a new program")
             : fsam__fail(FSAM_ENOMEM, "program: no memory");
  if (c) c->source = source;
  if (rc == FSAM_OK) rc = make(c, program, device);
  if (rc < 0) {
    if (c) free(c->stages);
    free(c);
    free(source);
    return rc;
  }
  c->next = known;
  program->compiled = known = c;
  return FSAM_OK;
}

/* -- memory on the device ---------------------------------------------------------------------- */

/* The next `bytes` of a buffer, 16-byte aligned. */
static void *take(char **memory, size_t bytes) {
  char *p = *memory;
  *memory += (bytes + 15) / 16 * 16;
  return p;
}

/* Places the layout's tables and the program's registers from `memory` on; returns their end. */
static char *lay_out(program_fixed *f, char *memory, const fsam_program *p, const fsam_layout *l) {
  const size_t parameters = (size_t)l->parameters, blocks = (size_t)l->block_count;
  const size_t spans = (size_t)l->first_span[parameters];
  int reductions = 0;
  for (int i = 0; i < p->stage_count; i++)
    if (p->stages[i].reductions > reductions) reductions = p->stages[i].reductions;
  f->blocks = take(&memory, blocks * sizeof *l->blocks);
  f->first_span = take(&memory, (parameters + 1) * sizeof *l->first_span);
  f->span_blocks = take(&memory, spans * sizeof *l->span_blocks);
  f->layer = take(&memory, parameters * sizeof *l->layer);
  f->uniforms = take(&memory, (size_t)p->size.uniforms * sizeof(float));
  f->scalars = take(&memory, (size_t)p->size.scalars * sizeof(double));
  f->rows = take(&memory, (size_t)p->size.rows * parameters * sizeof(double));
  f->partials = take(&memory, (size_t)reductions * SPAN * spans * sizeof(double));
  f->sums = take(&memory, (size_t)reductions * parameters * sizeof(double));
  return memory;
}

/* Places the layout's tables and the program's registers on the device. Copies the tables only when
 * their memory is new, at the first program or when a program needs more registers. */
static int prepare(program_fixed *f, const fsam_program *p, fsam_layout *l) {
  fsam_device *device = l->device;
  const fsam_memory *memory = device->memory;
  program_fixed none;
  const size_t bytes = (size_t)(lay_out(&none, NULL, p, l) - (char *)NULL);
  const int32_t spans = l->first_span[l->parameters];
  *f = (program_fixed){.act = l->act,
                       .partial_count = (int64_t)SPAN * spans,
                       .parameters = l->parameters,
                       .spans = spans,
                       .units = program_module_units(device)};
  if (bytes > l->on_device_bytes) {
    FSAM_TRY(fsam__not_recording(device, "enlarge a program's registers"));
    fsam__give(device, l->on_device);
    l->on_device_bytes = 0;
    l->on_device = memory->alloc(device, bytes);
    if (!l->on_device)
      return fsam__fail(FSAM_ENOMEM, "program: no memory on the device for its registers");
    lay_out(f, l->on_device, p, l);
    FSAM_TRY(memory->copy_in(device, (void *)f->blocks, l->blocks,
                             (size_t)l->block_count * sizeof *l->blocks));
    FSAM_TRY(memory->copy_in(device, (void *)f->first_span, l->first_span,
                             ((size_t)l->parameters + 1) * sizeof *l->first_span));
    FSAM_TRY(memory->copy_in(device, (void *)f->span_blocks, l->span_blocks,
                             (size_t)spans * sizeof *l->span_blocks));
    FSAM_TRY(memory->copy_in(device, (void *)f->layer, l->layer,
                             (size_t)l->parameters * sizeof *l->layer));
    l->on_device_bytes = bytes;
  }
  lay_out(f, l->on_device, p, l);
  f->blocks += l->first; /* of a layout in shares, this process's; their slots are the whole's */
  f->block_count = l->end - l->first;
  return FSAM_OK;
}

/* -- running ----------------------------------------------------------------------------------- */

/* The fixed part, then bound vectors, cells and numbers, as the source declares them. */
static void pack(char *to, const program_fixed *f, const fsam_program_size *n,
                 const fsam_binding *b) {
  memcpy(to, f, sizeof *f);
  to += sizeof *f;
  if (n->bound) memcpy(to, b->bound, 8 * (size_t)n->bound);
  to += 8 * (size_t)n->bound;
  if (n->cells) memcpy(to, b->cells, 8 * (size_t)n->cells);
  to += 8 * (size_t)n->cells;
  if (n->numbers) memcpy(to, b->numbers, 8 * (size_t)n->numbers);
}

/* The sweep of stage `i`. Where each rank sweeps a share of the blocks, all get the partial sums of
 * all: each is in one rank's memory, and zeros in the others', so that sums of their bits as whole
 * numbers are the bits themselves. They are then finished in the order of the whole. */
static int run_sweep(const fsam_program *p, fsam_layout *l, int i, const program_fixed *f,
                     void *arguments, size_t bytes) {
  const stage_code *stage = &((const compiled *)p->compiled)->stages[i];
  const int64_t partials = p->stages[i].reductions * f->partial_count;
  const bool gathers = layout_is_shared(l) && partials > 0;
  const int64_t blocks = f->block_count < stage->blocks ? f->block_count : stage->blocks;
  if (gathers)
    FSAM_TRY(l->device->memory->zero(l->device, f->partials, (size_t)partials * sizeof(double)));
  if (blocks > 0) /* a rank may have none, and still gets what the others have */
    FSAM_TRY(program_module_start(l->device, stage->sweep, "program", blocks, stage->threads,
                                  arguments, bytes));
  return gathers ? fsam__ranks_sum_words(l->device, f->partials, partials, sizeof(double))
                 : FSAM_OK;
}

/* Is the first sweep nothing but the sum of squares of a vector of which its blocks' are known? */
static bool begins_with_known(const fsam_program *p, const fsam_layout *l, const fsam_binding *b) {
  const program_stage *first = &p->stages[0];
  if (!l->squared || first->end - first->vectors != 1) return false;
  const fsam_instruction *in = &p->code[first->vectors];
  return in->op == OP_DOT && in->a == in->b && in->a < p->size.bound &&
         b->bound[in->a] == l->squared;
}

/* Stages [0, end), with `keys` for what KEY names. */
static int run_stages(const fsam_program *p, fsam_layout *l, const fsam_binding *b, int end,
                      float *keys) {
  const compiled *c = p->compiled;
  fsam_device *device = l->device;
  const size_t bytes = argument_bytes(&p->size);
  _Alignas(16) char arguments[MAX_ARGUMENTS];
  program_fixed f;
  FSAM_TRY(prepare(&f, p, l));
  f.keys = keys;
  pack(arguments, &f, &p->size, b);
  const bool summed = begins_with_known(p, l, b);
  l->squared = NULL; /* the program may change them, and the vector */
  for (int i = 0; i < end; i++) {
    const stage_code *stage = &c->stages[i];
    double **partials = &((program_fixed *)arguments)->partials;
    if (summed && i == 1) *partials = l->squares;
    if (stage->between)
      FSAM_TRY(program_module_start(device, stage->between, "program", 1, BETWEEN_THREADS,
                                    arguments, bytes));
    *partials = f.partials; /* a sweep leaves its own */
    if (stage->sweep && !(summed && i == 0)) FSAM_TRY(run_sweep(p, l, i, &f, arguments, bytes));
  }
  return FSAM_OK;
}

int program_run_cuda(const fsam_program *program, fsam_layout *layout,
                     const fsam_binding *binding) {
  return run_stages(program, layout, binding, program->stage_count, NULL);
}

/* The keys of a selection by a vector that lies in memory: that vector. NULL of any other. */
static const float *keys_in_memory(const fsam_program *p, const fsam_binding *binding) {
  const bool plain = p->count == 3 && p->code[0].op == OP_SWEEP && p->code[1].op == OP_KEY;
  return plain && p->code[1].a < p->size.bound ? binding->bound[p->code[1].a] : NULL;
}

/* Computes the keys, of which this process may hold a share: *keys is where element 0 would be.
 * Their memory stays with the layout: freeing it would wait for the device, and the next selection
 * would wait for new memory. */
static int compute_keys(const float **keys, const fsam_program *program, fsam_layout *l,
                        const fsam_binding *binding) {
  const bool shared = layout_is_shared(l);
  const int64_t first = shared ? l->share_starts[l->share] : 0;
  const int64_t end = shared ? l->share_starts[l->share + 1] : l->total;
  const size_t bytes = (size_t)(end - first + 4) * sizeof(float);
  if (!l->keys) l->keys = l->device->memory->alloc(l->device, bytes);
  if (!l->keys)
    return fsam__fail(FSAM_ENOMEM, "select: no memory for %.1f MB of keys", (double)bytes / 1e6);
  *keys = l->keys - first;
  return run_stages(program, l, binding, program->stage_count - 1, l->keys - first);
}

int program_select_cuda(uint64_t *mask, const fsam_program *program, fsam_layout *layout,
                        const fsam_binding *binding, const uint8_t *pool, const int64_t *k,
                        int per_parameter, int outside) {
  fsam_device *device = layout->device;
  FSAM_TRY(fsam__not_recording(device, "select"));
  const float *keys = keys_in_memory(program, binding);
  program_fixed f;
  if (!keys) FSAM_TRY(compute_keys(&keys, program, layout, binding));
  FSAM_TRY(prepare(&f, program, layout));
  return select_keys_cuda(mask, keys, (const layout_block *)f.blocks, layout, pool, k,
                          per_parameter, outside);
}
