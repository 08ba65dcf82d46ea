/* program_replay.cpp: replays vector programs that ran on the CPU by their CUDA kernels, on the
 * shim or on a GPU. While a CPU device is recorded, each program that runs on it is kept, with all
 * memory that it binds, before and after; of one program the first RUNS runs. A replay gives the
 * generated kernels the memory before and compares their result with the memory after, padding
 * included, bit for bit. Two differences are allowed: the bits of a NaN, and on a GPU the last bits
 * of functions that both leave to a library. */
#include "spec/simt/simt.h"

#include "kernels/vector/programs_cuda.h"
#include "spec/simt/programs.h"

#include <stdio.h>
#include <stdlib.h>

#include <string>
#include <vector>

namespace {

enum { RUNS = 3 /* of one program */ };

typedef std::vector<char> bytes;

/* A bound vector or cell: what it held before and after. */
struct content {
  bytes before, after;
  int unit;      /* of a comparison: 2 (bf16), 4, 8 (f64), or 0 for bits */
  size_t halves; /* bytes of bf16 that come first, of the working copy */
};

struct selection {
  bool asked;
  bytes pool;
  std::vector<int64_t> k;
  int per_parameter, outside;
  content mask;
};

struct run {
  std::vector<int64_t> offset, count;
  std::vector<int32_t> layer;
  std::vector<uint8_t> frozen;
  int64_t total, act;
  std::vector<double> numbers;
  std::vector<content> bound, cells;
  selection chosen;
  int rc;
  std::string message;
};

struct recorded {
  std::vector<fsam_instruction> code;
  fsam_program_size size;
  std::string source;
  std::vector<run> runs;
};

std::vector<recorded> programs;
const fsam_kernels *original;
fsam_kernels spying;

/* -- recording --------------------------------------------------------------------------------- */

recorded *entry_of(const fsam_program *p) {
  for (recorded &r : programs)
    if ((int)r.code.size() == p->count && !memcmp(&r.size, &p->size, sizeof r.size) &&
        !memcmp(r.code.data(), p->code, (size_t)p->count * sizeof *p->code))
      return &r;
  char *source = program_source(p);
  programs.push_back({{p->code, p->code + p->count}, p->size, source, {}});
  free(source);
  return &programs.back();
}

void keep(bytes *to, const void *from, size_t size) {
  to->assign((const char *)from, (const char *)from + size);
}

content bound_of(const fsam_program *p, const fsam_layout *l, const fsam_binding *b, int slot) {
  content c = {};
  const int what = program_bound_class(p, slot);
  c.unit = what == BOUND_BITS ? 0 : 4;
  c.halves = what == BOUND_ACT ? (size_t)l->act * 2 : 0;
  const size_t rest = (size_t)(l->total - (what == BOUND_ACT ? l->act : 0)) * 4;
  keep(&c.before, b->bound[slot], what == BOUND_BITS ? (size_t)l->total / 8 : c.halves + rest);
  return c;
}

content cell_of(const fsam_program *p, const fsam_layout *l, const fsam_binding *b, int cell) {
  content c = {};
  bool row = false;
  for (int i = 0; i < p->count; i++) {
    const fsam_instruction &in = p->code[i];
    if ((in.op == OP_LOAD && in.a == cell) || (in.op == OP_STORE && in.out == cell))
      row |= in.space == SPACE_ROW;
  }
  c.unit = 8;
  keep(&c.before, b->cells[cell], 8 * (size_t)(row ? l->parameters : 1));
  return c;
}

run before(const fsam_program *p, const fsam_layout *l, const fsam_binding *b) {
  run r = {};
  r.offset.assign(l->offset, l->offset + l->parameters);
  r.count.assign(l->count, l->count + l->parameters);
  r.layer.assign(l->layer, l->layer + l->parameters);
  for (int i = 0; i < l->parameters; i++)
    r.frozen.push_back(l->first_block[i] == l->first_block[i + 1]);
  r.total = l->total;
  r.act = l->act;
  if (p->size.numbers) r.numbers.assign(b->numbers, b->numbers + p->size.numbers);
  for (int i = 0; i < p->size.bound; i++) r.bound.push_back(bound_of(p, l, b, i));
  for (int i = 0; i < p->size.cells; i++) r.cells.push_back(cell_of(p, l, b, i));
  return r;
}

void after(run *r, const fsam_binding *b, int rc) {
  for (size_t i = 0; i < r->bound.size(); i++)
    keep(&r->bound[i].after, b->bound[i], r->bound[i].before.size());
  for (size_t i = 0; i < r->cells.size(); i++)
    keep(&r->cells[i].after, b->cells[i], r->cells[i].before.size());
  r->rc = rc;
  r->message = rc < 0 ? fsam_error() : "";
}

int spy_run(const fsam_program *p, fsam_layout *l, const fsam_binding *b) {
  recorded *entry = entry_of(p);
  if (entry->runs.size() >= RUNS) return original->program_run(p, l, b);
  run r = before(p, l, b);
  const int rc = original->program_run(p, l, b);
  after(&r, b, rc);
  entry->runs.push_back(r);
  return rc;
}

int spy_select(uint64_t *mask, const fsam_program *p, fsam_layout *l, const fsam_binding *b,
               const uint8_t *pool, const int64_t *k, int per_parameter, int outside) {
  recorded *entry = entry_of(p);
  if (entry->runs.size() >= RUNS)
    return original->program_select(mask, p, l, b, pool, k, per_parameter, outside);
  run r = before(p, l, b);
  selection &s = r.chosen;
  s.asked = true;
  s.pool.assign((const char *)pool, (const char *)pool + l->parameters);
  s.k.assign(k, k + (per_parameter ? l->parameters : 1));
  s.per_parameter = per_parameter;
  s.outside = outside;
  keep(&s.mask.before, mask, (size_t)l->total / 8);
  const int rc = original->program_select(mask, p, l, b, pool, k, per_parameter, outside);
  keep(&s.mask.after, mask, (size_t)l->total / 8);
  after(&r, b, rc);
  entry->runs.push_back(r);
  return rc;
}

/* -- comparing --------------------------------------------------------------------------------- */

bool is_nan(uint64_t bits, int unit) {
  if (unit == 2) return (bits & 0x7fff) > 0x7f80;
  if (unit == 4) return (bits & 0x7fffffff) > 0x7f800000;
  return unit == 8 && (bits & 0x7fffffffffffffff) > 0x7ff0000000000000;
}

float as_float(uint64_t bits) {
  const uint32_t word = (uint32_t)bits;
  float x;
  memcpy(&x, &word, sizeof x);
  return x;
}

double as_double(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Equal, or near unless `exactly`. */
bool same(uint64_t want, uint64_t got, int unit, bool exactly) {
  if (want == got || (is_nan(want, unit) && is_nan(got, unit))) return true;
  if (exactly || unit == 0) return false;
  if (unit == 2) return fabsf(as_float(want << 16) / as_float(got << 16) - 1) < 0.01f;
  if (unit == 4) return fabsf(as_float(want) / as_float(got) - 1) < 1e-5f;
  return fabs(as_double(want) / as_double(got) - 1) < 1e-5;
}

int compare(const content &c, const bytes &got, const char *what, int number, bool exactly) {
  for (size_t at = 0; at < c.after.size();) {
    const int unit = at < c.halves ? 2 : c.unit, step = unit ? unit : 8;
    uint64_t want = 0, found = 0;
    memcpy(&want, c.after.data() + at, (size_t)step);
    memcpy(&found, got.data() + at, (size_t)step);
    if (!same(want, found, unit, exactly))
      return fsam__fail(FSAM_EINTERNAL, "%s %d, byte %zu: expected %llx, got %llx", what, number,
                        at, (unsigned long long)want, (unsigned long long)found);
    at += (size_t)step;
  }
  return FSAM_OK;
}

/* Does a program use functions that CUDA's library and the C library may round differently: pow,
 * and exp and log of scalars? The shim has the C library's. */
bool asks_library(const recorded &entry) {
  for (const fsam_instruction &in : entry.code)
    if (in.op == OP_POW || in.op == OP_POW_FIXED ||
        (in.space != SPACE_VECTOR && (in.op == OP_EXP || in.op == OP_LOG)))
      return true;
  return false;
}

/* -- replaying --------------------------------------------------------------------------------- */

/* Memory of a device, freed with this object. */
struct memory {
  fsam_device *device;
  std::vector<void *> pieces;
  int rc = FSAM_OK;

  explicit memory(fsam_device *d) : device(d) {}
  ~memory() {
    for (void *p : pieces) device->memory->free(device, p);
  }
  void *holding(const content &c) {
    void *p = device->memory->alloc(device, c.before.size() + 16);
    if (!p) rc = fsam__fail(FSAM_ENOMEM, "replay: no memory");
    if (rc == FSAM_OK && !c.before.empty())
      rc = device->memory->copy_in(device, p, c.before.data(), c.before.size());
    pieces.push_back(p);
    return p;
  }
  int compare_with(const content &c, const void *p, const char *what, int number, bool exactly) {
    bytes got(c.after.size());
    if (!got.empty()) FSAM_TRY(device->memory->copy_out(device, got.data(), p, got.size()));
    return compare(c, got, what, number, exactly);
  }
};

int run_again(const run &r, const fsam_program *program, fsam_layout *layout, bool exactly) {
  memory all(layout->device);
  std::vector<void *> bound;
  std::vector<double *> cells;
  for (const content &c : r.bound) bound.push_back(all.holding(c));
  for (const content &c : r.cells) cells.push_back((double *)all.holding(c));
  const fsam_binding binding = {bound.data(), r.numbers.data(), cells.data()};
  const selection &s = r.chosen;
  uint64_t *mask = s.asked ? (uint64_t *)all.holding(s.mask) : NULL;
  FSAM_TRY(all.rc);
  const int rc =
      s.asked ? fsam_program_select(mask, program, layout, &binding, (const uint8_t *)s.pool.data(),
                                    s.k.data(), s.per_parameter, s.outside)
              : fsam_program_run(program, layout, &binding);
  if (rc != r.rc || (rc < 0 && r.message != fsam_error()))
    return fsam__fail(FSAM_EINTERNAL, "expected %d (%s), got %d (%s)", r.rc, r.message.c_str(), rc,
                      rc < 0 ? std::string(fsam_error()).c_str() : "");
  if (rc < 0) return FSAM_OK;
  for (size_t i = 0; i < bound.size(); i++)
    FSAM_TRY(all.compare_with(r.bound[i], bound[i], "vector", (int)i, exactly));
  for (size_t i = 0; i < cells.size(); i++)
    FSAM_TRY(all.compare_with(r.cells[i], cells[i], "cell", (int)i, exactly));
  return s.asked ? all.compare_with(s.mask, mask, "mask", 0, exactly) : FSAM_OK;
}

int replay_run(const recorded &entry, const run &r, fsam_device *device, bool exactly) {
  fsam_layout *layout = NULL;
  fsam_program *program = NULL;
  int rc = fsam_layout_new(&layout, device, (int)r.offset.size(), r.offset.data(), r.count.data(),
                           r.layer.data(), r.frozen.data(), r.total, r.act);
  if (rc == FSAM_OK)
    rc = fsam_program_new(&program, device, entry.code.data(), (int)entry.code.size(), &entry.size);
  if (rc == FSAM_OK) rc = run_again(r, program, layout, exactly);
  fsam_program_free(program);
  fsam_layout_free(layout);
  return rc;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

/* Records the programs that run on this device, until fsam_simt_record_end. */
void fsam_simt_record(fsam_device *cpu) {
  original = cpu->kernels;
  spying = *original;
  spying.program_run = spy_run;
  spying.program_select = spy_select;
  cpu->kernels = &spying;
}

void fsam_simt_record_end(fsam_device *cpu) { cpu->kernels = original; }

int fsam_simt_program_count() { return (int)programs.size(); }

int fsam_simt_run_count(int i) { return (int)programs[(size_t)i].runs.size(); }

const char *fsam_simt_source(int i) { return programs[(size_t)i].source.c_str(); }

/* Opens the library with the kernels of programs first … first + count - 1. */
int fsam_simt_built(const char *path, int first, int count) {
  std::vector<const char *> sources;
  for (int i = first; i < first + count; i++) sources.push_back(fsam_simt_source(i));
  return simt_programs_add(path, sources.data(), count);
}

/* Replays all runs of program i on a GPU; with NULL on the shim, in both orders of threads. */
int fsam_simt_replay(int i, fsam_device *gpu) {
  const recorded &entry = programs[(size_t)i];
  const bool exactly = !gpu || !asks_library(entry);
  fsam_device *device = gpu;
  if (!gpu) FSAM_TRY(fsam_simt_open(&device));
  int rc = FSAM_OK;
  for (int way = 0; way < (gpu ? 1 : 2) && rc == FSAM_OK; way++) {
    fsam_simt_order(way);
    for (size_t k = 0; k < entry.runs.size() && rc == FSAM_OK; k++)
      rc = replay_run(entry, entry.runs[k], device, exactly);
  }
  if (!gpu) fsam_device_close(device);
  return rc;
}

/* NVRTC on a source: PTX (freed with the next call), or NULL and the error; *log: its warnings. */
const char *fsam_simt_ptx(const char *source, int arch, const char **log) {
  static char *ptx, *warnings;
  free(ptx);
  free(warnings);
  ptx = warnings = NULL;
  *log = NULL;
  if (nvrtc_compile_ptx(&ptx, &warnings, source, arch) < 0) return NULL;
  *log = warnings;
  return ptx;
}

int fsam_simt_nvrtc() { return nvrtc_version(); }

/* Machine code through the cache on disk: a digest of its bytes, or a negative code. */
int64_t fsam_simt_cubin(const char *source, int arch) {
  void *image;
  size_t size;
  FSAM_TRY(nvrtc_compile(&image, &size, source, arch));
  int64_t sum = (int64_t)size;
  for (size_t i = 0; i < size; i++)
    sum = (sum * 31 + ((const unsigned char *)image)[i]) & 0xffffffff;
  free(image);
  return sum;
}

}  // extern "C"
#pragma GCC visibility pop
