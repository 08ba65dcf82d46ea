/* profile.c: what each kernel of the CPU takes. While a profile runs, the device's kernels are
 * those of a second table: each of its functions calls the one it stands for and writes down when,
 * for how long, and on how much memory. Otherwise the device has its own table, and nothing here
 * runs. Owns: that table and the calls until Lua takes them. Leaves to others: what a call is worth
 * in operations (lua/fsam/profile). */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/program.h"

enum {
  CAPACITY = 1 << 14, /* calls between two fsam_profile_take */
  MOST_TENSORS = 16
};

/* KERNEL_linear_forward, … */
enum {
#define FSAM_PROFILED(name, signature, arguments, seen) KERNEL_##name,
#include "kernels/arguments.def"
#undef FSAM_PROFILED
  KERNEL_COUNT
};

static struct {
  const fsam_kernels *inner; /* the device's own table; NULL: no profile runs */
  fsam_profile_call *calls;
  int64_t count, lost;
  int depth; /* kernels call kernels: the outer one counts */
} profile;

/* What a call was given, in the order of its arguments. */
typedef struct seen_arguments {
  const fsam_tensor *tensors[MOST_TENSORS];
  bool written[MOST_TENSORS];
  int count;
  const fsam_batch *batch;
  const fsam_program *program;
  const fsam_layout *layout;
  double start;
} seen_arguments;

static void see_tensor(seen_arguments *s, const fsam_tensor *t, bool written) {
  if (s->count == MOST_TENSORS) return;
  s->tensors[s->count] = t;
  s->written[s->count++] = written;
}

static void see_output(seen_arguments *s, fsam_tensor *t) { see_tensor(s, t, true); }
static void see_input(seen_arguments *s, const fsam_tensor *t) { see_tensor(s, t, false); }
static void see_batch(seen_arguments *s, const fsam_batch *batch) { s->batch = batch; }
static void see_program(seen_arguments *s, const fsam_program *p) { s->program = p; }
static void see_layout(seen_arguments *s, fsam_layout *layout) { s->layout = layout; }
static void see_nothing(seen_arguments *s, ...) { (void)s; }

/* -- bytes ------------------------------------------------------------------------------------- */

/* Every tensor once. Of an input with more rows than the batch has tokens, a table, each token
 * reads one row. */
static double bytes_of_tensors(const seen_arguments *s) {
  double bytes = 0;
  for (int i = 0; i < s->count; i++) {
    const fsam_tensor *t = s->tensors[i];
    if (!t) continue;
    double elements = (double)fsam__elements(t);
    if (s->batch && !s->written[i] && t->rank == 2 && t->shape[0] > s->batch->tokens)
      elements = (double)s->batch->tokens * (double)t->shape[1];
    bytes += elements * (double)fsam__dtype_bytes(t->dtype);
  }
  return bytes;
}

/* Bytes of one bound vector, by the letter of the operand that names it. */
static double bytes_of_bound(const fsam_layout *l, char letter) {
  double elements = 0, half = 0;
  for (int64_t i = 0; i < l->block_count; i++) {
    elements += l->blocks[i].count;
    if (l->blocks[i].offset < l->act) half += l->blocks[i].count;
  }
  return letter == 'm' ? elements / 8 : 4 * elements - (letter == 'w' ? 2 * half : 0);
}

/* Of each sweep: every bound vector that it reads and every one that it writes. */
static double bytes_of_program(const fsam_program *p, const fsam_layout *l) {
  double bytes = 0;
  for (int stage = 0; stage < p->stage_count; stage++) {
    bool counted[2][MAX_BOUND] = {{false}};
    for (int i = p->stages[stage].vectors; i < p->stages[stage].end; i++) {
      const fsam_instruction *in = &p->code[i];
      for (int k = 0; k <= op_inputs(in->op); k++) {
        const char letter = op_letter(in->op, k);
        const int bound = op_field(in, k);
        if (!strchr("vmw", letter) || op_smaller(in, k) || bound >= p->size.bound) continue;
        if (!counted[k == 0][bound]) bytes += bytes_of_bound(l, letter);
        counted[k == 0][bound] = true;
      }
    }
  }
  return bytes;
}

/* -- calls ------------------------------------------------------------------------------------- */

static int64_t pairs_of(const fsam_batch *batch) {
  int64_t pairs = 0;
  for (int32_t i = 0; batch && batch->starts && i < batch->samples; i++) {
    const int64_t length = batch->starts[i + 1] - batch->starts[i];
    pairs += length * length;
  }
  return pairs;
}

static void begin(seen_arguments *s) {
  profile.depth++;
  s->start = fsam_clock();
}

static int end(const seen_arguments *s, int kernel, int rc) {
  const double seconds = fsam_clock() - s->start;
  if (--profile.depth > 0) return rc;
  if (profile.count == CAPACITY) {
    profile.lost++;
    return rc;
  }
  fsam_profile_call *c = &profile.calls[profile.count++];
  *c = (fsam_profile_call){.kernel = kernel, .start = s->start, .seconds = seconds};
  c->bytes =
      s->program && s->layout ? bytes_of_program(s->program, s->layout) : bytes_of_tensors(s);
  c->pairs = pairs_of(s->batch);
  for (int i = 0; i < s->count && i < 4; i++) {
    c->rows[i] = s->tensors[i] ? s->tensors[i]->shape[0] : 0;
    c->columns[i] = s->tensors[i] ? s->tensors[i]->shape[1] : 0;
  }
  return rc;
}

#define SEEN(x) \
  _Generic((x),                     \
      fsam_tensor *: see_output,    \
      const fsam_tensor *: see_input, \
      const fsam_batch *: see_batch, \
      const fsam_program *: see_program, \
      fsam_layout *: see_layout,    \
      default: see_nothing)(&s, x);

#define FSAM_PROFILED(name, signature, arguments, seen)           \
  static int profiled_##name signature {                          \
    seen_arguments s = {.count = 0};                              \
    seen begin(&s);                                               \
    return end(&s, KERNEL_##name, profile.inner->name arguments); \
  }
#include "kernels/arguments.def"
#undef FSAM_PROFILED

static const char *const names[] = {
#define FSAM_PROFILED(name, signature, arguments, seen) #name,
#include "kernels/arguments.def"
#undef FSAM_PROFILED
};

/* -- the profile ------------------------------------------------------------------------------- */

static fsam_kernels watched;

int fsam_profile_begin(fsam_device *device) {
  if (strcmp(device->name, "cpu") != 0)
    return fsam__fail(FSAM_EINVAL,
                      "profile: a GPU's kernels run after the calls that queue them; "
                      "use nsys profile, or --device cpu");
  if (profile.inner) return fsam__fail(FSAM_EINVAL, "profile: one runs already; finish it first");
  profile.calls = malloc(CAPACITY * sizeof *profile.calls);
  if (!profile.calls) return fsam__fail(FSAM_ENOMEM, "profile: no memory for its calls");
  profile.inner = device->kernels;
  profile.count = profile.lost = 0;
  profile.depth = 0;
  watched = *device->kernels;
#define FSAM_PROFILED(name, signature, arguments, seen) watched.name = profiled_##name;
#include "kernels/arguments.def"
#undef FSAM_PROFILED
  device->kernels = &watched;
  return FSAM_OK;
}

int64_t fsam_profile_take(const fsam_profile_call **calls) {
  const int64_t count = profile.count;
  *calls = profile.calls;
  profile.count = 0;
  return count;
}

int64_t fsam_profile_lost(void) { return profile.lost; }

void fsam_profile_end(fsam_device *device) {
  if (device->kernels != &watched) return;
  device->kernels = profile.inner;
  free(profile.calls);
  profile.calls = NULL;
  profile.inner = NULL;
}

const char *fsam_profile_kernel(int kernel) {
  return kernel >= 0 && kernel < KERNEL_COUNT ? names[kernel] : NULL;
}
