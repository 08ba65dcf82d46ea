/* attention.c: self-attention within each sample of a packed batch,
 *     out[T,H] = dropout(P) v,   P = softmax(q k^T / sqrt(d)) per head,   d = H / heads,
 * with q, k, v the thirds of qkv[T,3H]. lse[T,heads], the log of the softmax's sum, is kept;
 * backward makes P again from it (Dao et al. 2022, without the tiling over keys).
 *
 * One task is one head of one sample. Its rows are copied into the thread's f32 scratch, keys (and
 * values) also transposed, so that every product below is "broadcast an element, multiply a row".
 * QUERIES queries at a time meet all keys of the sample, so that scratch grows with the longest
 * sample, not with its square. Each sum runs over one index in order: neither threads nor lanes
 * change a bit. */
#include <math.h>
#include <omp.h>

#include "kernels/simd/drop.h"
#include "kernels/simd/small_matmul.h"
#include "kernels/simd/simd_math.h"

#if FSAM_PUBLIC

static int check(const char *op, const fsam_tensor *qkv, int heads, const fsam_tensor *lse,
                 const fsam_tensor *kept, bool needs_kept, const fsam_batch *batch,
                 const fsam_dropout *dropout) {
  FSAM_TRY(fsam__check_dropout(op, dropout, batch));
  FSAM_TRY(fsam__check_batch(op, batch));
  FSAM_TRY(fsam__expect(op, "qkv", qkv, -1, 2, batch->tokens, -1));
  FSAM_TRY(fsam__expect(op, "lse", lse, FSAM_F32, 2, batch->tokens, heads));
  const long long width = qkv->shape[1];
  if (dropout && dropout->p > 0 && heads > 0)
    FSAM_TRY(fsam_attention_rng_check(fsam__device_of(qkv), dropout->rng, qkv->dtype,
                                      width / (3 * heads)));
  if (heads <= 0 || width % (3 * heads) || width / (3 * heads) % 4)
    return fsam__fail(FSAM_EINVAL,
                      "%s: qkv (%s) has %lld columns for %d heads, expected 3 · heads · a multiple "
                      "of 4",
                      op, qkv->name, width, heads);
  const int columns = fsam_attention_kept(qkv, heads, batch, dropout);
  if (!(kept || (needs_kept && columns))) return FSAM_OK;
  return fsam__expect(op, "kept", kept, FSAM_I32, 2, batch->tokens, columns);
}

int fsam_attention_kept(const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                        const fsam_dropout *dropout) {
  return fsam__device_of(qkv)->kernels->attention_kept(qkv, heads, batch, dropout);
}

int fsam_attention_rng_check(fsam_device *device, int rng, int dtype, int64_t columns) {
  if (rng != FSAM_RNG_OWN && rng != FSAM_RNG_CUDNN)
    return fsam__fail(FSAM_EINVAL, "attention: %d is no FSAM_RNG_…", rng);
  return device->kernels->attention_rng_check(device, rng, dtype, columns);
}

int fsam_attention_library(fsam_device *device, int rng, const char **text) {
  return device->kernels->attention_library(device, rng, text);
}

int fsam_attention_forward(fsam_tensor *out, fsam_tensor *lse, fsam_tensor *kept,
                           const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                           const fsam_dropout *dropout) {
  FSAM_TRY(check("attention_forward", qkv, heads, lse, kept, false, batch, dropout));
  FSAM_TRY(fsam__expect("attention_forward", "out", out, qkv->dtype, 2, batch->tokens,
                        qkv->shape[1] / 3));
  return fsam__device_of(out)->kernels->attention_forward(out, lse, kept, qkv, heads, batch,
                                                          dropout);
}

int fsam_attention_backward(fsam_tensor *dqkv, const fsam_tensor *dout, const fsam_tensor *out,
                            const fsam_tensor *lse, const fsam_tensor *kept, const fsam_tensor *qkv,
                            int heads, const fsam_batch *batch, const fsam_dropout *dropout) {
  const char *op = "attention_backward";
  FSAM_TRY(check(op, qkv, heads, lse, kept, true, batch, dropout));
  const int type = qkv->dtype;
  const int64_t width = qkv->shape[1];
  FSAM_TRY(fsam__expect(op, "dqkv", dqkv, type, 2, batch->tokens, width));
  FSAM_TRY(fsam__expect(op, "dout", dout, type, 2, batch->tokens, width / 3));
  FSAM_TRY(fsam__expect(op, "out", out, type, 2, batch->tokens, width / 3));
  return fsam__device_of(dqkv)->kernels->attention_backward(dqkv, dout, out, lse, kept, qkv, heads,
                                                            batch, dropout);
}

#endif

int FSAM_CPU(attention_rng_check)(fsam_device *device, int rng, int dtype, int64_t columns) {
  (void)device, (void)dtype, (void)columns;
  if (rng == FSAM_RNG_OWN) return FSAM_OK;
  return fsam__fail(FSAM_EINVAL,
                    "attention: cuDNN draws attention's dropout on a GPU alone, this is "
                    "the cpu");
}

int FSAM_CPU(attention_library)(fsam_device *device, int rng, const char **text) {
  (void)device, (void)rng;
  *text = "own";
  return FSAM_OK;
}

enum { QUERIES = 32 }; /* rows of P that are computed together */

/* -- one task's memory ------------------------------------------------------------------------- */

/* n rows of a sample, d columns of a head; both rounded up to WIDE and zero there. */
typedef struct scratch {
  float *k, *v, *k_t, *v_t; /* [n,d], [n,d], [d,n], [d,n] */
  float *dk, *dv;           /* [n,d] */
  float *q, *dout, *o;      /* [QUERIES,d]: q / sqrt(d); dout; a result before it is stored */
  float *p, *dp;            /* [QUERIES,n] */
  uint16_t *bits;           /* [QUERIES,n] */
} scratch;

/* Bytes of one thread's scratch. */
static size_t scratch_bytes(int longest, int d) {
  size_t n = (size_t)round_up(longest, WIDE), width = (size_t)round_up(d, WIDE);
  return (6 * n * width + QUERIES * (3 * width + 2 * n)) * sizeof(float) +
         QUERIES * n * sizeof(uint16_t) + 64;
}

static scratch scratch_of(char *memory, int longest, int d) {
  size_t n = (size_t)round_up(longest, WIDE), width = (size_t)round_up(d, WIDE);
  float *f = (float *)memory;
  scratch s = {.k = f,
               .v = f + n * width,
               .k_t = f + 2 * n * width,
               .v_t = f + 3 * n * width,
               .dk = f + 4 * n * width,
               .dv = f + 5 * n * width};
  f += 6 * n * width;
  s.q = f;
  s.dout = f + QUERIES * width;
  s.o = f + 2 * QUERIES * width;
  f += 3 * QUERIES * width;
  s.p = f;
  s.dp = f + QUERIES * n;
  s.bits = (uint16_t *)(f + 2 * QUERIES * n);
  return s;
}

/* to[padded,width] = factor * the rows first … first + rows - 1 of the columns column … column +
 * d - 1 of t; zeros elsewhere. */
static void load_rows(float *to, int width, const fsam_tensor *t, int64_t first, int rows,
                      int padded, int64_t column, int d, float factor) {
  for (int i = 0; i < rows; i++) {
    const int64_t at = (first + i) * t->row_stride + column;
    for (int c = 0; c < width; c += LANES) {
      vf v = t->dtype == FSAM_BF16 ? v_load_act(FSAM_BF16, t->data, at + c, d - c)
                                   : v_load_act(FSAM_F32, t->data, at + c, d - c);
      v_store(to + i * width + c, v * factor);
    }
  }
  if (padded > rows) memset(to + rows * width, 0, (size_t)((padded - rows) * width) * sizeof *to);
}

/* The reverse of that: rows of t = factor * from, or added to a filled t. */
static void store_rows(fsam_tensor *t, int64_t first, int rows, int64_t column, int d,
                       const float *from, int width, float factor) {
  for (int i = 0; i < rows; i++) {
    const int64_t at = (first + i) * t->row_stride + column;
    for (int c = 0; c < d; c += LANES) {
      vf v = v_load(from + i * width + c) * factor;
      if (t->dtype == FSAM_BF16) {
        if (t->filled) v += v_load_act(FSAM_BF16, t->data, at + c, d - c);
        v_store_act(FSAM_BF16, t->data, at + c, v, d - c);
      } else {
        if (t->filled) v += v_load_act(FSAM_F32, t->data, at + c, d - c);
        v_store_act(FSAM_F32, t->data, at + c, v, d - c);
      }
    }
  }
}

/* -- shared by forward and backward ------------------------------------------------------------ */

typedef struct attention {
  const fsam_tensor *qkv;
  fsam_tensor *out, *lse;         /* forward */
  fsam_tensor *dqkv;              /* backward */
  const fsam_tensor *dout, *kept; /* backward; kept: lse */
  const fsam_batch *batch;
  drop_site site;
  int heads, d, width; /* d columns of a head, and rounded up to WIDE */
  float scale;         /* 1 / sqrt(d) */
} attention;

/* Which lanes hold keys: those of the vector at key j that are below n. */
FSAM_INLINE vi is_key(int j, int n) { return v_iota() + j < n; }

/* scores[m,padded] = q k^T / sqrt(d) for the queries q0 … q0 + m - 1 of a sample. */
static void scores(const attention *a, scratch *s, int64_t start, int head, int q0, int m,
                   int padded) {
  load_rows(s->q, a->width, a->qkv, start + q0, m, m, (int64_t)head * a->d, a->d, a->scale);
  multiply(s->p, padded, (left){s->q, a->width, 1}, s->k_t, padded, m, padded, a->d, false);
}

static void draw_bits(const attention *a, scratch *s, int sample, int head, int q0, int m,
                      int padded) {
  if (!a->site.threshold) return;
  drop_bits(s->bits, &a->site, (uint32_t)a->batch->ordinals[sample], (uint32_t)q0, m,
            (uint32_t)head << 16, padded / 8);
}

/* Fails unless the samples follow each other within the batch, none longer than batch->longest. */
static int check_samples(const char *op, const fsam_batch *batch) {
  int32_t at = 0;
  for (int32_t b = 0; b < batch->samples; b++) {
    int32_t end = batch->starts[b + 1], length = end - batch->starts[b];
    if (batch->starts[b] != at || length < 0 || length > batch->longest || end > batch->tokens)
      return fsam__fail(FSAM_EINVAL,
                        "%s: sample %d has rows %d to %d, expected from %d on, at "
                        "most %d, within %d",
                        op, b, batch->starts[b], end - 1, at, batch->longest, batch->tokens);
    at = end;
  }
  return FSAM_OK;
}

/* Zeros in the rows of the tail. */
static void clear_tail(fsam_tensor *t, const fsam_batch *batch) {
  if (t->filled) return;
  const int64_t size = fsam__dtype_bytes(t->dtype);
  for (int64_t r = batch->starts[batch->samples]; r < batch->tokens; r++)
    memset((char *)t->data + r * t->row_stride * size, 0, (size_t)(t->shape[1] * size));
}

/* Runs `task` for every head of every sample. */
static int for_each_head(const char *op, const attention *a,
                         void (*task)(const attention *, scratch *, int sample, int head)) {
  const fsam_batch *batch = a->batch;
  FSAM_TRY(check_samples(op, batch));
  const size_t bytes = scratch_bytes(batch->longest, a->d) / 64 * 64;
  void *workspace;
  FSAM_TRY(
      fsam__workspace(&workspace, fsam__device_of(a->qkv), bytes * (size_t)omp_get_max_threads()));
  const int tasks = batch->samples * a->heads;
#pragma omp parallel for schedule(dynamic) if (batch->tokens * a->qkv->shape[1] > 4096)
  for (int i = 0; i < tasks; i++) {
    scratch s =
        scratch_of((char *)workspace + bytes * (size_t)omp_get_thread_num(), batch->longest, a->d);
    task(a, &s, i / a->heads, i % a->heads);
  }
  return FSAM_OK;
}

/* -- forward ----------------------------------------------------------------------------------- */

/* A row of scores becomes one of P, zero beyond n. The softmax's sum is *total · e^*top. */
static void softmax_row(float *top, float *total, float *p, int n, int padded) {
  vf16 most, sum = {0};
  for (int k = 0; k < PARTS; k++) most.part[k] = v_set(-INFINITY);
  for (int j = 0; j < padded; j += WIDE)
    for (int k = 0; k < PARTS; k++) {
      int i = j + k * LANES;
      most.part[k] = v_max(most.part[k], v_select(is_key(i, n), v_load(p + i), v_set(-INFINITY)));
    }
  *top = v_max_all(most);
  for (int j = 0; j < padded; j += WIDE)
    for (int k = 0; k < PARTS; k++) {
      int i = j + k * LANES;
      vf e = v_select(is_key(i, n), v_exp(v_load(p + i) - *top), v_set(0.0f));
      v_store(p + i, e);
      sum.part[k] += e;
    }
  *total = v_sum(sum);
  const float inverse = 1.0f / *total;
  for (int j = 0; j < padded; j += LANES) v_store(p + j, v_load(p + j) * inverse);
}

/* Scores of m queries from row `first` of the batch on become dropout(P); stores their lse. */
static void softmax(const attention *a, scratch *s, int64_t first, int head, int m, int n,
                    int padded) {
  float top[QUERIES], total[QUERIES], lse[QUERIES];
  for (int i = 0; i < m; i++) {
    float *p = s->p + i * padded;
    softmax_row(&top[i], &total[i], p, n, padded);
    for (int j = 0; a->site.threshold && j < padded; j += LANES)
      v_store(p + j, drop(&a->site, s->bits + i * padded + j, v_load(p + j)));
  }
  for (int i = 0; i < m; i += LANES)
    v_store_n(lse + i, v_load_n(top + i, m - i) + v_log(v_load_n(total + i, m - i)), m - i);
  float *to = (float *)a->lse->data + first * a->lse->row_stride + head;
  for (int i = 0; i < m; i++) to[i * a->lse->row_stride] = lse[i];
}

static void forward_head(const attention *a, scratch *s, int sample, int head) {
  const int64_t start = a->batch->starts[sample], column = (int64_t)head * a->d;
  const int64_t hidden = (int64_t)a->heads * a->d;
  const int n = a->batch->starts[sample + 1] - (int)start, padded = round_up(n, WIDE);
  load_rows(s->k, a->width, a->qkv, start, n, padded, hidden + column, a->d, 1.0f);
  load_rows(s->v, a->width, a->qkv, start, n, n, 2 * hidden + column, a->d, 1.0f);
  transpose(s->k_t, s->k, padded, a->width);
  for (int q0 = 0; q0 < n; q0 += QUERIES) {
    const int m = n - q0 < QUERIES ? n - q0 : QUERIES;
    scores(a, s, start, head, q0, m, padded);
    draw_bits(a, s, sample, head, q0, m, padded);
    softmax(a, s, start + q0, head, m, n, padded);
    multiply(s->o, a->width, (left){s->p, padded, 1}, s->v, a->width, m, a->width, n, false);
    store_rows(a->out, start + q0, m, column, a->d, s->o, a->width, 1.0f);
  }
}

static attention attention_of(const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                              const fsam_dropout *dropout) {
  attention a = {.qkv = qkv, .batch = batch, .heads = heads};
  a.site = drop_site_in(drop_site_of(dropout), batch);
  a.d = (int)(qkv->shape[1] / (3 * heads));
  a.width = round_up(a.d, WIDE);
  a.scale = (float)(1.0 / sqrt((double)a.d));
  return a;
}

/* None: what a bit costs to draw, it costs to fetch. */
int FSAM_CPU(attention_kept)(const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                             const fsam_dropout *dropout) {
  (void)qkv, (void)heads, (void)batch, (void)dropout;
  return 0;
}

int FSAM_CPU(attention_forward)(fsam_tensor *out, fsam_tensor *lse, fsam_tensor *kept,
                                const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                                const fsam_dropout *dropout) {
  (void)kept;
  attention a = attention_of(qkv, heads, batch, dropout);
  a.out = out;
  a.lse = lse;
  FSAM_TRY(for_each_head("attention_forward", &a, forward_head));
  clear_tail(out, batch);
  clear_tail(lse, batch);
  return FSAM_OK;
}

/* -- backward ---------------------------------------------------------------------------------- */

/* A row of scores and one of dout v^T become dropout(P) and the gradient of the scores,
 * P (dropout'(dout v^T) - D), where D = sum over keys of P dropout'(dout v^T). */
static void softmax_backward_row(const attention *a, float *p, float *dp, const uint16_t *bits,
                                 float lse, int n, int padded) {
  const bool drops = a->site.threshold != 0;
  vf16 sum = {0};
  for (int j = 0; j < padded; j += WIDE)
    for (int k = 0; k < PARTS; k++) {
      int i = j + k * LANES;
      vf probability = v_select(is_key(i, n), v_exp(v_load(p + i) - lse), v_set(0.0f));
      vf d = v_load(dp + i);
      if (drops) d = drop(&a->site, bits + i, d);
      v_store(p + i, probability);
      v_store(dp + i, d);
      sum.part[k] += probability * d;
    }
  const float total = v_sum(sum);
  for (int j = 0; j < padded; j += LANES) {
    vf probability = v_load(p + j);
    v_store(dp + j, probability * (v_load(dp + j) - total));
    if (drops) v_store(p + j, drop(&a->site, bits + j, probability));
  }
}

static void backward_head(const attention *a, scratch *s, int sample, int head) {
  const int64_t start = a->batch->starts[sample], column = (int64_t)head * a->d;
  const int64_t hidden = (int64_t)a->heads * a->d;
  const int n = a->batch->starts[sample + 1] - (int)start, padded = round_up(n, WIDE);
  const int width = a->width;
  load_rows(s->k, width, a->qkv, start, n, padded, hidden + column, a->d, 1.0f);
  load_rows(s->v, width, a->qkv, start, n, padded, 2 * hidden + column, a->d, 1.0f);
  transpose(s->k_t, s->k, padded, width);
  transpose(s->v_t, s->v, padded, width);
  for (int q0 = 0; q0 < n; q0 += QUERIES) {
    const int m = n - q0 < QUERIES ? n - q0 : QUERIES;
    scores(a, s, start, head, q0, m, padded);
    load_rows(s->dout, width, a->dout, start + q0, m, m, column, a->d, 1.0f);
    multiply(s->dp, padded, (left){s->dout, width, 1}, s->v_t, padded, m, padded, a->d, false);
    draw_bits(a, s, sample, head, q0, m, padded);
    for (int i = 0; i < m; i++) {
      float lse = ((const float *)a->kept->data)[(start + q0 + i) * a->kept->row_stride + head];
      softmax_backward_row(a, s->p + i * padded, s->dp + i * padded, s->bits + i * padded, lse, n,
                           padded);
    }
    multiply(s->dv, width, (left){s->p, 1, padded}, s->dout, width, n, width, m, q0 > 0);
    multiply(s->dk, width, (left){s->dp, 1, padded}, s->q, width, n, width, m, q0 > 0);
    multiply(s->o, width, (left){s->dp, padded, 1}, s->k, width, m, width, n, false);
    store_rows(a->dqkv, start + q0, m, column, a->d, s->o, width, a->scale);
  }
  store_rows(a->dqkv, start, n, hidden + column, a->d, s->dk, width, 1.0f);
  store_rows(a->dqkv, start, n, 2 * hidden + column, a->d, s->dv, width, 1.0f);
}

int FSAM_CPU(attention_backward)(fsam_tensor *dqkv, const fsam_tensor *dout, const fsam_tensor *out,
                                 const fsam_tensor *lse, const fsam_tensor *kept,
                                 const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                                 const fsam_dropout *dropout) {
  (void)kept;
  attention a = attention_of(qkv, heads, batch, dropout);
  (void)out; /* D could be the sum of dout · out, but out may be rounded to bf16 */
  a.dqkv = dqkv;
  a.dout = dout;
  a.kept = lse;
  FSAM_TRY(for_each_head("attention_backward", &a, backward_head));
  clear_tail(dqkv, batch);
  return FSAM_OK;
}
