/* program_device.cuh: what the generated CUDA source of a vector program is made of: a thread's
 * elements in and out of memory, mask bits, the working copy, reductions, scalar arithmetic.
 * Functions and random numbers are in program_math.cuh. The library carries this text and gives it
 * to NVRTC, which has no headers; g++ compiles it with FSAM_SIMT, and simt.h (spec/simt) for the
 * machine. It computes what kernels/program_*.c computes, bit for bit: nothing may be contracted.
 *
 * A thread block walks a block of the layout in chunks of 8 elements per thread: two quads, each
 * 16 bytes of f32, so far apart that the threads' quads follow each other in memory. */
#ifndef FSAM_PROGRAM_DEVICE_CUH
#define FSAM_PROGRAM_DEVICE_CUH

#include "program_arguments.h"

/* A kernel's name; a file with several programs redefines it. */
#define PROGRAM_NAME(name) name

/* -- the machine ------------------------------------------------------------------------------- */

#ifdef FSAM_SIMT
#include "simt.h"
#define PROGRAM_KERNEL(name, threads) \
  extern "C" __attribute__((visibility("default"))) void PROGRAM_NAME(name)(const arguments &a)
#else
#define FSAM_SHARED(type, name, count) __shared__ type name[count]
#define PROGRAM_KERNEL(name, threads)                   \
  extern "C" __global__ void __launch_bounds__(threads) \
      PROGRAM_NAME(name)(const __grid_constant__ arguments a)

template <typename T>
__device__ __forceinline__ T shuffle(T value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
template <typename T>
__device__ __forceinline__ T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
__device__ __forceinline__ uint4 load16(const void *p) { return *(const uint4 *)p; }
__device__ __forceinline__ void store16(void *p, uint4 value) { *(uint4 *)p = value; }
#endif

enum { QUAD = 4, QUADS = 2, WIDTH = QUADS * QUAD, LANES_OF_SUM = 16 };
#define EACH _Pragma("unroll") for (int k = 0; k < WIDTH; k++)

__device__ __forceinline__ int lane_id() { return (int)threadIdx.x % 32; }
__device__ __forceinline__ int warp_id() { return (int)threadIdx.x / 32; }

__device__ __forceinline__ float bits_to_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
__device__ __forceinline__ uint32_t float_to_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* -- a thread's elements ----------------------------------------------------------------------- */

struct place {
  int64_t first;    /* the first quad's first element */
  int64_t act;      /* the layout's */
  int left, padded; /* elements from there to the segment's end, and to the next multiple of 64 */
  int step;         /* from the first quad to the second */

  __device__ __forceinline__ int64_t at(int q) const { return first + q * step; }
  __device__ __forceinline__ int count(int q) const { return left - q * step; }
  __device__ __forceinline__ bool readable(int q) const { return padded - q * step > 0; }
  __device__ __forceinline__ bool rounded() const { return first < act; }
};

__device__ __forceinline__ place place_of(const program_piece &piece, int first, int threads,
                                          int64_t act) {
  const int at = first + (int)threadIdx.x * QUAD;
  return {piece.offset + at, act, piece.count - at, (piece.count + 63) / 64 * 64 - at,
          threads * QUAD};
}

/* Two quads of f32; zeros where nothing may be read. base[0] is element 0. */
__device__ __forceinline__ void load(float v[WIDTH], const float *base, const place &p) {
#pragma unroll
  for (int q = 0; q < QUADS; q++) {
    uint4 x = {0, 0, 0, 0};
    if (p.readable(q)) x = load16(base + p.at(q));
    v[q * QUAD] = bits_to_float(x.x);
    v[q * QUAD + 1] = bits_to_float(x.y);
    v[q * QUAD + 2] = bits_to_float(x.z);
    v[q * QUAD + 3] = bits_to_float(x.w);
  }
}

/* Only elements of the segment are written. */
__device__ __forceinline__ void store(float *base, const float v[WIDTH], const place &p) {
#pragma unroll
  for (int q = 0; q < QUADS; q++) {
    const float *x = v + q * QUAD;
    float *to = base + p.at(q);
    if (p.count(q) >= QUAD) {
      store16(to,
              {float_to_bits(x[0]), float_to_bits(x[1]), float_to_bits(x[2]), float_to_bits(x[3])});
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

__device__ __forceinline__ void load_act(float v[WIDTH], void *copy, const place &p) {
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

__device__ __forceinline__ void store_act(void *copy, const float v[WIDTH], const place &p) {
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
__device__ __forceinline__ uint32_t load_bits(const void *mask, const place &p) {
  uint32_t bits = 0;
#pragma unroll
  for (int q = 0; q < QUADS; q++)
    if (p.readable(q))
      bits |= (((const uint32_t *)mask)[p.at(q) / 32] >> p.at(q) % 32 & 15u) << q * QUAD;
  return bits;
}

/* Eight lanes make a word. Whole words of 64: a segment's last ones keep zeros behind it. */
__device__ __forceinline__ void store_bits(void *mask, uint32_t bits, const place &p) {
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

enum reduction { SUM, DOT, MUL_SQUARES, MAX_ABS, LEAST, GREATEST };

__device__ __forceinline__ double identity(reduction op) {
  const double infinite = (double)bits_to_float(0x7f800000u);
  return op == LEAST ? infinite : op == GREATEST ? -infinite : 0;
}

/* b comes after a; a NaN wins. */
__device__ __forceinline__ double combine(reduction op, double a, double b) {
  if (op <= MUL_SQUARES) return a + b;
  return a != a || (op == LEAST ? a <= b : a >= b) ? a : b;
}

/* Lays a thread's elements where the chunk's sums are taken. */
__device__ __forceinline__ void lay(float *staged, const float v[WIDTH], int threads) {
#pragma unroll
  for (int q = 0; q < QUADS; q++)
    store16(staged + (q * threads + (int)threadIdx.x) * QUAD,
            {float_to_bits(v[q * QUAD]), float_to_bits(v[q * QUAD + 1]),
             float_to_bits(v[q * QUAD + 2]), float_to_bits(v[q * QUAD + 3])});
}

/* Adds to a lane's sum its elements of the chunk (lane, lane + 16, … below n), in order; products
 * of two f32 are exact in f64. */
__device__ __forceinline__ double add_chunk(reduction op, double sum, const float *x,
                                            const float *y, int n) {
#pragma unroll 8
  for (int i = (int)threadIdx.x % LANES_OF_SUM; i < n; i += LANES_OF_SUM) {
    if (op == SUM) {
      sum += (double)x[i];
    } else if (op == DOT) {
      sum += (double)x[i] * (double)y[i];
    } else if (op == MUL_SQUARES) {
      const double product = (double)(x[i] * y[i]);
      sum += product * product;
    } else {
      sum = combine(op, sum, (double)(op == MAX_ABS ? fabsf(x[i]) : x[i]));
    }
  }
  return sum;
}

/* The 16 lanes' sums as a tree, in their first one. All lanes of the warp take part. */
__device__ __forceinline__ double fold(reduction op, double sum) {
#pragma unroll
  for (int half = LANES_OF_SUM / 2; half; half /= 2) sum = combine(op, sum, shuffle_xor(sum, half));
  return sum;
}

/* Blocks [first, end) after `sum`, in order, in every lane of the warp. What comes next is loaded
 * while these are added: the chain of additions is what takes the time. */
__device__ __forceinline__ double add_blocks(reduction op, double sum, const double *partials,
                                             int64_t first, int64_t end) {
  double next = first + lane_id() < end ? partials[first + lane_id()] : 0;
  for (int64_t b = first; b < end; b += 32) {
    const double mine = next;
    if (b + 32 + lane_id() < end) next = partials[b + 32 + lane_id()];
    const int count = end - b < 32 ? (int)(end - b) : 32;
#pragma unroll 8
    for (int i = 0; i < count; i++) sum = combine(op, sum, shuffle(mine, i));
  }
  return sum;
}

/* Finishes the pass's reduction `number`: a warp to each result. Group 0: `out` is one scalar; 1
 * and 2: a row, in which a layer's result stands at each of its segments. */
__device__ __forceinline__ void finish(const program_fixed &f, reduction op, int group, int number,
                                       double *out) {
  const int warps = (int)blockDim.x / 32;
  const double *partials = f.partials + number * f.block_count;
  if (group == 0) {
    if (warp_id() != number % warps) return;
    const double sum = add_blocks(op, identity(op), partials, 0, f.block_count);
    if (lane_id() == 0) *out = sum;
  } else if (group == 1) {
    for (int s = warp_id(); s < f.segments; s += warps) {
      const double sum =
          add_blocks(op, identity(op), partials, f.first_block[s], f.first_block[s + 1]);
      if (lane_id() == 0) out[s] = sum;
    }
  } else {
    for (int layer = warp_id(); layer < f.layers; layer += warps) {
      double sum = identity(op);
      for (int s = 0; s < f.segments; s++)
        if (f.layer[s] == layer)
          sum = add_blocks(op, sum, partials, f.first_block[s], f.first_block[s + 1]);
      for (int s = lane_id(); s < f.segments; s += 32)
        if (f.layer[s] == layer) out[s] = sum;
    }
  }
}

#endif
