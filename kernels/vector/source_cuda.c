/* source_cuda.c: a vector program as CUDA source. One kernel walks the model for each pass,
 * one with a single thread block does what stands between passes (program_cuda.h). Registers become
 * arrays of a thread's elements, instructions lines; numbers are arguments, so that equal structure
 * is equal text. The functions that the text calls: program_device.cuh, program_math.cuh. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/vector/programs_cuda.h"

/* -- what instructions say --------------------------------------------------------------------- */

/* @a … @d stand for inputs. */
#define FIRST_ADD "(@a + @b)"
#define FIRST_SUB "(@a - @b)"
#define FIRST_MUL "(@a * @b)"
#define FIRST_DIV "(@a / @b)"
#define SECOND_ADD(x) x " + @c"
#define SECOND_SUB(x) x " - @c"
#define SECOND_RSUB(x) "@c - " x
#define SECOND_MUL(x) x " * @c"
#define SECOND_DIV(x) x " / @c"
#define SECOND_RDIV(x) "@c / " x

/* Of vectors, f32. */
static const char *const ELEMENTWISE[OP_COUNT] = {
    [OP_COPY] = "@a",
    [OP_NEG] = "-@a",
    [OP_ABS] = "fabsf(@a)",
    [OP_SQRT] = "sqrtf(@a)",
    [OP_SIGN] = "sign(@a)",
    [OP_EXP] = "exponential(@a)",
    [OP_LOG] = "logarithm(@a)",
    [OP_NOT] = "@a == 0 ? 1.0f : 0.0f",
    [OP_ADD] = "@a + @b",
    [OP_SUB] = "@a - @b",
    [OP_MUL] = "@a * @b",
    [OP_DIV] = "@a / @b",
    [OP_MIN] = "smaller(@a, @b)",
    [OP_MAX] = "larger(@a, @b)",
    [OP_GT] = "@a > @b ? 1.0f : 0.0f",
    [OP_GE] = "@a >= @b ? 1.0f : 0.0f",
    [OP_EQ] = "@a == @b ? 1.0f : 0.0f",
    [OP_KEEP] = "@a != 0 ? @b : 0.0f",
    [OP_SELECT] = "@a != 0 ? @b : @c",
    [OP_QUOTIENT] = "quotient(@a, @b)",
    [OP_ABS_ADD] = "fabsf(@a) + @b",
    [OP_MUL_MUL_ADD] = "@a * @b + @c * @d",
    [OP_MUL_MUL_SUB] = "@a * @b - @c * @d",
    [OP_ADD_STORE_ACT] = "@a + @b",
    [OP_MUL_ADD_STORE_ACT] = "@a * @b + @c",
    [OP_STORE_ACT] = "@a",
#define FSAM_OP(name, operands)
#define FSAM_FUSED(first, second) [OP_##first##_##second] = SECOND_##second(FIRST_##first),
#include "engine/program.def"
#undef FSAM_FUSED
#undef FSAM_OP
};

/* Of scalars and rows, f64. */
static const char *const SCALAR[OP_COUNT] = {
    [OP_COPY] = "@a",
    [OP_NEG] = "-@a",
    [OP_ABS] = "fabs(@a)",
    [OP_SQRT] = "sqrt(@a)",
    [OP_SIGN] = "sign(@a)",
    [OP_EXP] = "exp(@a)",
    [OP_LOG] = "log(@a)",
    [OP_NOT] = "@a == 0 ? 1.0 : 0.0",
    [OP_ADD] = "@a + @b",
    [OP_SUB] = "@a - @b",
    [OP_MUL] = "@a * @b",
    [OP_DIV] = "quotient(@a, @b)",
    [OP_MIN] = "smaller(@a, @b)",
    [OP_MAX] = "larger(@a, @b)",
    [OP_POW] = "power(@a, @b)",
    [OP_GT] = "@a > @b ? 1.0 : 0.0",
    [OP_GE] = "@a >= @b ? 1.0 : 0.0",
    [OP_EQ] = "@a == @b ? 1.0 : 0.0",
    [OP_KEEP] = "@a != 0 ? @b : 0.0",
    [OP_SELECT] = "@a != 0 ? @b : @c",
};

static const char *const OPERANDS[OP_COUNT] = {
#define FSAM_OP(name, operands) operands,
#include "engine/program.def"
#undef FSAM_OP
};

static bool stores_act(int op) { return op >= OP_STORE_ACT && op <= OP_MUL_ADD_STORE_ACT; }

static bool has_two_inputs(int op) { return op == OP_DOT || op == OP_MUL_SQUARES; }

/* Field `i` of an instruction: out, a, b, c, d. */
static int field(const fsam_instruction *in, int i) {
  const int32_t fields[] = {in->out, in->a, in->b, in->c, in->d};
  return fields[i];
}

/* Does operand `i` (0: out) name a vector register? */
static bool names_vector(const fsam_instruction *in, int i) {
  const char *operands = OPERANDS[in->op];
  return i < (int)strlen(operands) && operands[i] == 'v' && (i == 0 || !(in->kinds >> (i - 1) & 1));
}

int program_bound_class(const fsam_program *p, int slot) {
  for (int i = 0; i < p->count; i++) {
    const fsam_instruction *in = &p->code[i];
    const char *b = in->space == SPACE_VECTOR ? strchr(OPERANDS[in->op], 'b') : NULL;
    if (!b || field(in, (int)(b - OPERANDS[in->op])) != slot) continue;
    return stores_act(in->op) || in->op == OP_LOAD_ACT ? BOUND_ACT : BOUND_BITS;
  }
  return BOUND_F32;
}

/* -- text -------------------------------------------------------------------------------------- */

/* Grows; `failed` when there was no memory. */
typedef struct writer {
  char *text;
  size_t length, room;
  bool failed;
  const fsam_program *p;
  const program_stage *stage;
  int threads;
  int row_of[MAX_UNIFORMS]; /* the row register that a uniform is spread from, or -1 */
} writer;

__attribute__((format(printf, 2, 3))) static void put(writer *w, const char *format, ...) {
  va_list list;
  va_start(list, format);
  const int more = vsnprintf(NULL, 0, format, list);
  va_end(list);
  if (w->length + (size_t)more + 1 > w->room) {
    const size_t room = 2 * w->room + (size_t)more + 4096;
    char *text = realloc(w->text, room);
    w->failed |= !text;
    if (!text) return;
    w->text = text;
    w->room = room;
  }
  va_start(list, format);
  w->length += (size_t)vsnprintf(w->text + w->length, (size_t)more + 1, format, list);
  va_end(list);
}

/* A template's text, with each @x replaced by `name(w, in, index of x from 1)`. */
static void put_template(writer *w, const char *text, const fsam_instruction *in,
                         void (*name)(writer *, const fsam_instruction *, int)) {
  for (; *text; text++) {
    if (*text == '@')
      name(w, in, *++text - 'a' + 1);
    else
      put(w, "%c", *text);
  }
}

/* -- vectors ----------------------------------------------------------------------------------- */

static void put_array(writer *w, int number) {
  const int bound = w->p->size.bound;
  put(w, number < bound ? "b%d" : "t%d", number < bound ? number : number - bound);
}

static void put_element(writer *w, const fsam_instruction *in, int i) {
  if (in->kinds >> (i - 1) & 1) {
    put(w, "u%d", field(in, i));
  } else {
    put_array(w, field(in, i));
    put(w, "[k]");
  }
}

static void put_elementwise(writer *w, const fsam_instruction *in, const char *text) {
  put(w, "      EACH ");
  put_array(w, in->out);
  put(w, "[k] = ");
  put_template(w, text, in, put_element);
  put(w, ";\n");
}

static void put_random(writer *w, const fsam_instruction *in) {
  const bool round = in->op == OP_ROUND_RANDOM;
  put(w, "      %s(",
      round                 ? "round_random"
      : in->op == OP_NORMAL ? "random_normal"
                            : "random_uniform");
  put_array(w, in->out);
  put(w, ", ");
  if (round) put_array(w, in->a);
  if (round) put(w, ", p, w%d, w%d);\n", in->b, in->c);
  if (!round) put(w, "p, w%d, w%d, w%d);\n", in->a, in->b, in->c);
}

static void put_store_act(writer *w, const fsam_instruction *in) {
  put(w, "      {\n        float v[WIDTH];\n        EACH v[k] = ");
  put_template(w, ELEMENTWISE[in->op], in, put_element);
  put(w, ";\n        store_act(a.bound[%d], v, p);\n      }\n", in->out);
}

static void put_set_bits(writer *w, const fsam_instruction *in) {
  if (in->kinds & 1) {
    put(w, "      m%d = u%d != 0 ? (1u << WIDTH) - 1 : 0;\n", in->out, in->a);
  } else {
    put(w, "      m%d = conditions(", in->out);
    put_array(w, in->a);
    put(w, ");\n");
  }
  put(w, "      store_bits(a.bound[%d], m%d, p);\n", in->out, in->out);
}

static void put_vector(writer *w, const fsam_instruction *in) {
  switch (in->op) {
    case OP_POW:
      put_elementwise(w, in, in->kinds == 2 ? "power_fixed(@a, @b)" : "power(@a, @b)");
      return;
    case OP_BITS:
      put(w, "      EACH ");
      put_array(w, in->out);
      put(w, "[k] = (float)(m%d >> k & 1u);\n", in->a);
      return;
    case OP_KEEP_BITS:
      put(w, "      EACH ");
      put_array(w, in->out);
      put(w, "[k] = m%d >> k & 1u ? ", in->a);
      put_element(w, in, 2);
      put(w, " : 0.0f;\n");
      return;
    case OP_SET_BITS:
      put_set_bits(w, in);
      return;
    case OP_LOAD_ACT:
      put(w, "      load_act(");
      put_array(w, in->out);
      put(w, ", a.bound[%d], p);\n", in->a);
      return;
    case OP_ROUND:
      put(w, "      round_nearest(");
      put_array(w, in->out);
      put(w, ", ");
      put_array(w, in->a);
      put(w, ", p);\n");
      return;
    case OP_ROUND_RANDOM:
    case OP_UNIFORM:
    case OP_NORMAL:
      put_random(w, in);
      return;
    case OP_KEY:
      put(w, "      if (a.f.keys) store(a.f.keys, ");
      put_array(w, in->a);
      put(w, ", p);\n");
      return;
    default:
      if (stores_act(in->op))
        put_store_act(w, in);
      else if (ELEMENTWISE[in->op])
        put_elementwise(w, in, ELEMENTWISE[in->op]);
  }
}

/* -- what a pass declares ---------------------------------------------------------------------- */

/* What its instructions touch. */
typedef struct usage {
  bool read_first[MAX_BOUND], written[MAX_BOUND]; /* f32 vectors */
  bool mask[MAX_BOUND], mask_read[MAX_BOUND];
  bool temp[MAX_TEMPS], uniform[MAX_UNIFORMS];
} usage;

static void note_vector(usage *u, int number, int bound, bool writes) {
  if (number >= bound) {
    u->temp[number - bound] = true;
  } else if (writes) {
    u->written[number] = true;
  } else if (!u->written[number]) {
    u->read_first[number] = true;
  }
}

static void note(usage *u, const fsam_instruction *in, int bound) {
  const char *operands = OPERANDS[in->op];
  for (int i = 1; i < (int)strlen(operands); i++) {
    if (names_vector(in, i)) note_vector(u, field(in, i), bound, false);
    if (operands[i] == 'v' && (in->kinds >> (i - 1) & 1)) u->uniform[field(in, i)] = true;
  }
  if (names_vector(in, 0)) note_vector(u, in->out, bound, true);
  if (in->op == OP_SET_BITS) u->mask[in->out] = true;
  if (in->op == OP_BITS || in->op == OP_KEEP_BITS) u->mask[in->a] = u->mask_read[in->a] = true;
}

static void put_uniforms(writer *w, const usage *u, bool rows) {
  for (int i = 0; i < w->p->size.uniforms; i++) {
    if (!u->uniform[i] || (w->row_of[i] >= 0) != rows) continue;
    if (rows)
      put(w,
          "    const float u%d = (float)a.f.rows[(int64_t)%d * a.f.parameters + "
          "piece.parameter];\n",
          i, w->row_of[i]);
    else
      put(w, "  const float u%d = a.f.uniforms[%d];\n", i, i);
  }
}

/* Seeds, steps and streams: w3 is scalar register 3. */
static void put_words(writer *w) {
  for (int i = w->stage->vectors, used = 0; i < w->stage->end; i++) {
    const fsam_instruction *in = &w->p->code[i];
    const char *operands = OPERANDS[in->op];
    for (int k = 1; k < (int)strlen(operands); k++) {
      if (operands[k] != 's') continue;
      bool known = false;
      for (int j = w->stage->vectors; j <= i && !known; j++) {
        const fsam_instruction *other = &w->p->code[j];
        const char *theirs = OPERANDS[other->op];
        for (int m = 1; m < (int)strlen(theirs) && !(j == i && m == k); m++)
          known |= theirs[m] == 's' && field(other, m) == field(in, k);
      }
      used++;
      if (!known)
        put(w, "  const uint32_t w%d = word_of(a.f.scalars[%d]);\n", field(in, k), field(in, k));
    }
  }
}

/* -- reductions of a pass ---------------------------------------------------------------------- */

/* The vectors that a pass's reductions look at, each once. A vector that changes between two
 * reductions counts twice: it is laid down where the first of them stands. */
typedef struct staging {
  int count;                                         /* laid vectors */
  int first[MAX_REDUCTIONS], second[MAX_REDUCTIONS]; /* of each reduction: what it multiplies */
  int number[2 * MAX_REDUCTIONS], laid_at[2 * MAX_REDUCTIONS];
} staging;

static bool writes(const fsam_instruction *in, int number) {
  return names_vector(in, 0) && in->out == number;
}

static int laid(const fsam_program *p, staging *s, int number, int at) {
  for (int i = 0; i < s->count; i++) {
    bool same = s->number[i] == number;
    for (int k = s->laid_at[i]; k < at && same; k++) same = !writes(&p->code[k], number);
    if (same) return i;
  }
  s->number[s->count] = number;
  s->laid_at[s->count] = at;
  return s->count++;
}

static staging staging_of(const fsam_program *p, const program_stage *stage) {
  staging s = {0};
  for (int i = stage->vectors, r = 0; i < stage->end; i++) {
    const fsam_instruction *in = &p->code[i];
    if (!op_reduces(in->op)) continue;
    s.first[r] = laid(p, &s, in->a, i);
    s.second[r] = has_two_inputs(in->op) ? laid(p, &s, in->b, i) : s.first[r];
    r++;
  }
  return s;
}

/* As many as leave the laid vectors 48 KiB of shared memory: 8 elements of each to a thread. */
static int threads_of(int laid_vectors) {
  int threads = 256;
  while (threads > 32 && laid_vectors * threads * 32 > 48 << 10) threads /= 2;
  return threads;
}

/* Where a reduction is summed up: 16 lanes of a warp, in one of their sums. */
static void put_group(writer *w, int r, int *slot) {
  const int warps = w->threads / 32;
  *slot = r / (2 * warps);
  put(w, "warp_id() == %d && lane_id() / LANES_OF_SUM == %d", r % warps, r / warps % 2);
}

static int slots_of(const writer *w) {
  const int groups = 2 * (w->threads / 32);
  return (w->stage->reductions + groups - 1) / groups;
}

static const char *const REDUCTION[] = {"SUM",     "DOT",   "MUL_SQUARES",
                                        "MAX_ABS", "LEAST", "GREATEST"};

static void each_reduction(writer *w, void (*put_one)(writer *, const fsam_instruction *, int r)) {
  for (int i = w->stage->vectors, r = 0; i < w->stage->end; i++)
    if (op_reduces(w->p->code[i].op)) put_one(w, &w->p->code[i], r++);
}

static void put_identity(writer *w, const fsam_instruction *in, int r) {
  int slot;
  put(w, "    if (");
  put_group(w, r, &slot);
  put(w, ") sums[%d] = identity(%s);\n", slot, REDUCTION[in->op - OP_SUM]);
}

static void put_add(writer *w, const fsam_instruction *in, int r) {
  const staging s = staging_of(w->p, w->stage);
  int slot;
  put(w, "      if (");
  put_group(w, r, &slot);
  put(w,
      ")\n        sums[%d] = add_chunk(%s, sums[%d], staged + %d * CHUNK, staged + %d * CHUNK, "
      "n);\n",
      slot, REDUCTION[in->op - OP_SUM], slot, s.first[r], s.second[r]);
}

static void put_fold(writer *w, const fsam_instruction *in, int r) {
  const int warps = w->threads / 32;
  put(w, "    if (warp_id() == %d) {\n", r % warps);
  put(w, "      const double sum = fold(%s, sums[%d]);\n", REDUCTION[in->op - OP_SUM],
      r / (2 * warps));
  put(w, "      if (lane_id() == %d) *partial_of(a.f, %d, b) = sum;\n    }\n", r / warps % 2 * 16,
      r);
}

/* -- a pass ------------------------------------------------------------------------------------ */

static void put_declarations(writer *w, const usage *u) {
  const fsam_program_size *size = &w->p->size;
  for (int i = 0; i < size->bound; i++) {
    if (u->read_first[i] || u->written[i]) put(w, "      float b%d[WIDTH];\n", i);
    if (u->read_first[i]) put(w, "      load(b%d, (const float *)a.bound[%d], p);\n", i, i);
    if (u->mask[i])
      put(w,
          u->mask_read[i] ? "      uint32_t m%d = load_bits(a.bound[%d], p);\n"
                          : "      uint32_t m%d;\n",
          i, i);
  }
  for (int i = 0; i < size->temps; i++)
    if (u->temp[i]) put(w, "      float t%d[WIDTH];\n", i);
}

static void put_instructions(writer *w) {
  const staging s = staging_of(w->p, w->stage);
  for (int i = w->stage->vectors; i < w->stage->end; i++) {
    for (int k = 0; k < s.count; k++) {
      if (s.laid_at[k] != i) continue;
      put(w, "      lay(staged + %d * CHUNK, ", k);
      put_array(w, s.number[k]);
      put(w, ", %d);\n", w->threads);
    }
    put_vector(w, &w->p->code[i]);
  }
}

static void put_pass(writer *w, int number) {
  usage u = {0};
  const int laid_vectors = program_kernels_of(w->p, number).staged;
  for (int i = w->stage->vectors; i < w->stage->end; i++)
    note(&u, &w->p->code[i], w->p->size.bound);
  put(w, "\nPROGRAM_KERNEL(pass_%d, %d) {\n", number, w->threads);
  put(w, "  enum { CHUNK = %d };\n", w->threads * 8);
  put_uniforms(w, &u, false);
  put_words(w);
  if (laid_vectors)
    put(w,
        "  FSAM_SHARED(uint4, shared, %d * CHUNK / QUAD);\n"
        "  float *const staged = (float *)shared;\n",
        laid_vectors);
  put(w,
      "  for (int64_t b = blockIdx.x; b < a.f.block_count; b += gridDim.x) {\n"
      "    const program_piece piece = a.f.blocks[b];\n");
  put_uniforms(w, &u, true);
  if (laid_vectors) put(w, "    double sums[%d] = {};\n", slots_of(w));
  each_reduction(w, put_identity);
  put(w,
      "    for (int first = 0; first < piece.count; first += CHUNK) {\n"
      "      const place p = place_of(piece, first, %d, a.f.act);\n",
      w->threads);
  put_declarations(w, &u);
  put_instructions(w);
  for (int i = 0; i < w->p->size.bound; i++)
    if (u.written[i]) put(w, "      store((float *)a.bound[%d], b%d, p);\n", i, i);
  if (laid_vectors) {
    put(w,
        "      const int left = piece.count - first, n = left < CHUNK ? left : CHUNK;\n"
        "      __syncthreads();\n");
    each_reduction(w, put_add);
    put(w, "      __syncthreads();\n");
  }
  put(w, "    }\n");
  each_reduction(w, put_fold);
  put(w, "  }\n}\n");
}

/* -- between passes ---------------------------------------------------------------------------- */

static void put_scalar_name(writer *w, const fsam_instruction *in, int i) {
  if (in->space == SPACE_ROW && i > 0 && !(in->kinds >> (i - 1) & 1))
    put(w, "r[(int64_t)%d * n + k]", field(in, i));
  else if (in->space == SPACE_ROW && i == 0)
    put(w, "r[(int64_t)%d * n + k]", in->out);
  else
    put(w, "s[%d]", field(in, i));
}

static void put_scalar(writer *w, const fsam_instruction *in, const char *indent) {
  const char *index = in->space == SPACE_ROW ? "k" : "0";
  put(w, "%s", indent);
  if (in->op == OP_STORE) {
    put(w, "a.cells[%d][%s] = ", in->out, index);
    put_scalar_name(w, in, 1);
  } else if (in->op == OP_SPREAD) {
    put(w, "a.f.uniforms[%d] = (float)s[%d]", in->out, in->a);
  } else {
    put_scalar_name(w, in, 0);
    put(w, " = ");
    if (in->op == OP_LOAD)
      put(w, "a.cells[%d][%s]", in->a, index);
    else if (SCALAR[in->op])
      put_template(w, SCALAR[in->op], in, put_scalar_name);
  }
  put(w, ";\n");
}

/* Is this an instruction of the space that does something where it stands? A row's spread is read
 * in the pass. */
static bool works(const fsam_instruction *in, int space) {
  return in->space == space && !(space == SPACE_ROW && in->op == OP_SPREAD);
}

static bool any(const fsam_program *p, const program_stage *stage, int space) {
  for (int i = stage->scalars; i < stage->pass; i++)
    if (works(&p->code[i], space)) return true;
  return false;
}

static int group_of(const fsam_instruction *in) { return has_two_inputs(in->op) ? in->c : in->b; }

/* Where a reduction's results in the parameters go. */
static void put_parameter_results(writer *w, const fsam_instruction *in, int r) {
  if (group_of(in) == GROUP_PARAMETER)
    put(w, "r + (int64_t)%d * n", in->out);
  else
    put(w, "a.f.sums + (int64_t)%d * n", r);
}

static void put_finish_spans(writer *w, const fsam_instruction *in, int r) {
  put(w, "  finish_spans(a.f, %s, %d);\n", REDUCTION[in->op - OP_SUM], r);
}

static void put_finish_parameters(writer *w, const fsam_instruction *in, int r) {
  put(w, "  finish_parameters(a.f, %s, %d, ", REDUCTION[in->op - OP_SUM], r);
  put_parameter_results(w, in, r);
  put(w, ");\n");
}

static void put_finish_groups(writer *w, const fsam_instruction *in, int r) {
  if (group_of(in) == GROUP_PARAMETER) return;
  const bool all = group_of(in) == GROUP_ALL;
  put(w, "  finish_%s(a.f, %s, %d, ", all ? "model" : "layers", REDUCTION[in->op - OP_SUM], r);
  put_parameter_results(w, in, r);
  put(w, all ? ", &s[%d]);\n" : ", r + (int64_t)%d * n);\n", in->out);
}

/* What the pass before has reduced, step by step for all its reductions at once. */
static void put_finish(writer *w) {
  each_reduction(w, put_finish_spans);
  put(w, "  __syncthreads();\n");
  each_reduction(w, put_finish_parameters);
  put(w, "  __syncthreads();\n");
  each_reduction(w, put_finish_groups);
}

static void put_between(writer *w, int number) {
  const program_stage *stage = w->stage;
  put(w,
      "\nPROGRAM_KERNEL(between_%d, %d) {\n"
      "  double *const s = a.f.scalars, *const r = a.f.rows;\n"
      "  const int n = a.f.parameters;\n  (void)s, (void)r, (void)n;\n",
      number, BETWEEN_THREADS);
  if (number == 0 && w->p->size.numbers)
    put(w, "  for (int i = (int)threadIdx.x; i < %d; i += %d) s[i] = a.numbers[i];\n",
        w->p->size.numbers, BETWEEN_THREADS);
  if (number > 0 && w->p->stages[number - 1].reductions) {
    w->stage = &w->p->stages[number - 1];
    put_finish(w);
    w->stage = stage;
  }
  put(w, "  __syncthreads();\n");
  if (any(w->p, stage, SPACE_SCALAR)) {
    put(w, "  if (threadIdx.x == 0) {\n");
    for (int i = stage->scalars; i < stage->pass; i++)
      if (works(&w->p->code[i], SPACE_SCALAR)) put_scalar(w, &w->p->code[i], "    ");
    put(w, "  }\n");
  }
  if (any(w->p, stage, SPACE_ROW)) {
    put(w, "  __syncthreads();\n  for (int k = (int)threadIdx.x; k < n; k += %d) {\n",
        BETWEEN_THREADS);
    for (int i = stage->scalars; i < stage->pass; i++)
      if (works(&w->p->code[i], SPACE_ROW)) put_scalar(w, &w->p->code[i], "    ");
    put(w, "  }\n");
  }
  put(w, "}\n");
}

/* -- a program --------------------------------------------------------------------------------- */

program_kernels program_kernels_of(const fsam_program *p, int stage) {
  const program_stage *s = &p->stages[stage];
  program_kernels k = {.pass = s->end > s->vectors};
  k.between = any(p, s, SPACE_SCALAR) || any(p, s, SPACE_ROW) ||
              (k.pass &&
               ((stage == 0 && p->size.numbers) || (stage > 0 && p->stages[stage - 1].reductions)));
  k.staged = staging_of(p, s).count;
  k.threads = threads_of(k.staged);
  return k;
}

static void put_arguments(writer *w) {
  const fsam_program_size *size = &w->p->size;
  put(w, "#include \"kernels/vector/vector_math.cuh\"\n\nstruct arguments {\n  program_fixed f;\n");
  if (size->bound) put(w, "  void *bound[%d];\n", size->bound);
  if (size->cells) put(w, "  double *cells[%d];\n", size->cells);
  if (size->numbers) put(w, "  double numbers[%d];\n", size->numbers);
  put(w, "};\n");
}

char *program_source(const fsam_program *p) {
  writer w = {.p = p};
  for (int i = 0; i < MAX_UNIFORMS; i++) w.row_of[i] = -1;
  put_arguments(&w);
  for (int i = 0; i < p->stage_count; i++) {
    const program_kernels kernels = program_kernels_of(p, i);
    w.stage = &p->stages[i];
    w.threads = kernels.threads;
    for (int k = w.stage->scalars; k < w.stage->pass; k++)
      if (p->code[k].op == OP_SPREAD)
        w.row_of[p->code[k].out] = p->code[k].space == SPACE_ROW ? p->code[k].a : -1;
    if (kernels.between) put_between(&w, i);
    if (kernels.pass) put_pass(&w, i);
  }
  if (!w.failed) return w.text;
  free(w.text);
  return NULL;
}
