/* instruction_text_cuda.c: the CUDA C++ of single instructions of a vector program. Registers are
 * arrays of a thread's elements, an instruction is a line. The line of an arithmetic instruction is
 * the text of its row in program.def, with registers for a, b, c and d; vector_math.cuh and
 * generated.cuh have the functions in it. Leaves to others: where the lines stand (sweep_cuda.c,
 * source_cuda.c). */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/vector/source_cuda.h"

void source_put(source *w, const char *format, ...) {
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

/* The text of an instruction's row; `name` writes the operand that a, b, c or d stands for. */
static void put_text(source *w, const fsam_instruction *in,
                     void (*name)(source *, const fsam_instruction *, int)) {
  const char *text = fsam__ops[in->op].text;
  bool within = false; /* a longer name or a number */
  for (const char *c = text; *c; c++) {
    const bool next = isalnum((unsigned char)c[1]) || c[1] == '_';
    if (!within && !next && *c >= 'a' && *c <= 'd')
      name(w, in, *c - 'a' + 1);
    else
      source_put(w, "%c", *c);
    within = isalnum((unsigned char)*c) || *c == '_';
  }
}

/* -- vectors ----------------------------------------------------------------------------------- */

void source_put_array(source *w, int number) {
  const int bound = w->p->size.bound;
  source_put(w, number < bound ? "b%d" : "t%d", number < bound ? number : number - bound);
}

static void put_element(source *w, const fsam_instruction *in, int i) {
  if (op_smaller(in, i)) {
    source_put(w, "u%d", op_field(in, i));
  } else {
    source_put_array(w, op_field(in, i));
    source_put(w, "[k]");
  }
}

static void put_elementwise(source *w, const fsam_instruction *in) {
  source_put(w, "      EACH ");
  source_put_array(w, in->out);
  source_put(w, "[k] = ");
  put_text(w, in, put_element);
  source_put(w, ";\n");
}

static void put_random(source *w, const fsam_instruction *in) {
  const bool round = in->op == OP_ROUND_STOCHASTIC;
  source_put(w, "      %s(",
             round                 ? "round_stochastic"
             : in->op == OP_NORMAL ? "random_normal"
                                   : "random_uniform");
  source_put_array(w, in->out);
  source_put(w, ", ");
  if (round) source_put_array(w, in->a);
  if (round) source_put(w, ", p, w%d, w%d);\n", in->b, in->c);
  if (!round) source_put(w, "p, w%d, w%d, w%d);\n", in->a, in->b, in->c);
}

static void put_store_act(source *w, const fsam_instruction *in) {
  source_put(w, "      {\n        float v[WIDTH];\n        EACH v[k] = ");
  put_text(w, in, put_element);
  source_put(w, ";\n        store_act(a.bound[%d], v, p);\n      }\n", in->out);
}

static void put_set_bits(source *w, const fsam_instruction *in) {
  if (in->kinds & 1) {
    source_put(w, "      m%d = u%d != 0 ? (1u << WIDTH) - 1 : 0;\n", in->out, in->a);
  } else {
    source_put(w, "      m%d = conditions(", in->out);
    source_put_array(w, in->a);
    source_put(w, ");\n");
  }
  source_put(w, "      store_bits(a.bound[%d], m%d, p);\n", in->out, in->out);
}

void source_put_vector(source *w, const fsam_instruction *in) {
  switch (in->op) {
    case OP_BITS:
      source_put(w, "      EACH ");
      source_put_array(w, in->out);
      source_put(w, "[k] = (float)(m%d >> k & 1u);\n", in->a);
      return;
    case OP_BITS_SELECT:
      source_put(w, "      EACH ");
      source_put_array(w, in->out);
      source_put(w, "[k] = m%d >> k & 1u ? ", in->a);
      put_element(w, in, 2);
      source_put(w, " : 0.0f;\n");
      return;
    case OP_SET_BITS:
      put_set_bits(w, in);
      return;
    case OP_LOAD_ACT:
      source_put(w, "      load_act(");
      source_put_array(w, in->out);
      source_put(w, ", a.bound[%d], p);\n", in->a);
      return;
    case OP_ROUND:
      source_put(w, "      round_nearest(");
      source_put_array(w, in->out);
      source_put(w, ", ");
      source_put_array(w, in->a);
      source_put(w, ", p);\n");
      return;
    case OP_ROUND_STOCHASTIC:
    case OP_UNIFORM:
    case OP_NORMAL:
      put_random(w, in);
      return;
    case OP_KEY:
      source_put(w, "      if (a.f.keys) store(a.f.keys, ");
      source_put_array(w, in->a);
      source_put(w, ", p);\n");
      return;
    default: /* sweep_cuda.c writes reductions */
      if (fsam__ops[in->op].op_class == FSAM_OP_STORE) put_store_act(w, in);
      if (fsam__ops[in->op].op_class <= FSAM_OP_ELEMENTWISE) put_elementwise(w, in);
  }
}

/* -- scalars and rows -------------------------------------------------------------------------- */

static void put_scalar_name(source *w, const fsam_instruction *in, int i) {
  if (in->space == SPACE_ROW && !op_smaller(in, i))
    source_put(w, "r[(int64_t)%d * n + k]", op_field(in, i));
  else
    source_put(w, "s[%d]", op_field(in, i));
}

void source_put_scalar(source *w, const fsam_instruction *in, const char *indent) {
  const char *index = in->space == SPACE_ROW ? "k" : "0";
  source_put(w, "%s", indent);
  if (in->op == OP_STORE) {
    source_put(w, "a.cells[%d][%s] = ", in->out, index);
    put_scalar_name(w, in, 1);
  } else if (in->op == OP_BROADCAST) {
    source_put(w, "a.f.uniforms[%d] = (float)s[%d]", in->out, in->a);
  } else {
    put_scalar_name(w, in, 0);
    source_put(w, " = ");
    if (in->op == OP_LOAD)
      source_put(w, "a.cells[%d][%s]", in->a, index);
    else
      put_text(w, in, put_scalar_name);
  }
  source_put(w, ";\n");
}
