/* program.c: vector programs before a device runs them. Copies the list of instructions, checks
 * every operand against the sizes (so that devices need not), and cuts the list into stages. Leaves
 * to others: what instructions compute (program.def, kernels/vector). */
#include "engine/program.h"

#include <stdlib.h>

enum { ORDERED = 0, COMMUTES = 1 };
#define FSAM_INPUTS_1 "vv"
#define FSAM_INPUTS_2 "vvv"
#define FSAM_INPUTS_3 "vvvv"
#define FSAM_INPUTS_4 "vvvvv"
#define FSAM_STORED_1 "wv"
#define FSAM_STORED_2 "wvv"
#define FSAM_STORED_3 "wvvv"

const fsam_op fsam__ops[OP_COUNT] = {
#define FSAM_OP(name, operands, op_class, commutes, text) \
  {#name, operands, #text, FSAM_OP_##op_class, commutes},
#include "engine/program.def"
};

const fsam_op *fsam_program_op(int op) { return op >= 0 && op < OP_COUNT ? &fsam__ops[op] : NULL; }

/* The limit of a field with this letter of program.def: it is at least 0 and below. `smaller`:
 * op_smaller of the field. */
static int limit_of(const fsam_program_size *n, char letter, int space, int group, bool smaller) {
  switch (letter) {
    case 'v':
      if (space == SPACE_VECTOR) return smaller ? n->uniforms : n->bound + n->temps;
      return space == SPACE_ROW && !smaller ? n->rows : n->scalars;
    case 'm':
    case 'w':
      return n->bound;
    case 's':
      return n->scalars;
    case 'u':
      return n->uniforms;
    case 'k':
      return n->cells;
    case 'r':
      return group == GROUP_ALL ? n->scalars : n->rows;
    case 'g':
      return GROUP_LAYER + 1;
    default:
      return INT32_MAX;
  }
}

static int check_instruction(const fsam_program_size *size, const fsam_instruction *in, int at) {
  if (in->op < 0 || in->op >= OP_COUNT || in->space < SPACE_SCALAR || in->space > SPACE_VECTOR)
    return fsam__fail(FSAM_EINVAL, "program: instruction %d has op %d, space %d", at, in->op,
                      in->space);
  const fsam_op *op = &fsam__ops[in->op];
  if ((op->op_class >= FSAM_OP_ELEMENTWISE && in->space != SPACE_VECTOR) ||
      (op->op_class == FSAM_OP_STRUCTURE && in->space == SPACE_VECTOR))
    return fsam__fail(FSAM_EINVAL, "program: instruction %d (%s) is not one of space %d", at,
                      op->name, in->space);
  const int group = op_group(in);
  for (int i = 0; op->operands[i]; i++) {
    const int limit = limit_of(size, op->operands[i], in->space, group, op_smaller(in, i));
    if (op_field(in, i) < 0 || op_field(in, i) >= limit)
      return fsam__fail(FSAM_EINVAL,
                        "program: instruction %d (%s): operand %d is %d, expected 0 to %d", at,
                        op->name, i, op_field(in, i), limit - 1);
  }
  return FSAM_OK;
}

static int check_size(const fsam_program_size *n) {
  if (n->bound < 0 || n->temps < 0 || n->uniforms < 0 || n->numbers < 0 || n->rows < 0 ||
      n->cells < 0 || n->scalars < n->numbers)
    return fsam__fail(FSAM_EINVAL, "program: a size is negative, or less scalars than numbers");
  if (n->bound > MAX_BOUND || n->temps > MAX_TEMPS || n->uniforms > MAX_UNIFORMS)
    return fsam__fail(FSAM_EINVAL,
                      "program: %d vectors, %d temporaries and %d numbers in one "
                      "program; at most %d, %d and %d: flush earlier, or keep an intermediate in "
                      "a scratch vector",
                      n->bound, n->temps, n->uniforms, MAX_BOUND, MAX_TEMPS, MAX_UNIFORMS);
  return FSAM_OK;
}

/* Finds the stages. Each is scalar instructions, SWEEP, vector instructions, END; the last one has
 * no sweep. */
static int cut_stages(fsam_program *p) {
  program_stage *s = p->stages;
  *s = (program_stage){.scalars = 0};
  bool inside = false;
  for (int i = 0; i < p->count; i++) {
    const fsam_instruction *in = &p->code[i];
    if (in->op == OP_SWEEP || in->op == OP_END) {
      if (inside == (in->op == OP_SWEEP))
        return fsam__fail(FSAM_EINVAL, "program: instruction %d (%s) is out of place", i,
                          fsam__ops[in->op].name);
      inside = !inside;
      if (inside) {
        s->sweep = i;
        s->vectors = i + 1;
      } else {
        s->end = i;
        *++s = (program_stage){.scalars = i + 1};
      }
    } else if (inside != (in->space == SPACE_VECTOR)) {
      return fsam__fail(FSAM_EINVAL, "program: instruction %d (%s) is in the wrong part", i,
                        fsam__ops[in->op].name);
    } else if (op_reduces(in->op) && ++s->reductions > MAX_REDUCTIONS) {
      return fsam__fail(FSAM_EINVAL, "program: more than %d reductions in one sweep",
                        MAX_REDUCTIONS);
    }
  }
  if (inside) return fsam__fail(FSAM_EINVAL, "program: the last sweep has no END");
  s->sweep = s->vectors = s->end = p->count;
  p->stage_count = (int)(s - p->stages) + 1;
  return FSAM_OK;
}

int fsam_program_new(fsam_program **out, fsam_device *device, const fsam_instruction *code,
                     int count, const fsam_program_size *size) {
  FSAM_TRY(check_size(size));
  for (int i = 0; i < count; i++) FSAM_TRY(check_instruction(size, &code[i], i));
  fsam_program *p = calloc(1, sizeof *p);
  if (!p) return fsam__fail(FSAM_ENOMEM, "program: no memory");
  *p = (fsam_program){.size = *size, .count = count};
  p->code = malloc(((size_t)count + 1) * sizeof *p->code);
  p->stages = calloc((size_t)count / 2 + 2, sizeof *p->stages);
  int rc = FSAM_OK;
  if (!p->code || !p->stages) {
    rc = fsam__fail(FSAM_ENOMEM, "program: no memory for %d instructions", count);
  } else {
    if (count) memcpy(p->code, code, (size_t)count * sizeof *code);
    rc = cut_stages(p);
    if (rc == FSAM_OK) rc = device->kernels->program_compile(p, device);
  }
  if (rc < 0) {
    fsam_program_free(p);
    return rc;
  }
  *out = p;
  return FSAM_OK;
}

void fsam_program_free(fsam_program *p) {
  if (!p) return;
  free(p->code);
  free(p->stages);
  free(p);
}

int fsam_program_run(const fsam_program *program, fsam_layout *layout,
                     const fsam_binding *binding) {
  return layout->device->kernels->program_run(program, layout, binding);
}

static bool ends_with_key(const fsam_program *p) {
  if (p->stage_count < 2) return false;
  const program_stage *last = &p->stages[p->stage_count - 2];
  return last->end > last->vectors && p->code[last->end - 1].op == OP_KEY && !last->reductions;
}

int fsam_program_select(uint64_t *mask, const fsam_program *program, fsam_layout *layout,
                        const fsam_binding *binding, const uint8_t *pool, const int64_t *k,
                        int per_parameter, int outside) {
  if (!ends_with_key(program))
    return fsam__fail(FSAM_EINVAL, "select: the program's last sweep does not end with KEY");
  for (int i = 0; i < (per_parameter ? layout->parameters : 1); i++)
    if (k[i] < 0) return fsam__fail(FSAM_EINVAL, "select: k is %lld", (long long)k[i]);
  return layout->device->kernels->program_select(mask, program, layout, binding, pool, k,
                                                 per_parameter, outside);
}

int fsam_mask_count(double *counts, fsam_layout *layout, const uint64_t *a, const uint64_t *b) {
  return layout->device->kernels->mask_count(counts, layout, a, b);
}
