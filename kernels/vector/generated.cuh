/* generated.cuh: the functions that the generated CUDA source of a vector program calls: a thread's
 * elements in and out of memory, mask bits, the working copy, reductions. Leaves to others:
 * arithmetic and random numbers (vector_math.cuh). The library carries this text and gives it to
 * NVRTC, which has no headers. With FSAM_SIMT g++ compiles it, with spec/simt/simt.h for the
 * machine. It computes what the CPU computes, bit for bit: nothing may be contracted.
 *
 * A thread block walks a block of the layout in chunks of 8 elements per thread: two quads, each
 * 16 bytes of f32, so far apart that the threads' quads follow each other in memory. */
#ifndef FSAM_VECTOR_GENERATED_CUH
#define FSAM_VECTOR_GENERATED_CUH

#include "kernels/cuda/machine.cuh"
#include "kernels/vector/arguments.h"

/* A kernel's name; a file with several programs redefines it. */
#define PROGRAM_NAME(name) name

#ifdef FSAM_SIMT
#define PROGRAM_KERNEL(name, threads) \
  extern "C" __attribute__((visibility("default"))) void PROGRAM_NAME(name)(const arguments &a)
#else
#define PROGRAM_KERNEL(name, threads)                   \
  extern "C" __global__ void __launch_bounds__(threads) \
      PROGRAM_NAME(name)(const __grid_constant__ arguments a)
#endif

enum { QUADS = 2, WIDTH = QUADS * QUAD, LANES_OF_SUM = 16 };
#define EACH _Pragma("unroll") for (int k = 0; k < WIDTH; k++)

/* -- a thread's elements ----------------------------------------------------------------------- */

/* Where a thread's WIDTH elements of the chunk lie: QUADS quads, numbered q. */
struct elements {
  int64_t first;    /* the first quad's first element */
  int64_t act;      /* the layout's */
  int left, padded; /* elements from there to the parameter's end, and to the next multiple of 64 */
  int step;         /* from the first quad to the second */

  __device__ __forceinline__ int64_t at(int q) const { return first + q * step; }
  __device__ __forceinline__ int count(int q) const { return left - q * step; }
  __device__ __forceinline__ bool readable(int q) const { return padded - q * step > 0; }
  __device__ __forceinline__ bool rounded() const { return first < act; }
};

__device__ __forceinline__ elements elements_of(const program_block &block, int first, int threads,
                                                int64_t act) {
  const int at = first + (int)threadIdx.x * QUAD;
  return {block.offset + at, act, block.count - at, (block.count + 63) / 64 * 64 - at,
          threads * QUAD};
}

/* Two quads of f32; zeros where nothing may be read. base[0] is element 0. */
__device__ __forceinline__ void load(float v[WIDTH], const float *base, const elements &p) {
#pragma unroll
  for (int q = 0; q < QUADS; q++) {
    v[q * QUAD] = v[q * QUAD + 1] = v[q * QUAD + 2] = v[q * QUAD + 3] = 0;
    if (p.readable(q)) load_quad(v + q * QUAD, base + p.at(q));
  }
}

/* Only elements of the parameter are written. */
__device__ __forceinline__ void store(float *base, const float v[WIDTH], const elements &p) {
#pragma unroll
  for (int q = 0; q < QUADS; q++) {
    const float *x = v + q * QUAD;
    float *to = base + p.at(q);
    if (p.count(q) >= QUAD) {
      store_quad(to, x);
    } else {
#pragma unroll
      for (int k = 0; k < QUAD; k++)
        if (k < p.count(q)) to[k] = x[k];
    }
  }
}

/* -- the working copy: bf16[act], then f32 ----------------------------------------------------- */

/* The f32 bits of x rounded to bf16, to nearest even; a NaN stays a (quiet) NaN. */
__device__ __forceinline__ uint32_t nearest_bf16(float x) {
  const uint32_t bits = float_to_bits(x);
  const uint32_t rounded = x != x ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1u);
  return rounded & 0xffff0000u;
}

/* The f32 part, such that [i] is element i. */
__device__ __forceinline__ float *f32_part(void *copy, int64_t act) {
  return (float *)((uint16_t *)copy + act) - act;
}

__device__ __forceinline__ void load_act(float v[WIDTH], void *copy, const elements &p) {
  if (!p.rounded()) {
    load(v, f32_part(copy, p.act), p);
    return;
  }
#pragma unroll
  for (int q = 0; q < QUADS; q++) {
    uint64_t x = 0;
    if (p.readable(q)) x = *(const uint64_t *)((const uint16_t *)copy + p.at(q));
#pragma unroll
    for (int k = 0; k < QUAD; k++)
      v[q * QUAD + k] = bits_to_float((uint32_t)(x >> 16 * k & 0xffffu) << 16);
  }
}

__device__ __forceinline__ void store_act(void *copy, const float v[WIDTH], const elements &p) {
  if (!p.rounded()) {
    store(f32_part(copy, p.act), v, p);
    return;
  }
#pragma unroll
  for (int q = 0; q < QUADS; q++) {
    uint16_t *to = (uint16_t *)copy + p.at(q);
    uint64_t x = 0;
#pragma unroll
    for (int k = 0; k < QUAD; k++) x |= (uint64_t)(nearest_bf16(v[q * QUAD + k]) >> 16) << 16 * k;
    if (p.count(q) >= QUAD) {
      *(uint64_t *)to = x;
    } else {
#pragma unroll
      for (int k = 0; k < QUAD; k++)
        if (k < p.count(q)) to[k] = (uint16_t)(x >> 16 * k);
    }
  }
}

/* -- masks: bit i of word i / 32 --------------------------------------------------------------- */

/* Bit k: element k's. */
__device__ __forceinline__ uint32_t load_bits(const void *mask, const elements &p) {
  uint32_t bits = 0;
#pragma unroll
  for (int q = 0; q < QUADS; q++)
    if (p.readable(q))
      bits |= (((const uint32_t *)mask)[p.at(q) / 32] >> p.at(q) % 32 & 15u) << q * QUAD;
  return bits;
}

/* Eight lanes make a word. Whole words of 64: a parameter's last ones keep zeros behind it. */
__device__ __forceinline__ void store_bits(void *mask, uint32_t bits, const elements &p) {
  const int among = lane_id() % 8;
#pragma unroll
  for (int q = 0; q < QUADS; q++) {
    uint32_t word = bits >> q * QUAD & 15u;
    if (p.count(q) < QUAD) word &= p.count(q) > 0 ? (1u << p.count(q)) - 1 : 0;
    word <<= QUAD * among;
#pragma unroll
    for (int other = 1; other < 8; other *= 2) word |= shuffle_xor(word, other);
    if (among == 0 && p.readable(q)) ((uint32_t *)mask)[p.at(q) / 32] = word;
  }
}

__device__ __forceinline__ uint32_t conditions(const float v[WIDTH]) {
  uint32_t bits = 0;
  EACH bits |= (uint32_t)(v[k] != 0) << k;
  return bits;
}

/* -- reductions -------------------------------------------------------------------------------- */

/* Each reduction of program.def: SUM, …. */
enum reduction {
#define FSAM_REDUCTION(name, operands, identity, element, combine) name,
#include "engine/program.def"
};

__device__ __forceinline__ double infinite() { return (double)bits_to_float(0x7f800000u); }

__device__ __forceinline__ double identity(reduction op) {
  switch (op) {
#define FSAM_REDUCTION(name, operands, identity, element, combine) \
  case name:                                                       \
    return identity;
#include "engine/program.def"
  }
  return 0;
}

/* The term of an element a of the first input and b of the second. */
__device__ __forceinline__ double element(reduction op, float a, float b) {
  switch (op) {
#define FSAM_REDUCTION(name, operands, identity, element, combine) \
  case name:                                                       \
    return element;
#include "engine/program.def"
  }
  return 0;
}

/* b comes after a. */
__device__ __forceinline__ double combine(reduction op, double a, double b) {
  switch (op) {
#define FSAM_REDUCTION(name, operands, identity, element, combine) \
  case name:                                                       \
    return combine;
#include "engine/program.def"
  }
  return 0;
}

/* Copies a thread's elements to shared memory, from which add_chunk reads the whole chunk. */
__device__ __forceinline__ void lay(float *staged, const float v[WIDTH], int threads) {
#pragma unroll
  for (int q = 0; q < QUADS; q++)
    store_quad(staged + (q * threads + (int)threadIdx.x) * QUAD, v + q * QUAD);
}

/* Adds to a lane's sum its elements of the chunk (lane, lane + 16, … below n), in order; products
 * of two f32 are exact in f64. */
__device__ __forceinline__ double add_chunk(reduction op, double sum, const float *x,
                                            const float *y, int n) {
#pragma unroll 8
  for (int i = (int)threadIdx.x % LANES_OF_SUM; i < n; i += LANES_OF_SUM)
    sum = combine(op, sum, element(op, x[i], y[i]));
  return sum;
}

/* The 16 lanes' sums as a tree, in their first one. All lanes of the warp take part. */
__device__ __forceinline__ double fold(reduction op, double sum) {
#pragma unroll
  for (int half = LANES_OF_SUM / 2; half; half /= 2) sum = combine(op, sum, shuffle_xor(sum, half));
  return sum;
}

/* Where the partial sum of reduction `number` over block b of the layout goes: the first blocks of
 * all spans, then all second blocks, and so on, so that threads that each sum a span read side by
 * side. It reads the block's slot again, because a register to keep it costs more. */
__device__ __forceinline__ double *partial_of(const program_fixed &f, int number, int64_t b) {
  return f.partials + number * f.partial_count + f.blocks[b].slot;
}

/* Combines `count` values, `stride` apart, in order. It loads the next AHEAD values while it
 * combines these; behind the last value it takes identities, which change nothing. */
__device__ __forceinline__ double in_order(reduction op, const double *values, int count,
                                           int64_t stride) {
  enum { AHEAD = 16 };
  double sum = identity(op), next[AHEAD];
#pragma unroll
  for (int k = 0; k < AHEAD; k++) next[k] = k < count ? values[k * stride] : identity(op);
  for (int first = AHEAD; first < count + AHEAD; first += AHEAD) {
#pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      sum = combine(op, sum, next[k]);
      next[k] = first + k < count ? values[(first + k) * stride] : identity(op);
    }
  }
  return sum;
}

/* The thread's number in the work for reduction `number`. Each reduction starts at another warp, so
 * that several of them run side by side. */
__device__ __forceinline__ int turned(int number) {
  return (int)((threadIdx.x + (unsigned)number * WARP) % blockDim.x);
}

/* Each span's result, in place of its first block's. */
__device__ __forceinline__ void finish_spans(const program_fixed &f, reduction op, int number) {
  double *partials = f.partials + number * f.partial_count;
  for (int i = (int)threadIdx.x; i < f.spans; i += (int)blockDim.x)
    partials[i] = in_order(op, partials + i, f.span_blocks[i], f.spans);
}

/* Each parameter's result from those of its spans. */
__device__ __forceinline__ void finish_parameters(const program_fixed &f, reduction op, int number,
                                                  double *out) {
  const double *spans = f.partials + number * f.partial_count;
  for (int i = turned(number); i < f.parameters; i += (int)blockDim.x)
    out[i] = in_order(op, spans + f.first_span[i], f.first_span[i + 1] - f.first_span[i], 1);
}

/* The model's result from those of its parameters. */
__device__ __forceinline__ void finish_model(const program_fixed &f, reduction op, int number,
                                             const double *parameters, double *out) {
  if (turned(number) == 0) *out = in_order(op, parameters, f.parameters, 1);
}

/* Each layer's result from those of its parameters. `out` has it at each of these, computed anew
 * for each: the threads of a warp read the same values, and none waits for another. */
__device__ __forceinline__ void finish_layers(const program_fixed &f, reduction op, int number,
                                              const double *parameters, double *out) {
  for (int i = turned(number); i < f.parameters; i += (int)blockDim.x) {
    const int layer = f.layer[i];
    double sum = identity(op);
#pragma unroll 8
    for (int k = 0; k < f.parameters; k++)
      sum = f.layer[k] == layer ? combine(op, sum, parameters[k]) : sum;
    out[i] = sum;
  }
}

#endif
