/* interpreter.c: runs a vector program on the CPU. A sweep is split over threads by blocks and
 * walked in strips; every instruction is one function call per strip. Strips are short, not only
 * for the sake of the first-level cache: the processor then looks ahead over several instructions,
 * so that loads of one overlap divisions of another (measured on AdamW over 4 M elements, ns per
 * element: strips of 64 1.04, 128 0.95, 256 1.08, 512 1.75; prefetching made each slower). Leaves
 * to others: what an instruction computes (program.def and the files that interpreter.h names). */
#include "kernels/vector/interpreter.h"

enum { SERIAL = 16 * BLOCK }; /* with fewer elements threads cost more than they give */

static program_fn function_of(const fsam_instruction *in) {
  program_fn fn = FSAM_CPU(program_elementwise)(in->op, in->kinds);
  if (!fn) fn = FSAM_CPU(program_memory)(in->op, in->kinds);
  return fn ? fn : FSAM_CPU(program_reduce)(in->op);
}

/* Is the instruction's output a bound f32 vector, written in place? */
static bool writes_bound(const fsam_program *p, const fsam_instruction *in) {
  return op_letter(in->op, 0) == 'v' && in->out < p->size.bound;
}

/* Carves the registers out of the layout's workspace. */
int FSAM_CPU(program_begin)(program_state *s, const fsam_program *p, fsam_layout *l,
                            const fsam_binding *b) {
  int reductions = 0, steps = 0;
  for (int i = 0; i < p->stage_count; i++) {
    const program_stage *stage = &p->stages[i];
    if (stage->reductions > reductions) reductions = stage->reductions;
    if (stage->end - stage->vectors > steps) steps = stage->end - stage->vectors;
  }
  const int64_t step_doubles = (int64_t)(sizeof(program_step) / sizeof(double) + 1) * steps;
  const int64_t rows = (int64_t)p->size.rows * l->parameters;
  const int64_t partials = (int64_t)reductions * l->block_count;
  double *memory = fsam__layout_workspace(
      l, step_doubles + p->size.scalars + rows + 2 * l->parameters + partials);
  if (!memory) return fsam__fail(FSAM_ENOMEM, "program: no memory for its partial sums");
  s->program = p;
  s->layout = l;
  s->binding = b;
  s->steps = (program_step *)memory;
  s->scalars = memory + step_doubles;
  s->rows = s->scalars + p->size.scalars;
  s->sums = s->rows + rows;
  s->partials = s->sums + 2 * l->parameters;
  memset(s->scalars, 0, (size_t)(p->size.scalars + rows) * sizeof(double));
  if (p->size.numbers) memcpy(s->scalars, b->numbers, (size_t)p->size.numbers * sizeof(double));
  for (int i = 0; i < p->size.uniforms; i++) s->row_of[i] = -1;
  return FSAM_OK;
}

void FSAM_CPU(program_prepare)(program_state *s, const program_stage *stage) {
  const fsam_program *p = s->program;
  FSAM_CPU(program_scalars)
  (p, s->layout, s->binding, stage->scalars, stage->sweep, s->scalars, s->rows, s->u, s->row_of);
  int reductions = 0;
  bool written[MAX_BOUND] = {false};
  s->step_count = stage->end - stage->vectors;
  s->written_count = 0;
  for (int i = 0; i < s->step_count; i++) {
    const fsam_instruction *in = &p->code[stage->vectors + i];
    s->steps[i] = (program_step){function_of(in), *in};
    if (op_reduces(in->op)) s->steps[i].in.d = reductions++;
    if (!writes_bound(p, in) || written[in->out]) continue;
    written[in->out] = true;
    s->written[s->written_count++] = in->out;
  }
}

void FSAM_CPU(program_frame_init)(program_frame *f, const program_state *s, float *temps) {
  const fsam_program_size *size = &s->program->size;
  f->s = s->scalars;
  f->bound = s->binding->bound;
  f->act = s->layout->act;
  f->key = NULL;
  f->copies = temps + (int64_t)MAX_TEMPS * STRIP;
  for (int i = 0; i < size->temps; i++) f->r[size->bound + i] = temps + i * STRIP;
  memcpy(f->u, s->u, (size_t)size->uniforms * sizeof *f->u);
}

static void broadcast_rows(program_frame *f, const program_state *s, int parameter) {
  for (int i = 0; i < s->program->size.uniforms; i++)
    if (s->row_of[i] >= 0)
      f->u[i] = (float)s->rows[(int64_t)s->row_of[i] * s->layout->parameters + parameter];
}

static void run_steps(program_frame *f, const program_state *s) {
  for (int i = 0; i < s->step_count; i++) s->steps[i].fn(f, &s->steps[i].in);
}

/* Instructions write to copies first, and what they have written is stored afterwards: of a
 * parameter's last strip, when it ends inside a SIMD vector, without the padding behind the
 * parameter; of zeros that become zeros, nothing. */
static void run_on_copies(program_frame *f, const program_state *s) {
  float *home[MAX_BOUND];
  for (int k = 0; k < s->written_count; k++) {
    float **r = &f->r[s->written[k]];
    home[k] = *r;
    *r = f->copies + (int64_t)k * STRIP;
    memcpy(*r, home[k], (size_t)f->padded * sizeof(float));
  }
  run_steps(f, s);
  for (int k = 0; k < s->written_count; k++) {
    const float *result = f->r[s->written[k]];
    if (v_all_zero(result, f->n) && v_all_zero(home[k], f->n)) continue;
    memcpy(home[k], result, (size_t)f->n * sizeof(float));
  }
}

/* Does the strip's part of a vector that will be written hold zeros alone? Such are the moments of
 * an embedding's rows whose tokens no batch has had. Pages that are never written take no memory,
 * as in embedding.c. */
static bool has_zeros(const program_frame *f, const program_state *s) {
  for (int k = 0; k < s->written_count; k++)
    if (v_all_zero(f->r[s->written[k]], f->n)) return true;
  return false;
}

void FSAM_CPU(program_block)(program_frame *f, const program_state *s, int64_t index,
                             program_sink sink, void *context) {
  const layout_block *block = &s->layout->blocks[index];
  const int bound = s->program->size.bound;
  broadcast_rows(f, s, block->parameter);
  for (int done = 0; done < block->count; done += STRIP) {
    f->n = block->count - done < STRIP ? block->count - done : STRIP;
    f->padded = (f->n + WIDE - 1) / WIDE * WIDE;
    f->offset = block->offset + done;
    for (int i = 0; i < bound; i++) f->r[i] = (float *)f->bound[i] + f->offset;
    if (f->n < f->padded || has_zeros(f, s))
      run_on_copies(f, s);
    else
      run_steps(f, s);
    if (sink) sink(context, f);
  }
}

static void run_sweep(program_state *s) {
  const int64_t blocks = s->layout->block_count;
  int ops[MAX_REDUCTIONS], reductions = 0;
  for (int i = 0; i < s->step_count; i++)
    if (op_reduces(s->steps[i].in.op)) ops[reductions++] = s->steps[i].in.op;
#pragma omp parallel if ((s->layout->end - s->layout->first) * BLOCK > SERIAL)
  {
    _Alignas(64) float temps[(MAX_TEMPS + MAX_BOUND) * STRIP];
    program_frame f;
    FSAM_CPU(program_frame_init)(&f, s, temps);
#pragma omp for schedule(static)
    for (int64_t block = s->layout->first; block < s->layout->end; block++) {
      for (int r = 0; r < reductions; r++)
        for (int k = 0; k < WIDE; k++) f.lanes[r][k] = FSAM_CPU(program_identity)(ops[r]);
      FSAM_CPU(program_block)(&f, s, block, NULL, NULL);
      for (int r = 0; r < reductions; r++)
        s->partials[r * blocks + block] = FSAM_CPU(program_fold)(ops[r], f.lanes[r]);
    }
  }
}

/* A parameter's result: the blocks of each span in order, then the spans in order. A GPU does all
 * spans of the model at once (generated.cuh). */
static double parameter_result(const fsam_layout *l, int op, const double *partial, int parameter) {
  const double *next = partial + l->first_block[parameter];
  double result = FSAM_CPU(program_identity)(op);
  for (int i = l->first_span[parameter]; i < l->first_span[parameter + 1]; i++) {
    double span = FSAM_CPU(program_identity)(op);
    for (int k = 0; k < l->span_blocks[i]; k++) span = FSAM_CPU(program_combine)(op, span, *next++);
    result = FSAM_CPU(program_combine)(op, result, span);
  }
  return result;
}

/* Combines the parameters' results in order, into one for the model or one for each layer. The row
 * has a layer's result at each of the layer's parameters. */
static void finish(program_state *s, const fsam_instruction *in) {
  const fsam_layout *l = s->layout;
  const double *partial = s->partials + in->d * l->block_count;
  const int group = op_group(in);
  double *sums = s->sums,
         *totals = group == GROUP_ALL ? &s->scalars[in->out] : sums + l->parameters;
  for (int k = 0; k < l->parameters; k++) sums[k] = parameter_result(l, in->op, partial, k);
  for (int k = 0; k < (group == GROUP_ALL ? 1 : l->layers); k++)
    totals[k] = FSAM_CPU(program_identity)(in->op);
  for (int k = 0; k < l->parameters; k++) {
    double *to = &totals[group == GROUP_ALL ? 0 : l->layer[k]];
    *to = FSAM_CPU(program_combine)(in->op, *to, sums[k]);
  }
  if (group == GROUP_ALL) return;
  double *row = s->rows + (int64_t)in->out * l->parameters;
  for (int k = 0; k < l->parameters; k++)
    row[k] = group == GROUP_PARAMETER ? sums[k] : totals[l->layer[k]];
}

/* Where each rank has run its share of the blocks: their partial sums from all of them. So the
 * results are added in the same order as without shares. */
static int gather_partials(program_state *s, int reductions) {
  const fsam_layout *l = s->layout;
  if (!layout_is_shared(l)) return FSAM_OK;
  for (int r = 0; r < reductions; r++)
    FSAM_TRY(fsam__ranks_gather(s->partials + r * l->block_count, l->share_blocks, sizeof(double)));
  return FSAM_OK;
}

int FSAM_CPU(program_stage_run)(program_state *s, const program_stage *stage) {
  FSAM_CPU(program_prepare)(s, stage);
  if (stage->end == stage->vectors) return FSAM_OK;
  run_sweep(s);
  FSAM_TRY(gather_partials(s, stage->reductions));
  for (int i = 0; i < s->step_count; i++)
    if (op_reduces(s->steps[i].in.op)) finish(s, &s->steps[i].in);
  return FSAM_OK;
}

/* The CPU interprets and prepares nothing. */
int FSAM_CPU(program_compile)(fsam_program *program, fsam_device *device) {
  (void)program, (void)device;
  return FSAM_OK;
}

int FSAM_CPU(program_run)(const fsam_program *program, fsam_layout *layout,
                          const fsam_binding *binding) {
  program_state s;
  FSAM_TRY(FSAM_CPU(program_begin)(&s, program, layout, binding));
  for (int i = 0; i < program->stage_count; i++)
    FSAM_TRY(FSAM_CPU(program_stage_run)(&s, &program->stages[i]));
  return FSAM_OK;
}
