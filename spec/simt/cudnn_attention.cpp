/* cudnn_attention.cpp: the first half of kernels/vendor/cudnn_attention.cuh on the shim, for
 * cudnn_attention.cu, in plain loops. It checks cuDNN's demands on the request, and does no more
 * than cuDNN promises: it does not write rows of no sample, and overwrites scratch memory. Its
 * dropout has bits of its own, by what cuDNN's goes by: seed, offset, number of the sample, head,
 * query and key. */
#include "kernels/vendor/cudnn_attention.cuh"

#include <math.h>

#include <vector>

#include "engine/philox.h"
#include "spec/simt/runtime.h"
#include "spec/simt/simt.h"

namespace {

int runs, version = 91900;
std::vector<int64_t> drawn_by; /* seed and offset of each run with dropout */
const double MILLISECONDS = 1;

float at(const void *p, int64_t i) { return simt_from_bf16(((const uint16_t *)p)[i]); }
void put(void *p, int64_t i, float value) { ((uint16_t *)p)[i] = (uint16_t)simt_bf16(value); }

const size_t BYTES = 512; /* of a workspace */

bool is_aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

/* The first demand of cuDNN that the request does not meet, or NULL. */
const char *refusal(const cudnn_attention &a) {
  const cudnn_attention_kind &k = a.kind;
  if (k.samples < 1 || k.heads < 1) return "there is nothing to do";
  if (k.longest < CUDNN_TILE || k.longest % CUDNN_TILE) return "the longest is not whole tiles";
  if (k.d % 8 || k.d > CUDNN_MAX_HEAD) return "heads have another width";
  if (k.threshold < 0 || k.threshold >= 65536) return "dropout has another probability";
  if (k.threshold && (!is_aligned(a.seed) || !is_aligned(a.offset) || a.seed == a.offset))
    return "dropout's numbers are not aligned";
  if (!is_aligned(a.qkv) || !is_aligned(a.out) || !is_aligned(a.lse) || !is_aligned(a.dout) ||
      !is_aligned(a.dqkv) || !is_aligned(a.lengths) || !is_aligned(a.qkv_starts) ||
      !is_aligned(a.out_starts) || !is_aligned(a.lse_starts))
    return "an address is not aligned";
  for (int b = 0; b < k.samples; b++) {
    const int64_t row = a.lse_starts[b] / k.heads;
    if (a.lengths[b] < 1 || a.lengths[b] > k.longest) return "a sample is empty or too long";
    if (a.lse_starts[b] > a.lse_starts[b + 1]) return "starts descend";
    if (k.threshold && b && a.lengths[b] > 1 && a.lse_starts[b] == a.lse_starts[b - 1])
      return "two samples of dropout have the same rows";
    if (row + a.lengths[b] > a.lse_starts[k.samples] / k.heads) return "a sample ends too late";
    if (a.lse_starts[b] != row * k.heads || a.out_starts[b] != row * k.heads * k.d ||
        a.qkv_starts[b] != 3 * row * k.heads * k.d)
      return "starts are not the same row's";
  }
  return NULL;
}

/* One head of one sample: offsets of its first row. */
struct task {
  const cudnn_attention &a;
  int n, d;
  int64_t q, k, v, out, lse, qkv_row, out_row, lse_row;
  float scale;
  int sample, head;
};

bool keeps(int64_t seed, int64_t offset, int sample, int head, int i, int j, int threshold) {
  uint32_t c[4] = {(uint32_t)offset, (uint32_t)(sample << 16 | head), (uint32_t)i, (uint32_t)j};
  philox4x32(c, (uint32_t)seed, (uint32_t)(seed >> 32));
  return (int)(c[0] & 0xffff) >= threshold;
}

/* What dropout multiplies a score's weight by. */
float factor(const task &t, int i, int j) {
  const cudnn_attention_kind &k = t.a.kind;
  if (!k.threshold) return 1;
  return keeps(*t.a.seed, *t.a.offset, t.sample, t.head, i, j, k.threshold)
             ? (float)(1 / cudnn_attention_kept(&k))
             : 0;
}

float dot(const task &t, const void *x, int64_t i, const void *y, int64_t j) {
  float sum = 0;
  for (int c = 0; c < t.d; c++) sum += at(x, i + c) * at(y, j + c);
  return sum;
}

float score(const task &t, int i, int j) {
  return t.scale * dot(t, t.a.qkv, t.q + i * t.qkv_row, t.a.qkv, t.k + j * t.qkv_row);
}

void forward(const task &t) {
  std::vector<float> p((size_t)t.n);
  for (int i = 0; i < t.n; i++) {
    float top = -INFINITY, sum = 0;
    for (int j = 0; j < t.n; j++) top = fmaxf(top, p[(size_t)j] = score(t, i, j));
    for (float &x : p) sum += x = expf(x - top);
    t.a.lse[t.lse + i * t.lse_row] = top + logf(sum);
    for (int c = 0; c < t.d; c++) {
      float o = 0;
      for (int j = 0; j < t.n; j++)
        o += factor(t, i, j) * p[(size_t)j] / sum * at(t.a.qkv, t.v + j * t.qkv_row + c);
      put(t.a.out, t.out + i * t.out_row + c, o);
    }
  }
}

void backward(const task &t) {
  const size_t rows = (size_t)t.n, d = (size_t)t.d;
  std::vector<float> dq(rows * d), dk(rows * d), dv(rows * d);
  for (size_t i = 0; i < rows; i++) {
    const int64_t q = t.q + (int64_t)i * t.qkv_row, o = t.out + (int64_t)i * t.out_row;
    const float delta = dot(t, t.a.dout, o, t.a.out, o);
    for (size_t j = 0; j < rows; j++) {
      const int64_t k = t.k + (int64_t)j * t.qkv_row, v = t.v + (int64_t)j * t.qkv_row;
      const float p = expf(score(t, (int)i, (int)j) - t.a.lse[t.lse + (int64_t)i * t.lse_row]);
      const float drop = factor(t, (int)i, (int)j);
      const float ds = t.scale * p * (drop * dot(t, t.a.dout, o, t.a.qkv, v) - delta);
      for (size_t c = 0; c < d; c++) {
        dq[i * d + c] += ds * at(t.a.qkv, k + (int64_t)c);
        dk[j * d + c] += ds * at(t.a.qkv, q + (int64_t)c);
        dv[j * d + c] += drop * p * at(t.a.dout, o + (int64_t)c);
      }
    }
  }
  for (size_t i = 0; i < rows; i++)
    for (size_t c = 0; c < d; c++) {
      const int64_t step = (int64_t)i * t.qkv_row + (int64_t)c;
      put(t.a.dqkv, t.q + step, dq[i * d + c]);
      put(t.a.dqkv, t.k + step, dk[i * d + c]);
      put(t.a.dqkv, t.v + step, dv[i * d + c]);
    }
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

/* How often attention ran here, so that a spec can check that it did. */
int fsam_simt_cudnn_attentions() { return runs; }

/* The library is of this version from now on; 0: there is none. */
void fsam_simt_cudnn_version(int number) { version = number; }

/* What the run with dropout before the last `back` ones was drawn by; false where there is none. */
bool fsam_simt_cudnn_drawn_by(int64_t numbers[2], int back) {
  const size_t at = drawn_by.size() - 2 * ((size_t)back + 1);
  if (at >= drawn_by.size()) return false;
  numbers[0] = drawn_by[at];
  numbers[1] = drawn_by[at + 1];
  return true;
}

/* Does dropout with these numbers and a threshold in 65536ths keep an element? */
bool fsam_simt_cudnn_keeps(const int64_t numbers[2], int sample, int head, int i, int j,
                           int threshold) {
  return keeps(numbers[0], numbers[1], sample, head, i, j, threshold);
}

}  // extern "C"
#pragma GCC visibility pop

int fsam__cudnn_attention_open() {
  return version ? FSAM_OK : fsam__fail(FSAM_ENODEV, "attention: there is no cuDNN");
}

int fsam__cudnn_attention_version() { return version; }

int fsam__cudnn_attention_plan(size_t *bytes, fsam_device *, const cudnn_attention_kind *) {
  *bytes = BYTES;
  return FSAM_OK;
}

namespace {

int attend(const cudnn_attention &a, void *workspace) {
  const cudnn_attention_kind &k = a.kind;
  const char *why = refusal(a);
  if (why) return fsam__fail(FSAM_EINTERNAL, "cudnn attention: %s", why);
  memset(workspace, 0xff, BYTES);
  runs++;
  simt_spend(MILLISECONDS);
  if (k.threshold) drawn_by.insert(drawn_by.end(), {*a.seed, *a.offset});
  const int64_t hidden = (int64_t)k.heads * k.d;
  for (int b = 0; b < k.samples; b++)
    for (int h = 0; h < k.heads; h++) {
      const int64_t first = a.qkv_starts[b] + (int64_t)h * k.d;
      const task t = {a,
                      a.lengths[b],
                      k.d,
                      first,
                      first + hidden,
                      first + 2 * hidden,
                      a.out_starts[b] + (int64_t)h * k.d,
                      a.lse_starts[b] + h,
                      3 * hidden,
                      hidden,
                      k.heads,
                      (float)(1 / sqrt((double)k.d)),
                      b,
                      h};
      if (k.backward)
        backward(t);
      else
        forward(t);
    }
  return FSAM_OK;
}

}  // namespace

int fsam__cudnn_attention_run(fsam_device *device, const cudnn_attention *given, void *workspace) {
  const cudnn_attention a = *given;
  return simt_do(device, [=] { return attend(a, workspace); });
}
