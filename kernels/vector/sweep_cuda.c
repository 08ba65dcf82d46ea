/* sweep_cuda.c: the kernel of a sweep of a vector program over the model's memory, as CUDA source:
 * what it declares, its instructions, and its reductions' partial sums. */
#include "kernels/vector/source_cuda.h"

/* Does operand `i` (0: out) name a vector register? */
static bool names_vector(const fsam_instruction *in, int i) {
  return op_letter(in->op, i) == 'v' && !op_smaller(in, i);
}

/* -- what a sweep declares --------------------------------------------------------------------- */

/* The vectors, masks and uniforms that its instructions read and write. */
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
  for (int i = 1; i <= op_inputs(in->op); i++) {
    const int number = op_field(in, i);
    if (names_vector(in, i)) note_vector(u, number, bound, false);
    if (op_letter(in->op, i) == 'v' && op_smaller(in, i)) u->uniform[number] = true;
    if (op_letter(in->op, i) == 'm') u->mask[number] = u->mask_read[number] = true;
  }
  if (names_vector(in, 0)) note_vector(u, in->out, bound, true);
  if (op_letter(in->op, 0) == 'm') u->mask[in->out] = true;
}

static void put_uniforms(source *w, const usage *u, bool rows) {
  for (int i = 0; i < w->p->size.uniforms; i++) {
    if (!u->uniform[i] || (w->row_of[i] >= 0) != rows) continue;
    if (rows)
      source_put(w,
                 "    const float u%d = (float)a.f.rows[(int64_t)%d * a.f.parameters + "
                 "block.parameter];\n",
                 i, w->row_of[i]);
    else
      source_put(w, "  const float u%d = a.f.uniforms[%d];\n", i, i);
  }
}

/* Is scalar register `number` an input of an instruction before `end`, or of that one before its
 * operand `before`? */
static bool has_word(const source *w, int number, int end, int before) {
  for (int i = w->stage->vectors; i <= end; i++) {
    const fsam_instruction *in = &w->p->code[i];
    for (int k = 1; k <= op_inputs(in->op) && !(i == end && k == before); k++)
      if (op_letter(in->op, k) == 's' && op_field(in, k) == number) return true;
  }
  return false;
}

/* Seeds, steps and streams: w3 is scalar register 3. */
static void put_words(source *w) {
  for (int i = w->stage->vectors; i < w->stage->end; i++) {
    const fsam_instruction *in = &w->p->code[i];
    for (int k = 1; k <= op_inputs(in->op); k++) {
      const int number = op_field(in, k);
      if (op_letter(in->op, k) == 's' && !has_word(w, number, i, k))
        source_put(w, "  const uint32_t w%d = word_of(a.f.scalars[%d]);\n", number, number);
    }
  }
}

/* -- reductions of a sweep --------------------------------------------------------------------- */

/* The vectors that a sweep's reductions read, each copied to shared memory (laid) once. A vector
 * that changes between two reductions is laid twice, each time at the first reduction that reads
 * that value. */
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
    s.second[r] = op_letter(in->op, 2) == 'v' ? laid(p, &s, in->b, i) : s.first[r];
    r++;
  }
  return s;
}

/* The condition that picks the warp which sums reduction r: another one in each of the blocks that
 * share a multiprocessor, which has four schedulers and gives each its own warps. (Blocks are dealt
 * out one to a multiprocessor, round after round: `turn` is the round.) */
static void put_warp(source *w, int r) {
  const int warps = w->threads / 32;
  if (warps > 1)
    source_put(w, "warp_id() == (%d + turn) %% %d", r % warps, warps);
  else
    source_put(w, "true");
}

/* The condition that picks the 16 lanes of a warp which sum reduction r; *slot: in which of their
 * sums. */
static void put_group(source *w, int r, int *slot) {
  const int warps = w->threads / 32;
  *slot = r / (2 * warps);
  put_warp(w, r);
  source_put(w, " && lane_id() / LANES_OF_SUM == %d", r / warps % 2);
}

static int slots_of(const source *w) {
  const int groups = 2 * (w->threads / 32);
  return (w->stage->reductions + groups - 1) / groups;
}

int source_staged(const fsam_program *p, int stage) {
  return staging_of(p, &p->stages[stage]).count;
}

static void put_identity(source *w, const fsam_instruction *in, int r) {
  int slot;
  source_put(w, "    if (");
  put_group(w, r, &slot);
  source_put(w, ") sums[%d] = identity(%s);\n", slot, fsam__ops[in->op].name);
}

static void put_add(source *w, const fsam_instruction *in, int r) {
  const staging s = staging_of(w->p, w->stage);
  int slot;
  source_put(w, "      if (");
  put_group(w, r, &slot);
  source_put(
      w,
      ")\n        sums[%d] = add_chunk(%s, sums[%d], staged + %d * CHUNK, staged + %d * CHUNK, "
      "n);\n",
      slot, fsam__ops[in->op].name, slot, s.first[r], s.second[r]);
}

static void put_fold(source *w, const fsam_instruction *in, int r) {
  const int warps = w->threads / 32;
  source_put(w, "    if (");
  put_warp(w, r);
  source_put(w, ") {\n");
  source_put(w, "      const double sum = fold(%s, sums[%d]);\n", fsam__ops[in->op].name,
             r / (2 * warps));
  source_put(w, "      if (lane_id() == %d) *partial_of(a.f, %d, b) = sum;\n    }\n",
             r / warps % 2 * 16, r);
}

/* -- the kernel -------------------------------------------------------------------------------- */

static void put_declarations(source *w, const usage *u) {
  const fsam_program_size *size = &w->p->size;
  for (int i = 0; i < size->bound; i++) {
    if (u->read_first[i] || u->written[i]) source_put(w, "      float b%d[WIDTH];\n", i);
    if (u->read_first[i]) source_put(w, "      load(b%d, (const float *)a.bound[%d], p);\n", i, i);
    if (u->mask[i])
      source_put(w,
                 u->mask_read[i] ? "      uint32_t m%d = load_bits(a.bound[%d], p);\n"
                                 : "      uint32_t m%d;\n",
                 i, i);
  }
  for (int i = 0; i < size->temps; i++)
    if (u->temp[i]) source_put(w, "      float t%d[WIDTH];\n", i);
}

static void put_instructions(source *w) {
  const staging s = staging_of(w->p, w->stage);
  for (int i = w->stage->vectors; i < w->stage->end; i++) {
    for (int k = 0; k < s.count; k++) {
      if (s.laid_at[k] != i) continue;
      source_put(w, "      lay(staged + %d * CHUNK, ", k);
      source_put_array(w, s.number[k]);
      source_put(w, ", %d);\n", w->threads);
    }
    source_put_vector(w, &w->p->code[i]);
  }
}

void source_put_sweep(source *w, int number) {
  usage u = {0};
  const int laid_vectors = program_kernels_of(w->p, number).staged;
  for (int i = w->stage->vectors; i < w->stage->end; i++)
    note(&u, &w->p->code[i], w->p->size.bound);
  source_put(w, "\nPROGRAM_KERNEL(sweep_%d, %d) {\n", number, w->threads);
  source_put(w, "  enum { CHUNK = %d };\n", w->threads * 8);
  put_uniforms(w, &u, false);
  put_words(w);
  if (laid_vectors)
    source_put(w,
               "  FSAM_SHARED(uint4, shared, %d * CHUNK / QUAD);\n"
               "  float *const staged = (float *)shared;\n",
               laid_vectors);
  if (laid_vectors && w->threads > 32)
    source_put(w, "  const int turn = (int)(blockIdx.x / (unsigned)a.f.units);\n");
  source_put(w,
             "  for (int64_t b = blockIdx.x; b < a.f.block_count; b += gridDim.x) {\n"
             "    const program_block block = a.f.blocks[b];\n");
  put_uniforms(w, &u, true);
  if (laid_vectors) source_put(w, "    double sums[%d] = {};\n", slots_of(w));
  source_each_reduction(w, put_identity);
  source_put(w,
             "    for (int first = 0; first < block.count; first += CHUNK) {\n"
             "      const elements p = elements_of(block, first, %d, a.f.act);\n",
             w->threads);
  put_declarations(w, &u);
  put_instructions(w);
  for (int i = 0; i < w->p->size.bound; i++)
    if (u.written[i]) source_put(w, "      store((float *)a.bound[%d], b%d, p);\n", i, i);
  if (laid_vectors) {
    source_put(w,
               "      const int left = block.count - first, n = left < CHUNK ? left : CHUNK;\n"
               "      __syncthreads();\n");
    source_each_reduction(w, put_add);
    source_put(w, "      __syncthreads();\n");
  }
  source_put(w, "    }\n");
  source_each_reduction(w, put_fold);
  source_put(w, "  }\n}\n");
}
