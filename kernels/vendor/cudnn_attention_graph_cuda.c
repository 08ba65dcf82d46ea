/* cudnn_attention_graph_cuda.c: attention as a graph of cuDNN's operations, forward and backward,
 * for packed samples: S = q k^T / sqrt(d) with -infinity beyond a sample's rows and keys, P =
 * softmax(S), out = dropout(P) v. The library recognises these graphs by their form and has one
 * kernel for each. Of the inner tensors below only ATTENTION_DELTA is ever in memory.
 *
 * All tensors are [samples, heads, rows, columns]; samples begin where the starts say. k, and in
 * backward v, is given as its transpose. Products of P and of dS take them as bf16, the type of
 * their other factors. Backward takes dq straight from dS, which the library keeps in its
 * workspace, samples · heads · longest² elements of bf16. A dq summed in f32 would need no such
 * memory, but the library sums it by atomics. */
#if __has_include(<cudnn_graph.h>) /* else cudnn_attention_cuda.c says so */
#include "kernels/vendor/cudnn_attention_cuda.h"

/* A graph while it is built: what the functions below share. */
typedef struct making {
  cudnn_graph *g;
  const cudnn_attention_kind *kind;
  cudnn_tensor lengths, qkv_starts, out_starts, lse_starts, scale;
  cudnn_tensor mask, factor; /* dropout: 0 or 1 for each score, and what that is times; or NULL */
  cudnn_shape scores, row;   /* [B,heads,S,S], [B,heads,S,1] of inner tensors */
} making;

/* -- shapes ------------------------------------------------------------------------------------ */

static cudnn_shape dense(int64_t a, int64_t b, int64_t c, int64_t d) {
  return (cudnn_shape){{a, b, c, d}, {b * c * d, c * d, d, 1}};
}

static cudnn_shape transposed(cudnn_shape s) {
  return (cudnn_shape){{s.size[0], s.size[1], s.size[3], s.size[2]},
                       {s.stride[0], s.stride[1], s.stride[3], s.stride[2]}};
}

/* The shape of a tensor whose rows, `width` elements apart, have `columns` of each head side by
 * side. */
static cudnn_shape packed(const cudnn_attention_kind *k, int64_t width, int64_t columns) {
  return (cudnn_shape){{k->samples, k->heads, k->longest, columns},
                       {k->longest * width, columns, width, 1}};
}

static cudnn_shape list(int64_t count) { return (cudnn_shape){{count, 1, 1, 1}, {1, 1, 1, 1}}; }

/* -- inputs and outputs ------------------------------------------------------------------------ */

static making begin(cudnn_graph *g, const cudnn_attention_kind *k) {
  making m = {.g = g, .kind = k};
  m.scores = dense(k->samples, k->heads, k->longest, k->longest);
  m.row = dense(k->samples, k->heads, k->longest, 1);
  m.lengths = cudnn_outer(g, ATTENTION_LENGTHS, CUDNN_DATA_INT32, list(k->samples), NULL);
  const cudnn_shape starts = list(k->samples + 1);
  m.qkv_starts = cudnn_outer(g, ATTENTION_QKV_STARTS, CUDNN_DATA_INT64, starts, NULL);
  m.out_starts = cudnn_outer(g, ATTENTION_OUT_STARTS, CUDNN_DATA_INT64, starts, NULL);
  m.lse_starts = cudnn_outer(g, ATTENTION_LSE_STARTS, CUDNN_DATA_INT64, starts, NULL);
  m.scale = cudnn_number(g, ATTENTION_SCALE);
  if (k->threshold) {
    const cudnn_shape one = list(1);
    cudnn_tensor seed = cudnn_outer(g, ATTENTION_SEED, CUDNN_DATA_INT64, one, NULL);
    cudnn_tensor offset = cudnn_outer(g, ATTENTION_OFFSET, CUDNN_DATA_INT64, one, NULL);
    m.mask = cudnn_inner(g, CUDNN_DATA_FLOAT, m.scores, NULL);
    cudnn_draw(g, m.mask, cudnn_attention_kept(k), seed, offset);
    m.factor = cudnn_number(g, ATTENTION_FACTOR);
  }
  return m;
}

static cudnn_shape third_shape(const making *m) {
  return packed(m->kind, 3 * (int64_t)m->kind->heads * m->kind->d, m->kind->d);
}

/* A third of qkv or of dqkv. */
static cudnn_tensor third(const making *m, int name) {
  return cudnn_outer(m->g, name, CUDNN_DATA_BFLOAT16, third_shape(m), m->qkv_starts);
}

static cudnn_tensor third_transposed(const making *m, int name) {
  return cudnn_outer(m->g, name, CUDNN_DATA_BFLOAT16, transposed(third_shape(m)), m->qkv_starts);
}

/* out or dout. */
static cudnn_tensor output(const making *m, int name) {
  const cudnn_attention_kind *k = m->kind;
  return cudnn_outer(m->g, name, CUDNN_DATA_BFLOAT16, packed(k, (int64_t)k->heads * k->d, k->d),
                     m->out_starts);
}

static cudnn_tensor lse(const making *m) {
  return cudnn_outer(m->g, ATTENTION_LSE, CUDNN_DATA_FLOAT, packed(m->kind, m->kind->heads, 1),
                     m->lse_starts);
}

/* -- operations with a new tensor -------------------------------------------------------------- */

static cudnn_tensor pointwise(const making *m, cudnnDataType_t type, cudnnPointwiseMode_t mode,
                              cudnn_tensor x, cudnn_tensor b, cudnn_tensor t) {
  cudnn_tensor y = cudnn_inner(m->g, type, m->scores, NULL);
  cudnn_pointwise(m->g, y, mode, x, b, t);
  return y;
}

static cudnn_tensor on_scores(const making *m, cudnnPointwiseMode_t mode, cudnn_tensor x,
                              cudnn_tensor b) {
  return pointwise(m, CUDNN_DATA_FLOAT, mode, x, b, NULL);
}

/* dropout(x) in a type; x itself where nothing is dropped. */
static cudnn_tensor dropped(const making *m, cudnnDataType_t type, cudnn_tensor x) {
  if (!m->mask) return x;
  return pointwise(m, type, CUDNN_POINTWISE_MUL, on_scores(m, CUDNN_POINTWISE_MUL, x, m->mask),
                   m->factor, NULL);
}

static cudnn_tensor on_rows(const making *m, cudnnPointwiseMode_t mode, cudnn_tensor x,
                            cudnn_tensor b) {
  cudnn_tensor y = cudnn_inner(m->g, CUDNN_DATA_FLOAT, m->row, NULL);
  cudnn_pointwise(m->g, y, mode, x, b, NULL);
  return y;
}

static cudnn_tensor over_keys(const making *m, cudnnReduceTensorOp_t by, cudnn_tensor x) {
  cudnn_tensor y = cudnn_inner(m->g, CUDNN_DATA_FLOAT, m->row, NULL);
  cudnn_reduce(m->g, y, by, x);
  return y;
}

/* a b with a row for each query and a column for each key. */
static cudnn_tensor queries_keys(const making *m, cudnn_tensor a, cudnn_tensor b) {
  cudnn_tensor y = cudnn_inner(m->g, CUDNN_DATA_FLOAT, m->scores, NULL);
  cudnn_multiply(m->g, y, a, b, m->lengths, m->lengths, NULL);
  return y;
}

/* The transpose of P or dS, in bf16: the left factor of a sum over queries. */
static cudnn_tensor keys_queries(const making *m, cudnn_tensor x) {
  cudnn_tensor y = cudnn_inner(m->g, CUDNN_DATA_BFLOAT16, transposed(m->scores), NULL);
  cudnn_reshape(m->g, y, x);
  return y;
}

/* Which of its row's and column's indices are below the sample's length? */
static cudnn_tensor below_length(const making *m, int axis, cudnn_tensor x) {
  cudnn_tensor index = cudnn_inner(m->g, CUDNN_DATA_INT32, m->scores, NULL);
  cudnn_index(m->g, index, axis, x);
  return pointwise(m, CUDNN_DATA_BOOLEAN, CUDNN_POINTWISE_CMP_LT, index, m->lengths, NULL);
}

/* S. */
static cudnn_tensor scores(const making *m, cudnn_tensor q, cudnn_tensor k_transposed) {
  cudnn_tensor hidden = cudnn_number(m->g, ATTENTION_HIDDEN);
  cudnn_tensor s = queries_keys(m, q, k_transposed);
  s = on_scores(m, CUDNN_POINTWISE_MUL, s, m->scale);
  cudnn_tensor is_row = below_length(m, 2, s), is_key = below_length(m, 3, s);
  cudnn_tensor is_score =
      pointwise(m, CUDNN_DATA_BOOLEAN, CUDNN_POINTWISE_LOGICAL_AND, is_row, is_key, NULL);
  return pointwise(m, CUDNN_DATA_FLOAT, CUDNN_POINTWISE_BINARY_SELECT, s, hidden, is_score);
}

/* -- the two graphs ---------------------------------------------------------------------------- */

static void build_forward(const making *m) {
  cudnn_tensor q = third(m, ATTENTION_Q), k_t = third_transposed(m, ATTENTION_K),
               v = third(m, ATTENTION_V);
  cudnn_tensor s = scores(m, q, k_t);
  cudnn_tensor top = over_keys(m, CUDNN_REDUCE_TENSOR_MAX, s);
  cudnn_tensor e =
      on_scores(m, CUDNN_POINTWISE_EXP, on_scores(m, CUDNN_POINTWISE_SUB, s, top), NULL);
  cudnn_tensor sum = over_keys(m, CUDNN_REDUCE_TENSOR_ADD, e);
  cudnn_tensor log_sum = on_rows(m, CUDNN_POINTWISE_LOG, sum, NULL);
  cudnn_pointwise(m->g, lse(m), CUDNN_POINTWISE_ADD, top, log_sum, NULL);
  const cudnnDataType_t type = m->mask ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
  cudnn_tensor p =
      dropped(m, CUDNN_DATA_BFLOAT16, pointwise(m, type, CUDNN_POINTWISE_DIV, e, sum, NULL));
  cudnn_multiply(m->g, output(m, ATTENTION_OUT), p, v, m->lengths, NULL, m->lengths);
}

/* The sums over a row's columns of dout out, which is what a row of P dP sums up to, times the
 * share that dropout keeps: what they are taken from is multiplied by its inverse later. */
static cudnn_tensor row_sums(const making *m, cudnn_tensor dout) {
  const cudnn_attention_kind *k = m->kind;
  const cudnn_shape by_rows = {{k->samples, k->heads, k->longest, k->d},
                               {(int64_t)k->heads * k->longest * k->d, (int64_t)k->longest * k->d,
                                (int64_t)k->heads * k->d, 1}};
  cudnn_tensor product = cudnn_inner(m->g, CUDNN_DATA_FLOAT, by_rows, NULL);
  cudnn_pointwise(m->g, product, CUDNN_POINTWISE_MUL, dout, output(m, ATTENTION_OUT), NULL);
  cudnn_tensor sums = over_keys(m, CUDNN_REDUCE_TENSOR_ADD, product);
  /* Without dropout the share is 1: the library recognises the graph by this product. */
  cudnn_tensor delta = cudnn_outer(m->g, ATTENTION_DELTA, CUDNN_DATA_FLOAT, m->row, NULL);
  cudnn_pointwise(m->g, delta, CUDNN_POINTWISE_MUL, sums, cudnn_number(m->g, ATTENTION_KEPT), NULL);
  return delta;
}

/* dv = dropout(P)^T dout; dS = P (dropout(dout v^T) - delta) / sqrt(d); dk = dS^T q; dq = dS k. The
 * factor of dropout comes after the difference. */
static void build_backward(const making *m) {
  cudnn_tensor q = third(m, ATTENTION_Q), dout = output(m, ATTENTION_DOUT);
  cudnn_tensor k_t = third_transposed(m, ATTENTION_K), v_t = third_transposed(m, ATTENTION_V);
  cudnn_tensor delta = row_sums(m, dout);
  cudnn_tensor p = on_scores(m, CUDNN_POINTWISE_EXP,
                             on_scores(m, CUDNN_POINTWISE_SUB, scores(m, q, k_t), lse(m)), NULL);
  cudnn_multiply(m->g, third(m, ATTENTION_DV), keys_queries(m, dropped(m, CUDNN_DATA_FLOAT, p)),
                 dout, m->lengths, NULL, m->lengths);
  cudnn_tensor dp = queries_keys(m, dout, v_t);
  if (m->mask) dp = on_scores(m, CUDNN_POINTWISE_MUL, dp, m->mask);
  cudnn_tensor ds = on_scores(m, CUDNN_POINTWISE_SUB, dp, delta);
  ds = on_scores(m, CUDNN_POINTWISE_MUL, ds, p);
  if (m->mask) ds = on_scores(m, CUDNN_POINTWISE_MUL, ds, m->factor);
  ds = on_scores(m, CUDNN_POINTWISE_MUL, ds, m->scale);
  cudnn_multiply(m->g, third(m, ATTENTION_DK), keys_queries(m, ds), q, m->lengths, NULL,
                 m->lengths);
  cudnn_tensor k = cudnn_inner(m->g, CUDNN_DATA_BFLOAT16, third_shape(m), m->qkv_starts);
  cudnn_reshape(m->g, k, k_t);
  cudnn_multiply(m->g, third(m, ATTENTION_DQ), ds, k, m->lengths, NULL, m->lengths);
}

void cudnn_attention_graph(cudnn_graph *g, const cudnn_attention_kind *kind) {
  const making m = begin(g, kind);
  if (kind->backward)
    build_backward(&m);
  else
    build_forward(&m);
}

#endif
