/* attention.c: self-attention within each sample of a packed batch,
 *     out[T,H] = dropout(P) v,   P = softmax(q k^T / sqrt(d)) per head,   d = H / heads,
 * with q, k, v the thirds of qkv[T,3H]. lse[T,heads], the log of the softmax's sum, is kept;
 * backward makes P again from it (Dao et al. 2022, without the tiling over keys).
 *
 * One task is one head of one sample. Its rows are copied into the thread's f32 scratch in the
 * layouts that small_matmul.h multiplies fast. QUERIES queries at a time meet all keys of the
 * sample, so that scratch grows with the longest sample, not with its square. Each sum runs over
 * one index in order: neither threads nor lanes change a bit. */
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

enum {
  QUERIES = 32, /* rows of P that are computed together; a multiple of TILE_ROWS */
  AHEAD = 8     /* rows of a tensor are fetched so long before they are read */
};

/* -- one task's memory ------------------------------------------------------------------------- */

/* n rows of a sample, d columns of a head; both rounded up to WIDE and zero there. What is a right
 * factor lies in panels. */
typedef struct scratch {
  float *k_t, *v_t;    /* [d,n] in panels */
  float *k, *v;        /* [n,d] in panels */
  float *dk, *dv;      /* [n,d] */
  float *rows;         /* [PANEL,d]: on their way into panels */
  float *q, *dout, *o; /* [QUERIES,d]: q / sqrt(d); dout; a result before it is stored */
  float *q_b, *dout_b; /* q and dout again, in panels */
  float *p, *dp;       /* [QUERIES,n], rows `stride` apart */
  uint16_t *bits;      /* [QUERIES,n] */
  int padded, stride;  /* of the sample in hand: n rounded up to WIDE; see stride_of */
} scratch;

/* An odd number of cache lines, so that a column of p lies in all places of the cache. */
static int stride_of(int padded) { return padded | WIDE; }

/* The sizes in f32 of a [n,d], a [QUERIES,d] and a [QUERIES,n]. */
typedef struct scratch_sizes {
  size_t sample, block, p;
} scratch_sizes;

static scratch_sizes sizes_of(int longest, int d) {
  const size_t n = (size_t)round_up(longest, WIDE), width = (size_t)round_up(d, WIDE);
  return (scratch_sizes){n * width, QUERIES * width, QUERIES * (size_t)stride_of((int)n)};
}

/* Bytes of one thread's scratch. */
static size_t scratch_bytes(int longest, int d) {
  const scratch_sizes z = sizes_of(longest, d);
  return (6 * z.sample + PANEL * (size_t)round_up(d, WIDE) + 5 * z.block + 2 * z.p) *
             sizeof(float) +
         z.p * sizeof(uint16_t) + 64;
}

static scratch scratch_of(char *memory, int longest, int d) {
  const scratch_sizes z = sizes_of(longest, d);
  float *f = (float *)memory;
  scratch s = {.k_t = f,
               .v_t = f + z.sample,
               .k = f + 2 * z.sample,
               .v = f + 3 * z.sample,
               .dk = f + 4 * z.sample,
               .dv = f + 5 * z.sample};
  f += 6 * z.sample;
  s.q = f;
  s.dout = f + z.block;
  s.o = f + 2 * z.block;
  s.q_b = f + 3 * z.block;
  s.dout_b = f + 4 * z.block;
  f += 5 * z.block;
  s.p = f;
  s.dp = f + z.p;
  s.rows = f + 2 * z.p;
  s.bits = (uint16_t *)(s.rows + PANEL * (size_t)round_up(d, WIDE));
  return s;
}

/* d columns of a tensor, the columns `column` …, in rows `first` …: where a head's part lies. */
typedef struct part {
  const fsam_tensor *t;
  int64_t first, column;
  int d, width; /* width: d rounded up to WIDE */
} part;

/* Rows lie a tensor's width apart, which the processor does not foresee. */
FSAM_INLINE void fetch_row(const part *from, int64_t row) {
  const fsam_tensor *t = from->t;
  if (row >= t->shape[0]) return;
  const int64_t size = t->dtype == FSAM_BF16 ? 2 : 4;
  const char *at = (const char *)t->data + (row * t->row_stride + from->column) * size;
  for (int64_t byte = 0; byte < from->d * size; byte += 64) __builtin_prefetch(at + byte);
}

/* to[padded,width] = factor * the first rows of a part; zeros in the other columns and rows. */
static void load_rows(float *to, const part *from, int rows, int padded, float factor) {
  const fsam_tensor *t = from->t;
  const int d = from->d, width = from->width;
  for (int i = 0; i < rows; i++) {
    const int64_t at = (from->first + i) * t->row_stride + from->column;
    fetch_row(from, from->first + i + AHEAD);
    for (int c = 0; c < width; c += LANES) {
      vf v = t->dtype == FSAM_BF16 ? v_load_act(FSAM_BF16, t->data, at + c, d - c)
                                   : v_load_act(FSAM_F32, t->data, at + c, d - c);
      v_store(to + i * width + c, v * factor);
    }
  }
  memset(to + rows * width, 0, (size_t)((padded - rows) * width) * sizeof *to);
}

/* A part's first rows in panels: transposed [width,padded], with zeros behind the rows, and as they
 * are [rows,width]. Either may be NULL. Both are made from one reading of the tensor. */
static void load_panels(float *transposed, float *plain, scratch *s, const part *from, int rows) {
  const int width = from->width;
  part next = *from;
  for (int j = 0, piece; j < s->padded; j += piece, next.first += piece) {
    piece = panel_width(s->padded, j);
    const int some = rows - j < 0 ? 0 : rows - j < piece ? rows - j : piece;
    load_rows(s->rows, &next, some, piece, 1.0f);
    if (transposed) transpose(transposed + j * width, s->rows, piece, width);
    if (plain) put_in_panels(plain, rows, width, j, s->rows, some);
  }
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

enum { Q, K, V }; /* thirds of qkv */

static part part_of(const attention *a, const fsam_tensor *t, int64_t first, int third, int head) {
  return (part){t, first, ((int64_t)third * a->heads + head) * a->d, a->d, a->width};
}

/* p[m,n] = q k^T / sqrt(d) for the queries q0 … q0 + m - 1 of a sample, -inf where no key is; q is
 * loaded for it. */
static void scores(const attention *a, scratch *s, int64_t start, int head, int q0, int m, int n) {
  const part q = part_of(a, a->qkv, start + q0, Q, head);
  load_rows(s->q, &q, m, round_up(m, TILE_ROWS), a->scale);
  multiply(s->p, s->stride, (left){s->q, a->width, 1}, s->k_t, m, s->padded, a->width, false);
  for (int i = 0; i < m; i++)
    for (int j = n; j < s->padded; j++) s->p[i * s->stride + j] = -INFINITY;
}

static void draw_bits(const attention *a, scratch *s, int sample, int head, int q0, int m) {
  if (!a->site.threshold) return;
  drop_bits(s->bits, &a->site, (uint32_t)a->batch->ordinals[sample], (uint32_t)q0, m,
            (uint32_t)head << 16, s->padded / 8);
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
    const int sample = i / a->heads;
    s.padded = round_up(batch->starts[sample + 1] - batch->starts[sample], WIDE);
    s.stride = stride_of(s.padded);
    task(a, &s, sample, i % a->heads);
  }
  return FSAM_OK;
}

/* -- forward ----------------------------------------------------------------------------------- */

/* A row of scores becomes dropout(e^(score - top)); *total is the sum before dropout. */
static void softmax_row(float *top, float *total, const attention *a, float *p,
                        const uint16_t *bits, int padded) {
  vf16 most, sum = {0};
  for (int k = 0; k < PARTS; k++) most.part[k] = v_set(-INFINITY);
  for (int j = 0; j < padded; j += WIDE)
    for (int k = 0; k < PARTS; k++) most.part[k] = v_max(most.part[k], v_load(p + j + k * LANES));
  *top = v_max_all(most);
  for (int j = 0; j < padded; j += WIDE)
    for (int k = 0; k < PARTS; k++) {
      int i = j + k * LANES;
      vf e = v_exp(v_load(p + i) - *top);
      sum.part[k] += e;
      v_store(p + i, a->site.threshold ? drop(&a->site, bits + i, e) : e);
    }
  *total = v_sum(sum);
}

/* Scores of m queries from row `first` of the batch on become dropout(P) but for the factors
 * `inverse` of the rows, which are cheaper to apply to a product with it; stores their lse. */
static void softmax(float *inverse, const attention *a, scratch *s, int64_t first, int head,
                    int m) {
  float top[QUERIES], total[QUERIES], lse[QUERIES];
  for (int i = 0; i < m; i++) {
    softmax_row(&top[i], &total[i], a, s->p + i * s->stride, s->bits + i * s->padded, s->padded);
    inverse[i] = 1.0f / total[i];
  }
  for (int i = 0; i < m; i += LANES)
    v_store_n(lse + i, v_load_n(top + i, m - i) + v_log(v_load_n(total + i, m - i)), m - i);
  float *to = (float *)a->lse->data + first * a->lse->row_stride + head;
  for (int i = 0; i < m; i++) to[i * a->lse->row_stride] = lse[i];
}

static void forward_head(const attention *a, scratch *s, int sample, int head) {
  const int64_t start = a->batch->starts[sample];
  const int n = a->batch->starts[sample + 1] - (int)start;
  const part k = part_of(a, a->qkv, start, K, head), v = part_of(a, a->qkv, start, V, head);
  const part out = part_of(a, a->out, start, 0, head);
  load_panels(s->k_t, NULL, s, &k, n);
  load_panels(NULL, s->v, s, &v, n);
  for (int q0 = 0; q0 < n; q0 += QUERIES) {
    const int m = n - q0 < QUERIES ? n - q0 : QUERIES;
    float inverse[QUERIES];
    scores(a, s, start, head, q0, m, n);
    draw_bits(a, s, sample, head, q0, m);
    softmax(inverse, a, s, start + q0, head, m);
    multiply(s->o, a->width, (left){s->p, s->stride, 1}, s->v, m, a->width, n, false);
    for (int i = 0; i < m; i++)
      for (int c = 0; c < a->width; c += LANES)
        v_store(s->o + i * a->width + c, v_load(s->o + i * a->width + c) * inverse[i]);
    store_rows(a->out, start + q0, m, out.column, a->d, s->o, a->width, 1.0f);
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
                                 float lse, int padded) {
  const bool drops = a->site.threshold != 0;
  vf16 sum = {0};
  for (int j = 0; j < padded; j += WIDE)
    for (int k = 0; k < PARTS; k++) {
      int i = j + k * LANES;
      vf probability = v_exp(v_load(p + i) - lse), d = v_load(dp + i);
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

/* p and dp of m queries, from their scores in p and dout. */
static void softmax_backward(const attention *a, scratch *s, int64_t first, int head, int m) {
  multiply(s->dp, s->stride, (left){s->dout, a->width, 1}, s->v_t, m, s->padded, a->width, false);
  for (int i = 0; i < m; i++) {
    const float lse = ((const float *)a->kept->data)[(first + i) * a->kept->row_stride + head];
    softmax_backward_row(a, s->p + i * s->stride, s->dp + i * s->stride, s->bits + i * s->padded,
                         lse, s->padded);
  }
}

static void backward_head(const attention *a, scratch *s, int sample, int head) {
  const int64_t start = a->batch->starts[sample];
  const int n = a->batch->starts[sample + 1] - (int)start, width = a->width;
  const part k = part_of(a, a->qkv, start, K, head), v = part_of(a, a->qkv, start, V, head);
  const part q = part_of(a, a->qkv, start, Q, head);
  part dout = part_of(a, a->dout, start, 0, head);
  load_panels(s->k_t, s->k, s, &k, n);
  load_panels(s->v_t, NULL, s, &v, n);
  for (int q0 = 0; q0 < n; q0 += QUERIES) {
    const int m = n - q0 < QUERIES ? n - q0 : QUERIES;
    dout.first = start + q0;
    scores(a, s, start, head, q0, m, n);
    load_rows(s->dout, &dout, m, round_up(m, TILE_ROWS), 1.0f);
    draw_bits(a, s, sample, head, q0, m);
    softmax_backward(a, s, start + q0, head, m);
    put_in_panels(s->dout_b, m, width, 0, s->dout, m);
    put_in_panels(s->q_b, m, width, 0, s->q, m);
    multiply(s->dv, width, (left){s->p, 1, s->stride}, s->dout_b, n, width, m, q0 > 0);
    multiply(s->dk, width, (left){s->dp, 1, s->stride}, s->q_b, n, width, m, q0 > 0);
    multiply(s->o, width, (left){s->dp, s->stride, 1}, s->k, m, width, n, false);
    store_rows(a->dqkv, start + q0, m, q.column, a->d, s->o, width, a->scale);
  }
  store_rows(a->dqkv, start, n, k.column, a->d, s->dk, width, 1.0f);
  store_rows(a->dqkv, start, n, v.column, a->d, s->dv, width, 1.0f);
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
