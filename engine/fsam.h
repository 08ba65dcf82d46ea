/* fsam.h: the public C interface of fsam-lua and the reference manual of the C side. Lua sees the
 * same text: fsam/C.lua hands everything between the two markers to ffi.cdef.
 *
 * Conventions. Every fallible function returns 0 or a negative FSAM_E… code; the message is then in
 * fsam_error(), set once, where the fault was seen. Out parameters come first, then inputs, sizes,
 * scalars. Matrices are row-major. Letters in shapes: T packed tokens of a batch (a capacity: tail
 * rows belong to no sample), B samples, H hidden width, F feed-forward width, V vocabulary, C
 * classes, K and N the input and output width of a linear map.
 *
 * A gradient output is overwritten while its tensor's `filled` is 0 and added to while it is 1; the
 * caller sets the flag. A gradient output that is NULL is not computed. Rows of the tail get zeros.
 */
#ifndef FSAM_H
#define FSAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)
/* cdef begin */

/* -- errors, version, processor ---------------------------------------------------------------- */

enum {
  FSAM_OK = 0,
  FSAM_EINVAL = -1,   /* an argument has the wrong shape, type or value */
  FSAM_ENOMEM = -2,   /* memory could not be had */
  FSAM_EIO = -3,      /* the operating system refused a file operation */
  FSAM_ENODEV = -4,   /* the device or library is absent */
  FSAM_ESTALE = -5,   /* a tensor whose arena was reset */
  FSAM_EINTERNAL = -6 /* a library below us failed */
};

enum { FSAM_ABI = 6 };

int fsam_abi(void);
const char *fsam_version(void);

/* The last error message of this thread: one line, never NULL. Read it only after a negative
 * result; a success does not change it. */
const char *fsam_error(void);

/* Worker threads of all our kernels and of the matrix library, or the fewer that OpenMP grants.
 * n = 0: OMP_NUM_THREADS where it is set, else all cores of this process, or its cgroup's quota.
 * fsam_threads says how many there are. */
int fsam_threads_set(int n);
int fsam_threads(void);

/* Instruction set in use: "generic", "avx2" or "avx512"; FSAM_ISA in the environment lowers it
 * (fsam_device_open refuses other values of it). All give the same bits. */
const char *fsam_isa(void);

/* The unit that multiplies bf16 faster than f32, by processor and matrix library: "amx", "avx512",
 * or "": bf16 is no faster then, and without such a unit goes through f32. */
const char *fsam_bf16_unit(void);

/* The matrix library, its version, and what in it decides about bits on this processor and in this
 * environment ("oneDNN 2.6.3 avx512_core"). DNNL_MAX_CPU_ISA and its like change this text. Writes
 * at most `bytes` bytes, with the final 0. */
void fsam_matrix_library(char *out, int64_t bytes);

/* Seconds of a monotonic clock. */
double fsam_clock(void);

/* -- devices, arenas, tensors ------------------------------------------------------------------ */

enum { FSAM_F32 = 0, FSAM_BF16 = 1, FSAM_I32 = 2 };

typedef struct fsam_device fsam_device;
typedef struct fsam_arena fsam_arena;

/* name: "cpu", "cuda", or "auto" (a GPU when the driver reports one, else the CPU).
 * FSAM_ENODEV says why a GPU cannot be used. */
int fsam_device_open(fsam_device **out, const char *name);
void fsam_device_close(fsam_device *device);
const char *fsam_device_name(const fsam_device *device);
/* Model and memory of a GPU: "NVIDIA H200, 140 GB"; "" for the CPU. */
const char *fsam_device_text(const fsam_device *device);
/* How many GPUs the driver reports; 0 without a driver. */
int fsam_gpus(void);
/* Of several processes that train together, this one is `local_rank` (from 0) of `local_size` (0:
 * not known) on this machine: "cuda" is the GPU of this number. A machine with fewer GPUs than
 * processes is FSAM_EINVAL when one is opened, for "auto" too. */
int fsam_gpu_of_rank(int local_rank, int local_size);

/* An arena hands out memory block by block and takes it back all at once. `name` (at most 15
 * characters) appears in messages. */
int fsam_arena_new(fsam_arena **out, fsam_device *device, const char *name);
void fsam_arena_free(fsam_arena *arena);
int64_t fsam_arena_live(const fsam_arena *arena); /* bytes handed out now */
int64_t fsam_arena_peak(const fsam_arena *arena); /* the most ever handed out */
void fsam_arena_reset(fsam_arena *arena);         /* frees everything */

/* A dense row-major array in an arena. Plain data: copying the struct makes another view. */
typedef struct fsam_tensor {
  void *data;
  fsam_arena *arena;
  int64_t shape[4];   /* unused dimensions are 1 */
  int64_t row_stride; /* elements from one row (first dimension) to the next */
  int32_t rank;       /* 1 … 4 */
  int32_t dtype;      /* FSAM_F32, FSAM_BF16, FSAM_I32 */
  int32_t filled;     /* gradients: 0 = overwrite, 1 = add */
  uint32_t slot;      /* slot and serial: fsam_tensor_check compares them with the arena's */
  uint64_t serial;
  char name[40]; /* for messages */
} fsam_tensor;

/* Fills *out with fresh memory of the arena: 64-byte aligned; zero only if `zeroed`. */
int fsam_tensor_new(fsam_tensor *out, fsam_arena *arena, int dtype, int rank, const int64_t *shape,
                    const char *name, int zeroed);
/* A view of `shape` that starts `offset` elements into `from`, with `from`'s lifetime. */
int fsam_tensor_view(fsam_tensor *out, const fsam_tensor *from, int64_t offset, int rank,
                     const int64_t *shape, const char *name);
/* FSAM_ESTALE, naming the tensor, when its arena has taken its memory back. */
int fsam_tensor_check(const fsam_tensor *t);
/* Copies between host memory (f32 for float tensors, int32_t else; count elements) and t. Reading
 * gives every NaN the same bits, because LuaJIT cannot hold others. */
int fsam_tensor_write(fsam_tensor *t, const void *host, int64_t count);
int fsam_tensor_read(const fsam_tensor *t, void *host, int64_t count);
/* Reading in two halves. `begin` queues a copy of t (f32 or i32) with its present values; `end`
 * waits for that copy, not for work queued since, and writes all of t to `host`. Free the readback
 * with fsam_readback_free, also without `end`. */
typedef struct fsam_readback fsam_readback;
int fsam_readback_begin(fsam_readback **out, const fsam_tensor *t);
int fsam_readback_end(fsam_readback *read, void *host, int64_t count);
void fsam_readback_free(fsam_readback *read);                   /* NULL is fine */
int fsam_tensor_copy(fsam_tensor *to, const fsam_tensor *from); /* same element count; converts */
int fsam_tensor_fill(fsam_tensor *t, double value);
/* 64 bits that stand for the bytes of t (dense; f32 or i32). FSAM_ENOMEM. */
int fsam_tensor_hash(uint64_t *out, const fsam_tensor *t);

/* -- graphs ------------------------------------------------------------------------------------ */

/* A graph is a GPU's work, recorded once, which then runs as a whole with one launch. Between begin
 * and end the device's kernels are recorded and none runs; copies to and from the host are refused.
 * A graph reads and writes the memory that it was recorded with, whatever that holds by then. */
typedef struct fsam_graph fsam_graph;
/* 1 where the device records (a GPU, without FSAM_SYNC and FSAM_GRAPHS=0 in the environment). */
int fsam_graph_possible(const fsam_device *device);
int fsam_graph_begin(fsam_device *device);
/* Ends recording, also when it fails; with `out` NULL the recorded work is dropped. */
int fsam_graph_end(fsam_graph **out, fsam_device *device);
/* Queues the recorded work. FSAM_ESTALE when memory has moved since. */
int fsam_graph_run(fsam_graph *graph);
int fsam_graph_stale(const fsam_graph *graph);
/* What was recorded: how many nodes; how many dependencies there are beyond those of a chain, in
 * which each node waits for the one before; how many dependencies are not plain waits. What was
 * queued in order is a chain: {n, 0, 0}. */
int fsam_graph_shape(const fsam_graph *graph, int64_t counts[3]);
void fsam_graph_free(fsam_graph *graph); /* NULL is fine */

/* What is queued between `begin` and `end` may run, within a graph, beside what is queued after
 * `end`, until a join: what is queued after that waits for it, and for all that was queued beside
 * before it. A graph must end joined. What several of these sections write and read runs in order.
 * Outside of a graph they change nothing. FSAM_ENODEV where nothing can be recorded. */
int fsam_beside_begin(fsam_device *device);
int fsam_beside_end(int64_t *ticket, fsam_device *device); /* *ticket, from 1 on, is for the join */
int fsam_beside_join(fsam_device *device, int64_t ticket);
/* The gradients of biases and layer norms are sums over rows. While they are HELD, kernels leave
 * them in parts, and a section that ends adds up all those of about a layer in one launch. They
 * may be read after AT_ONCE, which adds up the rest, in order: join the sections before it. DROPPED
 * forgets the rest, after a failure. The bits are the same. */
enum { FSAM_SUMS_DROPPED = -1, FSAM_SUMS_AT_ONCE = 0, FSAM_SUMS_HELD = 1 };
int fsam_beside_sums(fsam_device *device, int hold);

/* -- batches and dropout ----------------------------------------------------------------------- */

/* The numbers that differ between passes of one shape. They lie in device memory, so that the graph
 * of a pass can run again with other values. */
typedef struct fsam_pass {
  uint32_t seed, step; /* the key of the dropout bits */
  uint32_t draw;       /* 0 … 7: passes of one step with other draws have other bits */
  float scale;         /* of the losses' gradients: 1 / number of samples in the mean */
} fsam_pass;

/* B samples packed end to end; every pointer is device memory. Sample b owns the rows
 * starts[b] … starts[b+1]-1, none if it is empty. Samples behind the last real one are empty. */
typedef struct fsam_batch {
  const int32_t *ids;         /* [T] token; the pad id in the tail */
  const int32_t *positions;   /* [T] row of the position table */
  const int32_t *token_types; /* [T] row of the token type table */
  const int32_t *sample;      /* [T] b, or -1 in the tail */
  const int32_t *starts;      /* [B+1] */
  const int32_t *ordinals;    /* [B] the sample's number within the step: a key of its dropout */
  const fsam_pass *pass;      /* [1]; NULL where nothing is dropped and no loss has a gradient */
  int32_t tokens;             /* T */
  int32_t samples;            /* B */
  int32_t longest;            /* no sample is longer */
} fsam_batch;

/* Dropout bits: Philox4x32-10, key (seed, step), counter (site + (draw << 29), ordinal, row within
 * the sample, column block of 8). An element is dropped if its 16 bits are below round(65536 p);
 * the others are multiplied by 65536 / (65536 - round(65536 p)). p = 0 or a NULL pointer: no
 * dropout. Attention alone may be left to cuDNN, which draws other bits. */
enum { FSAM_RNG_OWN = 0, FSAM_RNG_CUDNN = 1 };
typedef struct fsam_dropout {
  double p;
  uint32_t site; /* below 2^29 */
  int32_t rng;   /* FSAM_RNG_… */
} fsam_dropout;

/* out[0..3] = Philox4x32-10 of the counter and key (Salmon et al., SC 2011). */
void fsam_philox(uint32_t *out, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0,
                 uint32_t k1);
/* Starting values: t = shift + scale · x, x uniform in (0,1) or standard normal, by seed, stream
 * and place in t alone. t f32 or bf16. */
int fsam_tensor_random(fsam_tensor *t, int normal, double shift, double scale, uint32_t seed,
                       uint32_t stream);

/* -- layers ------------------------------------------------------------------------------------
 * "act" below is the activations' type, f32 or bf16, the same for all of one call; sums are f32.
 *
 * From "kernels begin" to "kernels end" each function fsam_NAME checks its arguments and calls the
 * device's kernel NAME, which takes the same ones. The build makes the list of kernels from these
 * prototypes. */
/* kernels begin */

/* y[T,N] = x[T,K] w[N,K]^T + b[N].  y, x, w act; b f32 or NULL. y may be a column slice. */
int fsam_linear_forward(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *w,
                        const fsam_tensor *b);
/* dx[T,K] = dy[T,N] w[N,K].  dy may be a column slice. */
int fsam_linear_backward_input(fsam_tensor *dx, const fsam_tensor *dy, const fsam_tensor *w);
/* dw[N,K] = dy^T x, db[N] = column sums of dy; both f32. */
int fsam_linear_backward_weight(fsam_tensor *dw, fsam_tensor *db, const fsam_tensor *dy,
                                const fsam_tensor *x);

/* `biases`, dense f32, holds biases of linear maps, which will not change before this is called
 * with NULL: a GPU that wants them rounded to y's type rounds them all at once, here. */
int fsam_linear_biases(fsam_device *device, const fsam_tensor *biases);

/* From now on each new matrix product of a GPU is timed once, to choose among its algorithms, and
 * each new shape of attention without dropout, to choose between our kernels and cuDNN's; without
 * this the library's own choice stands, and our kernels. `known`: fsam_tuning_text of an earlier
 * run, whose choices are kept, or NULL. The text is meant for a file. It lives until the next call;
 * for the CPU, which has nothing to tune, it is "". */
int fsam_tuning_begin(fsam_device *device, const char *known);
int fsam_tuning_text(fsam_device *device, const char **text);

enum { FSAM_GELU_ERF = 0, FSAM_GELU_TANH = 1, FSAM_RELU = 2, FSAM_SILU = 3, FSAM_TANH = 4 };
/* y[T,F] = f(x + b), f of this form: x·Φ(x), or its tanh form (Hendrycks & Gimpel 2016); max(x, 0);
 * x / (1 + exp(-x)); tanh(x).  b f32 or NULL. */
int fsam_activation_forward(fsam_tensor *y, const fsam_tensor *x, const fsam_tensor *b, int form);
int fsam_activation_backward(fsam_tensor *dx, fsam_tensor *db, const fsam_tensor *dy,
                             const fsam_tensor *x, const fsam_tensor *b, int form);

int fsam_tanh_forward(fsam_tensor *y, const fsam_tensor *x);
int fsam_tanh_backward(fsam_tensor *dx, const fsam_tensor *dy, const fsam_tensor *y);

/* z[T,H] = residual + dropout(x + b);  y = layernorm(z) gamma + beta (Ba et al. 2016, biased
 * variance).  z and stats[T,2] (mean, 1/deviation; f32) are kept for backward; z may be x. */
int fsam_layernorm_forward(fsam_tensor *y, fsam_tensor *z, fsam_tensor *stats, const fsam_tensor *x,
                           const fsam_tensor *b, const fsam_tensor *residual,
                           const fsam_tensor *gamma, const fsam_tensor *beta, double eps,
                           const fsam_batch *batch, const fsam_dropout *dropout);
int fsam_layernorm_backward(fsam_tensor *dx, fsam_tensor *dresidual, fsam_tensor *db,
                            fsam_tensor *dgamma, fsam_tensor *dbeta, const fsam_tensor *dy,
                            const fsam_tensor *z, const fsam_tensor *stats,
                            const fsam_tensor *gamma, const fsam_batch *batch,
                            const fsam_dropout *dropout);

/* z[T,H] = word[id] + position[pos] + token_type[type];  y = dropout(layernorm(z) gamma + beta).
 * Tables act, token_type may be NULL; gamma, beta f32. */
int fsam_embedding_forward(fsam_tensor *y, fsam_tensor *z, fsam_tensor *stats,
                           const fsam_tensor *word, const fsam_tensor *position,
                           const fsam_tensor *token_type, const fsam_tensor *gamma,
                           const fsam_tensor *beta, double eps, const fsam_batch *batch,
                           const fsam_dropout *dropout);
/* Table gradients are f32 and whole: rows that no token names become 0. */
int fsam_embedding_backward(fsam_tensor *dword, fsam_tensor *dposition, fsam_tensor *dtoken_type,
                            fsam_tensor *dgamma, fsam_tensor *dbeta, const fsam_tensor *dy,
                            const fsam_tensor *z, const fsam_tensor *stats,
                            const fsam_tensor *gamma, const fsam_batch *batch,
                            const fsam_dropout *dropout);

/* Self-attention within each sample: out[T,H] = dropout(softmax(q k^T / sqrt(H/heads))) v, with
 * q, k, v the thirds of qkv[T,3H].  lse[T,heads] f32 is kept: log of the softmax's sum. The dropout
 * counter is (site, ordinal, query row, head << 16 | key / 8). kept i32[T,columns] takes the bits
 * that forward drew to backward: as many columns as fsam_attention_kept says, NULL where it says 0
 * (backward draws them again) or where no backward follows. */
int fsam_attention_kept(const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                        const fsam_dropout *dropout);
int fsam_attention_forward(fsam_tensor *out, fsam_tensor *lse, fsam_tensor *kept,
                           const fsam_tensor *qkv, int heads, const fsam_batch *batch,
                           const fsam_dropout *dropout);
int fsam_attention_backward(fsam_tensor *dqkv, const fsam_tensor *dout, const fsam_tensor *out,
                            const fsam_tensor *lse, const fsam_tensor *kept, const fsam_tensor *qkv,
                            int heads, const fsam_batch *batch, const fsam_dropout *dropout);

/* Can attention of such heads leave its dropout to rng (FSAM_RNG_…)? Fails with what is missing.
 * `dtype` is the activations'. cuDNN draws by two numbers, made of the pass's seed, step and draw,
 * the site, and the ordinal of the batch's first sample; a sample's bits depend on its number in
 * the batch, too. So passes over the same batch have the same bits, also backward. */
int fsam_attention_rng_check(fsam_device *device, int rng, int dtype, int64_t columns);
/* Whose attention it is, by rng and the environment: "own" or "cuDNN 9.19.0". */
int fsam_attention_library(fsam_device *device, int rng, const char **text);

/* y[B,H], f32 or x's type, = the first row of each sample of x[T,H]; empty samples give zeros. */
int fsam_gather_forward(fsam_tensor *y, const fsam_tensor *x, const fsam_batch *batch);
int fsam_gather_backward(fsam_tensor *dx, const fsam_tensor *dy, const fsam_batch *batch);

/* y[B,H] = dropout(x), one row per sample (row 0 of the counter). The same call is its backward. */
int fsam_dropout_apply(fsam_tensor *y, const fsam_tensor *x, const fsam_batch *batch,
                       const fsam_dropout *dropout);

/* losses[B] = -log softmax(logits[B,C])[label]; dlogits (or NULL) = scale · d losses / d logits,
 * with the pass's scale. All f32, labels i32[B]. Empty samples: loss and gradient 0. */
int fsam_cross_entropy(fsam_tensor *losses, fsam_tensor *dlogits, const fsam_tensor *logits,
                       const fsam_tensor *labels, const fsam_batch *batch);
/* The same with weights[C] of the classes (or NULL: all 1) and a share of every target spread over
 * all classes, 0 <= smoothing < 1: losses[b] = (1 - smoothing) w_label n_label + smoothing / C ·
 * sum_j w_j n_j, where n_j = -log softmax(logits)_j. */
int fsam_weighted_cross_entropy(fsam_tensor *losses, fsam_tensor *dlogits,
                                const fsam_tensor *logits, const fsam_tensor *labels,
                                const fsam_tensor *weights, float smoothing,
                                const fsam_batch *batch);
/* losses[B] = the mean over C labels, each true or not by itself, of w_c (-t log p - (1 - t)
 * log(1 - p)), where p = sigmoid(logits[B,C]), t = targets[B,C] from 0 to 1, and weights[C] is NULL
 * for all 1. Likewise. */
int fsam_binary_cross_entropy(fsam_tensor *losses, fsam_tensor *dlogits, const fsam_tensor *logits,
                              const fsam_tensor *targets, const fsam_tensor *weights,
                              const fsam_batch *batch);
/* losses[B] = (logits[B,1] - targets[B])^2, likewise. */
int fsam_mse(fsam_tensor *losses, fsam_tensor *dlogits, const fsam_tensor *logits,
             const fsam_tensor *targets, const fsam_batch *batch);

/* -- squares of the samples' gradients: Σ_b g_b² -----------------------------------------------
 * As the backward functions of these names, but a parameter's gradient output is, element by
 * element, the sum over the samples of the square of what sample b alone gives it; what a sample
 * gives in several of its rows is added before it is squared. dx and dresidual are as ever. */
/* dw[N,K], db[N]; either may be NULL. Rows are the batch's tokens, or with per_sample one a sample.
 * Without dw, x is not looked at. */
int fsam_linear_backward_squares(fsam_tensor *dw, fsam_tensor *db, const fsam_tensor *dy,
                                 const fsam_tensor *x, const fsam_batch *batch, int per_sample);
int fsam_layernorm_backward_squares(fsam_tensor *dx, fsam_tensor *dresidual, fsam_tensor *db,
                                    fsam_tensor *dgamma, fsam_tensor *dbeta, const fsam_tensor *dy,
                                    const fsam_tensor *z, const fsam_tensor *stats,
                                    const fsam_tensor *gamma, const fsam_batch *batch,
                                    const fsam_dropout *dropout);
int fsam_embedding_backward_squares(fsam_tensor *dword, fsam_tensor *dposition,
                                    fsam_tensor *dtoken_type, fsam_tensor *dgamma,
                                    fsam_tensor *dbeta, const fsam_tensor *dy, const fsam_tensor *z,
                                    const fsam_tensor *stats, const fsam_tensor *gamma,
                                    const fsam_batch *batch, const fsam_dropout *dropout);

/* kernels end */

/* -- the model as one vector: layouts, programs, selection ------------------------------------- */

/* A layout cuts a model's vector into its parameters (named tensors) that start at multiples of 64
 * elements. Its first `act` elements are kept in bf16 by the working copy (0: none), whose f32 rest
 * follows directly. Elements between parameters and frozen parameters are never read into a result
 * and never written. layer[i] >= 0 numbers what a reduction per layer groups. */
typedef struct fsam_layout fsam_layout;
int fsam_layout_new(fsam_layout **out, fsam_device *device, int parameters, const int64_t *offset,
                    const int64_t *count, const int32_t *layer, const uint8_t *frozen,
                    int64_t total, int64_t act);
void fsam_layout_free(fsam_layout *layout);
/* Cuts the layout into shares of whole blocks, one for each of `ranks` processes that train
 * together, and leaves this one with share `rank`: sweeps run over its blocks, in vectors and masks
 * of which it holds no other elements. A program then is a collective: the ranks exchange their
 * partial sums, and go on with the same results as of the whole. The working copy stays whole; a
 * program writes this share of it. starts: ranks + 1 numbers, set to where each share begins, in
 * elements (multiples of 64). FSAM_ENODEV on a GPU whose sums do not go from GPU to GPU
 * (fsam_ranks_use). */
int fsam_layout_share(fsam_layout *layout, int rank, int ranks, int64_t *starts);

/* A vector program is a linear list of instructions (engine/program.def says what each does and
 * what its fields mean). Stages of scalar arithmetic alternate with sweeps over the model's memory;
 * a sweep ends where a reduction's value is needed. Vector registers have one numbering: bound
 * vectors come first, then temporaries. Scalar registers start with the numbers of the binding. */
typedef struct fsam_instruction {
  int32_t op;
  int32_t space; /* 0 scalars, 1 rows (one f64 per parameter), 2 vectors */
  int32_t kinds; /* bit set: that input is a uniform (of a vector) or a scalar (of a row) */
  int32_t out, a, b, c, d;
} fsam_instruction;

/* How many registers and bindings of each kind a program uses. */
typedef struct fsam_program_size {
  int32_t bound, temps, uniforms, numbers, scalars, rows, cells;
} fsam_program_size;

typedef struct fsam_program fsam_program;
int fsam_program_new(fsam_program **out, fsam_device *device, const fsam_instruction *code,
                     int count, const fsam_program_size *size);
void fsam_program_free(fsam_program *program);

/* What an instruction is: its row in engine/program.def. */
typedef struct fsam_op {
  const char *name;
  const char *operands; /* one letter per field, out first */
  const char *text;     /* what it computes, in a, b, c and d; "" where its class has no text */
  int32_t op_class;
  int32_t commutes; /* 1: a and b may change places without changing a bit */
} fsam_op;
enum { /* op_class */
       FSAM_OP_STRUCTURE = 0,
       FSAM_OP_ARITHMETIC = 1,  /* in any space */
       FSAM_OP_ELEMENTWISE = 2, /* this and all below: of vectors only */
       FSAM_OP_STORE = 3,       /* into the working copy */
       FSAM_OP_MEMORY = 4,
       FSAM_OP_REDUCTION = 5
};
/* Instruction number `op`, or NULL past the last. */
const fsam_op *fsam_program_op(int op);

/* What a program runs on; every array has the length that its fsam_program_size says. */
typedef struct fsam_binding {
  void *const *bound;    /* f32[total], a mask's bits (u64[total / 64]) or the working copy. Of
                          * vectors in shares: where element 0 would be */
  const double *numbers; /* host memory */
  double *const *cells;  /* device memory: one scalar, or a row (f64[parameters]) */
} fsam_binding;
/* kernels begin */
int fsam_program_run(const fsam_program *program, fsam_layout *layout, const fsam_binding *binding);

/* mask = the largest keys, exactly; ties go to the lowest element, and a key of 0 is chosen only
 * when all of its pool is. The program ends with KEY, which names the vector of keys. Parameters
 * with pool[parameter] != 0 take part: the k[0] largest of them all, or with per_parameter the
 * k[parameter] largest of each. Parameters outside get `outside` in all their bits. FSAM_EINVAL,
 * naming the element, for a negative key or NaN. */
int fsam_program_select(uint64_t *mask, const fsam_program *program, fsam_layout *layout,
                        const fsam_binding *binding, const uint8_t *pool, const int64_t *k,
                        int per_parameter, int outside);
/* counts[parameter] = how many bits are set in a, and in b too unless it is NULL. */
int fsam_mask_count(double *counts, fsam_layout *layout, const uint64_t *a, const uint64_t *b);
/* On a GPU: adds up the squares of a part of a vector (f32[total]), for its norm. Once every part
 * has been given, in any order, `squares_of` says that the vector will be as it was then until the
 * next program runs; where that begins with the norm, it does not read the vector again. The bits
 * are the same. NULL: nothing is known. Does nothing on the CPU. */
int fsam_squares_part(fsam_layout *layout, const fsam_tensor *vector, int64_t first, int64_t count);
/* kernels end */
void fsam_squares_of(fsam_layout *layout, const fsam_tensor *vector);

/* -- profile ----------------------------------------------------------------------------------- */

/* One call of a kernel. Bytes are those of its tensors, or of a program's vectors in each of its
 * sweeps, each once; shapes are those of its first four tensors, 0 where one is NULL. */
typedef struct fsam_profile_call {
  double start, seconds; /* of fsam_clock */
  double bytes;
  int64_t rows[4], columns[4];
  int64_t pairs;  /* of tokens of one sample, in a call with a batch: the sum of squared lengths */
  int32_t kernel; /* fsam_profile_kernel */
} fsam_profile_call;

/* From begin to end the device's kernels write down their calls; a kernel that another one calls is
 * part of that. FSAM_EINVAL on a GPU, or while a profile runs. */
int fsam_profile_begin(fsam_device *device);
void fsam_profile_end(fsam_device *device);
/* The calls since the last take, in their order, valid until the next kernel; returns how many. */
int64_t fsam_profile_take(const fsam_profile_call **calls);
/* How many calls there was no room for, since no take came for long. */
int64_t fsam_profile_lost(void);
/* The name of a kernel, NULL past the last. */
const char *fsam_profile_kernel(int kernel);

/* -- files ------------------------------------------------------------------------------------- */

typedef struct fsam_file fsam_file; /* a file mapped for reading */

int fsam_file_map(fsam_file **out, const char *path);
void fsam_file_unmap(fsam_file *file);                /* NULL is fine */
const uint8_t *fsam_file_data(const fsam_file *file); /* NULL when the file is empty */
int64_t fsam_file_size(const fsam_file *file);
/* These bytes leave the memory of the process; the next look at them maps them again. */
void fsam_file_forget(const fsam_file *file, int64_t offset, int64_t bytes);
/* FSAM_EIO where another process has shortened or rewritten the file since it was mapped; bytes
 * that are gone read as zeros. The reading functions below ask this themselves; after reading
 * fsam_file_data, ask it. */
int fsam_file_unchanged(const fsam_file *file);
/* Copies `bytes` bytes from `offset` on; FSAM_EINVAL where they are not all in the file. */
int fsam_file_read(void *out, const fsam_file *file, int64_t offset, int64_t bytes);
/* Likewise `count` little-endian numbers of type "F32", "F16", "BF16" or "F64", as f32. */
int fsam_file_read_f32(float *out, const fsam_file *file, const char *type, int64_t offset,
                       int64_t count);
/* Likewise all elements of t, wherever its memory is: an f32 tensor from these types, a tensor of
 * any type from its own ("F32", "BF16", "I32"). */
int fsam_file_read_tensor(fsam_tensor *t, fsam_file *file, const char *type, int64_t offset);
/* How many of the numbers that fsam_file_read_tensor has read so far are infinite or NaN. */
int64_t fsam_file_read_not_finite(const fsam_file *file);
/* How many of `count` numbers from `offset` on are infinite or NaN; 0 for a type of integers. */
int fsam_file_not_finite(int64_t *out, const fsam_file *file, const char *type, int64_t offset,
                         int64_t count);

/* Writing with every byte checked: FSAM_EIO names the path and what the system said. */
typedef struct fsam_writer fsam_writer;
enum {
  FSAM_APPEND = 1, /* keep what is in the file; else it is emptied */
  FSAM_PLAIN = 2,  /* only a regular file, and not through a link */
  FSAM_PRIVATE = 4 /* a new file is its owner's alone */
};
int fsam_writer_open(fsam_writer **out, const char *path, int how); /* how: a sum of these */
int fsam_writer_write(fsam_writer *w, const void *data, int64_t bytes);
/* Writes t's elements in t's own type, wherever its memory is. */
int fsam_writer_tensor(fsam_writer *w, const fsam_tensor *t);
/* How many numbers of the f32 and bf16 tensors written so far are infinite or NaN. */
int64_t fsam_writer_not_finite(const fsam_writer *w);
/* Hands all bytes to the system, so that they outlive this process. */
int fsam_writer_flush(fsam_writer *w);
/* Does the file, opened with FSAM_APPEND, end inside a line? */
int fsam_writer_torn(const fsam_writer *w);
/* Flushes to the disk (fsync) and closes; frees w whatever happens. */
int fsam_writer_close(fsam_writer *w);
/* Closes without checks, after an error. NULL is fine. */
void fsam_writer_abandon(fsam_writer *w);

/* Locks a file, which it makes where there is none. *out is NULL where another process has the
 * lock. It ends with fsam_lock_free, and at the latest with the process. */
typedef struct fsam_lock fsam_lock;
int fsam_lock_take(fsam_lock **out, const char *path);
void fsam_lock_free(fsam_lock *lock); /* NULL is fine */

/* The names in a folder, in no order, without "." and "..". *name is valid until the next call, and
 * NULL after the last one. FSAM_EIO names the path and what the system said. */
typedef struct fsam_folder fsam_folder;
int fsam_folder_open(fsam_folder **out, const char *path);
int fsam_folder_next(const char **name, fsam_folder *folder);
void fsam_folder_close(fsam_folder *folder); /* NULL is fine */

/* Flushes a file's content, or a folder's entries, to the disk. */
int fsam_path_sync(const char *path);
/* Renames a to b; with exchange, swaps two existing paths atomically (FSAM_EINVAL where the file
 * system cannot). */
int fsam_path_rename(const char *a, const char *b, int exchange);
/* Removes a file, or a folder with all that is in it; no error when there is none. */
int fsam_path_remove(const char *path);

/* -- ranks ------------------------------------------------------------------------------------- */

/* The processes that train one model together, as MPI connects them, or NCCL, or both: then NCCL
 * sums what lies on GPUs. Opening, use, leaving, sums and ranges are collectives: every rank calls
 * them, in the same order. A rank that does not come within the time limit fails the others' call
 * with FSAM_EINTERNAL, which names it where there is MPI; so does what another rank reports, on
 * rank 0.
 *
 * Joins the others as rank `rank` (from 0) of `size` (2 or more), once in the life of a process; on
 * all ranks but 0 standard output goes nowhere from then on. FSAM_ENODEV: this build has no MPI;
 * FSAM_EINVAL: MPI counts otherwise. */
int fsam_ranks_open(int rank, int size);
/* The same without MPI: NCCL joins the ranks' GPUs, which meet at `address` (HOST:PORT), a place on
 * rank 0's machine; NCCL_COMM_ID in the environment overrides it. `size` may be 1: NCCL then sums
 * one rank's values, a trial of it on a machine with one GPU. */
int fsam_ranks_open_gpus(int rank, int size, fsam_device *gpu, const char *address);
/* Joins the ranks' GPUs by NCCL too, once: each gives the device that it trains on. Returns 1 when
 * tensors on it are summed by NCCL from then on; 0 when not every rank has a GPU and NCCL: sums go
 * through the hosts' memory, and fsam_error says why. */
int fsam_ranks_use(fsam_device *device);
/* Replaces t (dense f32) by the sum over all ranks, each element added in the order of ranks. */
int fsam_ranks_sum(fsam_tensor *t);
/* The same in parts, where fsam_ranks_use returned 1, beside other work of the GPU: a part is
 * summed when the work queued so far is done. Work queued after fsam_ranks_sum_end sees the sums of
 * all parts. Every rank gives the same parts in the same order. */
int fsam_ranks_sum_part(fsam_tensor *t, int64_t first, int64_t count);
int fsam_ranks_sum_end(fsam_tensor *t);
/* The same for a few numbers in host memory, equally many on every rank. */
int fsam_ranks_sum_numbers(double *values, int64_t count);
/* A sum of which each rank gets a range: `starts` are one more element offsets than there are
 * ranks. Afterwards rank r's elements from starts[r] to starts[r + 1] are the sums; what is in the
 * rest of its tensor is unspecified. t: dense f32. */
int fsam_ranks_reduce_scatter(fsam_tensor *t, const int64_t *starts);
/* The same of elements [first, first + count) alone, as fsam_ranks_sum_part, until
 * fsam_ranks_sum_end. */
int fsam_ranks_reduce_part(fsam_tensor *t, const int64_t *starts, int64_t first, int64_t count);
/* The way back: every rank gets from rank r the elements from starts[r] to starts[r + 1]. t: dense,
 * of any type. */
int fsam_ranks_all_gather(fsam_tensor *t, const int64_t *starts);
/* Leaves: the process may end. */
int fsam_ranks_leave(void);
/* How long the others may take to arrive, in seconds; at first 600. */
void fsam_ranks_timeout(double seconds);
/* Of a rank other than 0 that cannot go on: rank 0 prints the text and ends all. Returns only when
 * rank 0 does not answer. */
int fsam_ranks_report(const char *text);
/* Ends all ranks with this exit code. */
void fsam_ranks_end_all(int status);

/* -- text -------------------------------------------------------------------------------------- */

/* One code point's general category as its two letters ("Lu", "Zs", …; "Cn" when unassigned). */
const char *fsam_unicode_category(int32_t codepoint);
/* Canonical decomposition (form 0, NFD) or composition (form 1, NFC), or compatibility forms (2
 * NFKD, 3 NFKC), of valid UTF-8. *out_bytes is set to the size of the result; when that is more
 * than capacity, nothing is written. out is not text. */
int fsam_unicode_normalize(uint8_t *out, int64_t *out_bytes, int64_t capacity, const uint8_t *text,
                           int64_t bytes, int form);
/* Simple lower-case mapping of one code point. */
int32_t fsam_unicode_lower(int32_t codepoint);

typedef struct fsam_regex fsam_regex; /* PCRE2 with UTF and Unicode properties; one thread a time */
int fsam_regex_new(fsam_regex **out, const char *pattern);
void fsam_regex_free(fsam_regex *regex); /* NULL is fine */
/* All matches in valid UTF-8 text, left to right, none overlapping: *count is how many, and match i
 * covers the bytes [bounds[2i], bounds[2i+1]). capacity is counted in matches; bytes + 1 is always
 * enough. */
int fsam_regex_find_all(fsam_regex *regex, int64_t *count, int64_t *bounds, int64_t capacity,
                        const uint8_t *text, int64_t bytes);

/* The pieces of a unigram language model. Arrays have `count` elements; only the call that takes
 * them reads them. */
typedef struct {
  const uint8_t *bytes; /* the pieces end to end; equal pieces: the last counts */
  const int64_t *ends;  /* where each ends in bytes */
  const double *scores; /* logarithms of probabilities */
  const int32_t *ids;
  const uint8_t *whole; /* 1: a piece that a text is never split within; its score has no meaning */
  int64_t count;
  double unknown;        /* the score of a character that is no piece */
  double whole_per_byte; /* `whole` pieces score so much a byte, less 0.1 */
  int32_t unknown_id;
  int32_t narrow;           /* 1: sums are rounded to floats, as SentencePiece has them */
  const int32_t *bytes_ids; /* ids for the 256 bytes of unknown characters; NULL: unknown_id */
} fsam_pieces;

typedef struct fsam_unigram fsam_unigram; /* one thread a time */
int fsam_unigram_new(fsam_unigram **out, const fsam_pieces *pieces);
void fsam_unigram_free(fsam_unigram *unigram); /* NULL is fine */
/* The ids of the split of text with the largest sum of scores; of equal ones, the one whose last
 * piece is longest, and so on to the left. Neighbouring unknown characters are one id. With
 * `by_word`, each U+2581 begins a text of its own. capacity, of ids, is at least bytes. */
int fsam_unigram_encode(fsam_unigram *unigram, int32_t *ids, int64_t *count, int64_t capacity,
                        const uint8_t *text, int64_t bytes, int by_word);

/* Bits of a code point's class, as far as BERT's rules ask for it. */
enum {
  FSAM_CLASS_SPACE = 1,
  FSAM_CLASS_DROPPED = 2, /* by clean_text */
  FSAM_CLASS_CHINESE = 4,
  FSAM_CLASS_MARK = 8, /* dropped by strip_accents */
  FSAM_CLASS_PUNCTUATION = 16,
  FSAM_CLASS_INERT = 32 /* left alone by canonical decomposition */
};

/* Hugging Face's BertNormalizer. The memory that it points to must stay. */
typedef struct {
  const uint8_t *classes; /* [0x110000] */
  const int32_t *lower;   /* pairs of a code point past ASCII and its lower case, ascending: these
                           * come before fsam_unicode_lower */
  int64_t lower_count;    /* pairs */
  uint8_t clean_text, chinese, strip_accents, lowercase; /* 1: do it */
} fsam_bert;

/* Normalised text. Of bytes that are not UTF-8, each longest prefix of a sequence that cannot go on
 * counts as U+FFFD, and so does each byte that begins none. *out_bytes is set to the size of the
 * result; when that is more than capacity, out holds a part. out is not text. */
int fsam_bert_normalize(uint8_t *out, int64_t *out_bytes, int64_t capacity, const uint8_t *text,
                        int64_t bytes, const fsam_bert *bert);
/* BERT's words of text: spaces are dropped, each punctuation character is a word. Word i covers the
 * bytes [bounds[2i], bounds[2i+1]). capacity, of words, is at least bytes. */
int fsam_bert_words(int64_t *bounds, int64_t *count, int64_t capacity, const uint8_t *text,
                    int64_t bytes, const uint8_t *classes);

/* The pieces of a WordPiece model. Arrays have `count` elements; only the call that takes them
 * reads them. */
typedef struct {
  const uint8_t *bytes; /* the pieces end to end */
  const int64_t *ends;  /* where each ends in bytes */
  const int32_t *ids;
  int64_t count;
  const uint8_t *prefix; /* with which pieces begin that stand within a word */
  int64_t prefix_bytes;
  int64_t max_characters; /* of a word; a longer one is unknown */
  int32_t unknown_id;
} fsam_word_pieces;

typedef struct fsam_wordpiece fsam_wordpiece;
int fsam_wordpiece_new(fsam_wordpiece **out, const fsam_word_pieces *pieces);
void fsam_wordpiece_free(fsam_wordpiece *wordpiece); /* NULL is fine */
/* The ids of text, valid UTF-8: of each word the longest piece that fits, again and again. A word
 * is unknown as a whole if at any place no piece fits. The words are BERT's by `classes`; without
 * (NULL), all of the text is one. capacity, of ids, is at least bytes. */
int fsam_wordpiece_encode(const fsam_wordpiece *wordpiece, int32_t *ids, int64_t *count,
                          int64_t capacity, const uint8_t *text, int64_t bytes,
                          const uint8_t *classes);

/* -- the terminal ------------------------------------------------------------------------------ */

/* While `on`, Ctrl-C and SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGXCPU set a flag instead of ending
 * the program; a second Ctrl-C ends it. A signal that is ignored stays ignored. */
void fsam_interrupt_catch(int on);
int fsam_interrupted(void);       /* 1 once after a signal; reading clears it */
void fsam_interrupt_ignore(void); /* Ctrl-C does nothing, until it is caught again */
int fsam_terminal_width(int fd);  /* columns, or 0 when fd is not a terminal */

/* A line editor on the terminal (libedit, with its keys), driven by the caller: nothing here calls
 * back. While a line is being edited the terminal is in raw mode. A terminal that cannot move its
 * cursor, or has hardly any room, edits by itself, without the events between. */
typedef struct fsam_line fsam_line;
enum {
  FSAM_LINE_DONE = 1,     /* Enter: the line is complete */
  FSAM_LINE_END = 2,      /* Ctrl-D on an empty line, or the terminal is gone */
  FSAM_LINE_TAB = 3,      /* still editing: insert or show, then edit again */
  FSAM_LINE_PASTE = 4,    /* still editing: fsam_line_pasted() has come in */
  FSAM_LINE_INTERRUPT = 5 /* Ctrl-C: the line is given up */
};
/* FSAM_ENODEV unless standard input is a terminal. */
int fsam_line_open(fsam_line **out);
void fsam_line_close(fsam_line *line); /* NULL is fine */
/* Edits until one of the events above and returns it. Begins a line with `prompt` and `text` unless
 * one is being edited. */
int fsam_line_edit(fsam_line *line, const char *prompt, const char *text);
const char *fsam_line_text(const fsam_line *line);          /* the line, as of the last event */
int fsam_line_cursor(const fsam_line *line);                /* in bytes from its start */
const char *fsam_line_pasted(const fsam_line *line);        /* line ends are \n */
void fsam_line_insert(fsam_line *line, const char *text);   /* at the cursor, while editing */
int fsam_line_show(fsam_line *line, const char *text);      /* below the line, while editing */
void fsam_line_finish(fsam_line *line);                     /* as Enter does, while editing */
void fsam_line_remember(fsam_line *line, const char *text); /* one entry of the history */

/* cdef end */
#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
