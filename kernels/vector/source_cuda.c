/* source_cuda.c: a vector program as CUDA source. One kernel does a sweep over the model, another,
 * with a single thread block, the work between sweeps (programs_cuda.h). Registers become arrays of
 * a thread's elements, instructions become lines; numbers are arguments, so that equal structure is
 * equal text. Owns: the kernels between sweeps, and the whole text. Leaves to others: the kernel of
 * a sweep (sweep_cuda.c), the lines of single instructions (instruction_text_cuda.c). */
#include <stdlib.h>

#include "kernels/vector/source_cuda.h"

int program_bound_class(const fsam_program *p, int slot) {
  for (int i = 0; i < p->count; i++) {
    const fsam_instruction *in = &p->code[i];
    for (int k = 0; k <= op_inputs(in->op); k++) {
      const char letter = op_letter(in->op, k);
      if ((letter == 'm' || letter == 'w') && op_field(in, k) == slot)
        return letter == 'm' ? BOUND_BITS : BOUND_ACT;
    }
  }
  return BOUND_F32;
}

void source_each_reduction(source *w, void (*put_one)(source *, const fsam_instruction *, int r)) {
  for (int i = w->stage->vectors, r = 0; i < w->stage->end; i++)
    if (op_reduces(w->p->code[i].op)) put_one(w, &w->p->code[i], r++);
}

/* -- between sweeps ---------------------------------------------------------------------------- */

/* Does the instruction have a line in the kernel between sweeps, for this space? The BROADCAST of a
 * row has none: the sweep reads the row. */
static bool works(const fsam_instruction *in, int space) {
  return in->space == space && !(space == SPACE_ROW && in->op == OP_BROADCAST);
}

static bool any(const fsam_program *p, const program_stage *stage, int space) {
  for (int i = stage->scalars; i < stage->sweep; i++)
    if (works(&p->code[i], space)) return true;
  return false;
}

/* Where a reduction's results in the parameters go. */
static void put_parameter_results(source *w, const fsam_instruction *in, int r) {
  if (op_group(in) == GROUP_PARAMETER)
    source_put(w, "r + (int64_t)%d * n", in->out);
  else
    source_put(w, "a.f.sums + (int64_t)%d * n", r);
}

static void put_finish_spans(source *w, const fsam_instruction *in, int r) {
  source_put(w, "  finish_spans(a.f, %s, %d);\n", fsam__ops[in->op].name, r);
}

static void put_finish_parameters(source *w, const fsam_instruction *in, int r) {
  source_put(w, "  finish_parameters(a.f, %s, %d, ", fsam__ops[in->op].name, r);
  put_parameter_results(w, in, r);
  source_put(w, ");\n");
}

static void put_finish_groups(source *w, const fsam_instruction *in, int r) {
  if (op_group(in) == GROUP_PARAMETER) return;
  const bool all = op_group(in) == GROUP_ALL;
  source_put(w, "  finish_%s(a.f, %s, %d, ", all ? "model" : "layers", fsam__ops[in->op].name, r);
  put_parameter_results(w, in, r);
  source_put(w, all ? ", &s[%d]);\n" : ", r + (int64_t)%d * n);\n", in->out);
}

/* Finishes the reductions of the sweep before, each step for all of them together. */
static void put_finish(source *w) {
  source_each_reduction(w, put_finish_spans);
  source_put(w, "  __syncthreads();\n");
  source_each_reduction(w, put_finish_parameters);
  source_put(w, "  __syncthreads();\n");
  source_each_reduction(w, put_finish_groups);
}

static void put_between(source *w, int number) {
  const program_stage *stage = w->stage;
  source_put(w,
             "\nPROGRAM_KERNEL(between_%d, %d) {\n"
             "  double *const s = a.f.scalars, *const r = a.f.rows;\n"
             "  const int n = a.f.parameters;\n  (void)s, (void)r, (void)n;\n",
             number, BETWEEN_THREADS);
  if (number == 0 && w->p->size.numbers)
    source_put(w, "  for (int i = (int)threadIdx.x; i < %d; i += %d) s[i] = a.numbers[i];\n",
               w->p->size.numbers, BETWEEN_THREADS);
  if (number > 0 && w->p->stages[number - 1].reductions) {
    w->stage = &w->p->stages[number - 1];
    put_finish(w);
    w->stage = stage;
  }
  source_put(w, "  __syncthreads();\n");
  if (any(w->p, stage, SPACE_SCALAR)) {
    source_put(w, "  if (threadIdx.x == 0) {\n");
    for (int i = stage->scalars; i < stage->sweep; i++)
      if (works(&w->p->code[i], SPACE_SCALAR)) source_put_scalar(w, &w->p->code[i], "    ");
    source_put(w, "  }\n");
  }
  if (any(w->p, stage, SPACE_ROW)) {
    source_put(w, "  __syncthreads();\n  for (int k = (int)threadIdx.x; k < n; k += %d) {\n",
               BETWEEN_THREADS);
    for (int i = stage->scalars; i < stage->sweep; i++)
      if (works(&w->p->code[i], SPACE_ROW)) source_put_scalar(w, &w->p->code[i], "    ");
    source_put(w, "  }\n");
  }
  source_put(w, "}\n");
}

/* -- a program --------------------------------------------------------------------------------- */

/* Threads of a block: as many as 48 KiB of shared memory allow, where each thread has 8 elements of
 * each staged vector. */
static int threads_of(int laid_vectors) {
  int threads = 256;
  while (threads > 32 && laid_vectors * threads * 32 > 48 << 10) threads /= 2;
  return threads;
}

program_kernels program_kernels_of(const fsam_program *p, int stage) {
  const program_stage *s = &p->stages[stage];
  program_kernels k = {.sweep = s->end > s->vectors};
  k.between = any(p, s, SPACE_SCALAR) || any(p, s, SPACE_ROW) ||
              (k.sweep &&
               ((stage == 0 && p->size.numbers) || (stage > 0 && p->stages[stage - 1].reductions)));
  k.staged = source_staged(p, stage);
  k.threads = threads_of(k.staged);
  return k;
}

static void put_arguments(source *w) {
  const fsam_program_size *size = &w->p->size;
  source_put(
      w, "#include \"kernels/vector/vector_math.cuh\"\n\nstruct arguments {\n  program_fixed f;\n");
  if (size->bound) source_put(w, "  void *bound[%d];\n", size->bound);
  if (size->cells) source_put(w, "  double *cells[%d];\n", size->cells);
  if (size->numbers) source_put(w, "  double numbers[%d];\n", size->numbers);
  source_put(w, "};\n");
}

char *program_source(const fsam_program *p) {
  source w = {.p = p};
  for (int i = 0; i < MAX_UNIFORMS; i++) w.row_of[i] = -1;
  put_arguments(&w);
  for (int i = 0; i < p->stage_count; i++) {
    const program_kernels kernels = program_kernels_of(p, i);
    w.stage = &p->stages[i];
    w.threads = kernels.threads;
    for (int k = w.stage->scalars; k < w.stage->sweep; k++)
      if (p->code[k].op == OP_BROADCAST)
        w.row_of[p->code[k].out] = p->code[k].space == SPACE_ROW ? p->code[k].a : -1;
    if (kernels.between) put_between(&w, i);
    if (kernels.sweep) source_put_sweep(&w, i);
  }
  if (!w.failed) return w.text;
  free(w.text);
  return NULL;
}
