/* memory.c: a vector program's instructions on the CPU that depend on where their elements lie:
 * mask bits, the working copy in its two types, and random numbers keyed by seed, step and element.
 */
#include <math.h>

#include "kernels/vector/interpreter.h"
#include "kernels/simd/simd_math.h"
#include "kernels/simd/simd_random.h"

/* -- masks: bit i of word i / 64 -------------------------------------------------------------- */

/* All ones in the lanes whose bits are set; element i of the strip is lane 0. */
FSAM_INLINE vi bits_at(const uint64_t *words, int64_t element) {
  int32_t bits = (int32_t)(words[element / 64] >> (element % 64));
  return -((v_set_int(bits) >> v_iota()) & 1);
}

static void run_bits(program_frame *f, const fsam_instruction *in) {
  const uint64_t *words = f->bound[in->a];
  float *out = f->r[in->out];
  const int n = f->padded;
  const vi one = (vi)v_set(1);
  for (int i = 0; i < n; i += LANES) v_store(out + i, (vf)(bits_at(words, f->offset + i) & one));
}

FSAM_INLINE void bits_select(program_frame *f, const fsam_instruction *in, bool uniform) {
  const uint64_t *words = f->bound[in->a];
  const float *b = uniform ? NULL : f->r[in->b];
  const vf b_uniform = uniform ? v_set(f->u[in->b]) : (vf){0};
  float *out = f->r[in->out];
  const int n = f->padded;
  const int64_t offset = f->offset;
  for (int i = 0; i < n; i += LANES) {
    vf x = uniform ? b_uniform : v_load(b + i);
    v_store(out + i, (vf)(bits_at(words, offset + i) & (vi)x));
  }
}

static void run_bits_select(program_frame *f, const fsam_instruction *in) {
  bits_select(f, in, false);
}

static void run_bits_select_uniform(program_frame *f, const fsam_instruction *in) {
  bits_select(f, in, true);
}

/* Whole words: a parameter's last word keeps zeros behind the parameter. */
FSAM_INLINE void set_bits(program_frame *f, const fsam_instruction *in, bool uniform) {
  uint64_t *words = (uint64_t *)f->bound[in->out] + f->offset / 64;
  const float *a = uniform ? NULL : f->r[in->a];
  const uint64_t all = uniform && f->u[in->a] != 0 ? UINT64_MAX : 0;
  for (int i = 0; i < f->n; i += 64) {
    const int count = f->n - i < 64 ? f->n - i : 64;
    uint64_t word = all;
    for (int k = 0; !uniform && k < count; k += LANES)
      word |= lane_bits(v_load_n(a + i + k, count - k) != (vf){0}) << k;
    words[i / 64] = count < 64 ? word & (((uint64_t)1 << count) - 1) : word;
  }
}

static void run_set_bits(program_frame *f, const fsam_instruction *in) { set_bits(f, in, false); }

static void run_set_bits_uniform(program_frame *f, const fsam_instruction *in) {
  set_bits(f, in, true);
}

/* -- the working copy: bf16[act], then f32 ----------------------------------------------------- */

static float *f32_part(const program_frame *f, int which) {
  return (float *)((uint16_t *)f->bound[which] + f->act) + (f->offset - f->act);
}

static void run_load_act(program_frame *f, const fsam_instruction *in) {
  float *out = f->r[in->out];
  const int n = f->padded;
  if (f->offset >= f->act) {
    memcpy(out, f32_part(f, in->a), (size_t)n * sizeof *out);
    return;
  }
  const uint16_t *a = (const uint16_t *)f->bound[in->a] + f->offset;
  for (int i = 0; i < n; i += LANES) v_store(out + i, v_load_bf16(a + i));
}

/* ADD_STORE_ACT_2: of a vector and a uniform. */
#define INSTANCE(name, inputs, kinds_)                                           \
  static void name##_##kinds_(program_frame *f, const fsam_instruction *in) {    \
    enum { kinds = kinds_ };                                                     \
    const int n = f->n;                                                          \
    DECLARE_##inputs;                                                            \
    if (f->offset >= f->act) {                                                   \
      float *out = f32_part(f, in->out);                                         \
      FOR_COUNT(n, v_store_n(out + i, name##_of(INPUTS_##inputs), n_ - i));      \
    } else {                                                                     \
      uint16_t *out = (uint16_t *)f->bound[in->out] + f->offset;                 \
      FOR_COUNT(n, v_store_bf16_n(out + i, name##_of(INPUTS_##inputs), n_ - i)); \
    }                                                                            \
  }
#define FSAM_STORE(name, inputs, text)                           \
  FSAM_INLINE vf name##_of(PARAMETERS_##inputs) { return text; } \
  KINDS_##inputs(INSTANCE, name)
#include "engine/program.def"

static program_fn store_function(int op, int kinds) {
#define ENTRY(name, inputs, kinds) [OP_##name][kinds] = name##_##kinds,
#define FSAM_STORE(name, inputs, text) KINDS_##inputs(ENTRY, name)
  static const program_fn table[OP_COUNT][KINDS] = {
#include "engine/program.def"
  };
  return kinds < KINDS ? table[op][kinds] : NULL;
}

/* Where the working copy is f32, rounding changes nothing: then the strip is copied to out. */
static bool is_exact(const program_frame *f, float *out, const float *a) {
  if (f->offset < f->act) return false;
  if (out != a) memcpy(out, a, (size_t)f->padded * sizeof *out);
  return true;
}

static void run_round(program_frame *f, const fsam_instruction *in) {
  const float *a = f->r[in->a];
  float *out = f->r[in->out];
  const int n = f->padded;
  if (is_exact(f, out, a)) return;
  for (int i = 0; i < n; i += LANES) {
    uint16_t half[LANES];
    v_store_bf16(half, v_load(a + i));
    v_store(out + i, v_load_bf16(half));
  }
}

/* -- random numbers ----------------------------------------------------------------------------
 * Key: seed and step. Counter: (group * 16 + lane, its upper 32 bits, stream, purpose), with group
 * = element / 64 and lane = element % 16. The element takes word (element % 64) / 16 of the result.
 */

enum { FOR_UNIFORM = 0xffffff01, FOR_NORMAL, FOR_ROUNDING };

/* The random words of 64 elements at `element`: part p of word w is words[w][p]. */
FSAM_INLINE void random_words(vu words[4][PARTS], int64_t element, uint32_t seed, uint32_t step,
                              uint32_t stream, uint32_t what) {
  const uint64_t counter = (uint64_t)element / 64 * WIDE;
  for (int p = 0; p < PARTS; p++) {
    vu c[4] = {(vu)v_iota() + (uint32_t)(p * LANES) + (uint32_t)counter,
               (vu){0} + (uint32_t)(counter >> 32), (vu){0} + stream, (vu){0} + what};
    v_philox(c, seed, step);
    for (int w = 0; w < 4; w++) words[w][p] = c[w];
  }
}

/* The upper 24 bits as k / 2^24. */
FSAM_INLINE vf unit(vu word) { return v_to_float((vi)(word >> 8)) * v_set(0x1p-24f); }

/* A whole number held as f64, modulo 2^32. */
static uint32_t word_of(double x) {
  double wrapped = fmod(floor(x), 4294967296.0);
  return (uint32_t)(wrapped < 0 ? wrapped + 4294967296.0 : wrapped);
}

/* Pairs of uniforms to pairs of normals (Box & Muller 1958): words 0 and 1, words 2 and 3. */
FSAM_INLINE void normal_pair(vf *z0, vf *z1, vu w0, vu w1) {
  vf radius = v_sqrt(v_set(-2) * v_log(unit(w0) + v_set(0x1p-24f)));
  vf sine, cosine;
  v_sincos_turns(&sine, &cosine, unit(w1));
  *z0 = radius * cosine;
  *z1 = radius * sine;
}

FSAM_INLINE void run_random(program_frame *f, const fsam_instruction *in, bool normal) {
  const uint32_t seed = word_of(f->s[in->a]), step = word_of(f->s[in->b]);
  const uint32_t stream = word_of(f->s[in->c]);
  float *out = f->r[in->out];
  const int n = f->padded;
  for (int i = 0; i < n; i += 64) {
    vu words[4][PARTS];
    random_words(words, f->offset + i, seed, step, stream, normal ? FOR_NORMAL : FOR_UNIFORM);
    for (int p = 0; p < PARTS; p++) {
      vf z[4];
      if (normal) {
        normal_pair(&z[0], &z[1], words[0][p], words[1][p]);
        normal_pair(&z[2], &z[3], words[2][p], words[3][p]);
      } else {
        for (int w = 0; w < 4; w++) z[w] = unit(words[w][p]);
      }
      for (int w = 0; w < 4 && i + w * WIDE < n; w++) v_store(out + i + w * WIDE + p * LANES, z[w]);
    }
  }
}

static void run_uniform(program_frame *f, const fsam_instruction *in) { run_random(f, in, false); }

static void run_normal(program_frame *f, const fsam_instruction *in) { run_random(f, in, true); }

/* Adding 16 random bits below bf16's last place, then cutting them off: up with the probability of
 * the remainder (Gupta et al. 2015). Infinities and NaN stay. */
static void run_round_stochastic(program_frame *f, const fsam_instruction *in) {
  const uint32_t seed = word_of(f->s[in->b]), step = word_of(f->s[in->c]);
  const float *a = f->r[in->a];
  float *out = f->r[in->out];
  const int n = f->padded;
  if (is_exact(f, out, a)) return;
  for (int i = 0; i < n; i += 64) {
    vu words[4][PARTS];
    random_words(words, f->offset + i, seed, step, 0, FOR_ROUNDING);
    for (int w = 0; w < 4 && i + w * WIDE < n; w++) {
      for (int p = 0; p < PARTS; p++) {
        const int at = i + w * WIDE + p * LANES;
        vu bits = (vu)v_load(a + at);
        vu rounded = (bits + (words[w][p] & 0xffffu)) & 0xffff0000u;
        vi finite = (vi)(bits & 0x7fffffffu) < 0x7f800000;
        v_store(out + at, v_select(finite, (vf)rounded, (vf)bits));
      }
    }
  }
}

/* -- the key of a selection -------------------------------------------------------------------- */

static void run_key(program_frame *f, const fsam_instruction *in) { f->key = f->r[in->a]; }

program_fn FSAM_CPU(program_memory)(int op, int kinds) {
  switch (op) {
    case OP_BITS:
      return run_bits;
    case OP_BITS_SELECT:
      return kinds == 2 ? run_bits_select_uniform : run_bits_select;
    case OP_SET_BITS:
      return kinds == 1 ? run_set_bits_uniform : run_set_bits;
    case OP_LOAD_ACT:
      return run_load_act;
    case OP_ROUND:
      return run_round;
    case OP_ROUND_STOCHASTIC:
      return run_round_stochastic;
    case OP_UNIFORM:
      return run_uniform;
    case OP_NORMAL:
      return run_normal;
    case OP_KEY:
      return run_key;
    default:
      return store_function(op, kinds);
  }
}
