/* broken.cu: kernels that are wrong on purpose, one for each fault that the shim must find, and one
 * right kernel, in which it must find nothing. */
#include "kernels/cuda/common.cuh"

/* Each thread takes its neighbour's number. */
static __global__ void neighbour_k(float *out, bool barrier) {
  FSAM_SHARED(float, numbers, 256);
  numbers[threadIdx.x] = (float)threadIdx.x;
  if (barrier) __syncthreads();
  out[blockIdx.x * 256 + threadIdx.x] = numbers[(threadIdx.x + 1) % 256];
}

/* Every block overwrites what the block before it wrote. */
static __global__ void last_block_k(float *out) {
  if (threadIdx.x == 0) *out = (float)blockIdx.x;
}

static __global__ void beyond_shared_k(float *out, int count) {
  FSAM_DYNAMIC_SHARED(memory);
  float *numbers = (float *)memory;
  numbers[count + threadIdx.x] = 1;
  out[threadIdx.x] = 0;
}

static __global__ void unwritten_k(float *out) {
  FSAM_SHARED(float, numbers, 64);
  if (threadIdx.x < 31) numbers[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = numbers[threadIdx.x];
}

static __global__ void lonely_lane_k(float *out) {
  float x = 1;
  if (threadIdx.x != 7) x = warp_sum(x);
  out[threadIdx.x] = x;
}

static __global__ void misaligned_k(float *out) { store16(out + 1, uint4{0, 0, 0, 0}); }

#define CROOKED(bytes, type)                            \
  static __global__ void crooked_##bytes##_k(void *out) { \
    *(type *)((char *)out + bytes / 2) = 1;             \
  }
CROOKED(2, uint16_t)
CROOKED(4, uint32_t)
CROOKED(8, uint64_t)

/* Copies and reads; `early`: before it waits. */
static __global__ void copied_k(float *out, bool early) {
  FSAM_SHARED(float, numbers, 4 * WARP);
  start_copy<16>(numbers + 4 * threadIdx.x, out + 4 * threadIdx.x, true);
  copies_commit();
  if (!early) copies_wait<0>();
  const float read = numbers[4 * threadIdx.x + 1];
  copies_wait<0>();
  out[threadIdx.x] = read;
}

/* Two groups; the second is still on its way when the first has come. */
static __global__ void second_group_k(float *out) {
  FSAM_SHARED(float, numbers, 2 * WARP * 2);
  float *mine = numbers + 4 * threadIdx.x;
  start_copy<8>(mine, out, true);
  copies_commit();
  start_copy<8>(mine + 2, out, false);
  copies_commit();
  copies_wait<1>();
  out[512 + threadIdx.x] = mine[0];
  out[544 + threadIdx.x] = mine[2];
  copies_wait<0>();
  out[576 + threadIdx.x] = mine[2];
}

static __global__ void abandoned_k(float *out) {
  FSAM_SHARED(float, numbers, 4);
  start_copy<4>(numbers, out, true);
}

static __global__ void aslant_k(float *out) {
  FSAM_SHARED(float, numbers, 8);
  start_copy<16>(numbers, out + 2, true);
}

/* A kernel, and one behind it that starts early and is right, or reads, or writes, before it waits,
 * or does not wait. */
static __global__ void ahead_k(float *out) { out[512 + threadIdx.x] = out[threadIdx.x] + 1; }
static __global__ void behind_k(float *out, char fault) {
  float x = 0;
  if (fault == 'w') out[threadIdx.x] = -5;
  if (fault == 'r') x = out[512 + threadIdx.x];
  if (fault != 'n') wait_for_earlier();
  if (fault != 'r') x = out[512 + threadIdx.x];
  out[threadIdx.x] = x;
}

static __global__ void wild_k(float *nothing) { nothing[threadIdx.x] = 1; }

static __global__ void greedy_k(float *out) {
  FSAM_SHARED(float, numbers, 13 << 10);
  numbers[threadIdx.x] = 1;
  out[threadIdx.x] = numbers[threadIdx.x];
}

/* Starts the kernel of that name on `device`; out has 1,024 elements. */
static int start(const fsam_device *device, const char *name, float *out) {
  if (!strcmp(name, "right")) return FSAM_LAUNCH(device, neighbour_k, 4, 256, 0, out, true);
  if (!strcmp(name, "no_barrier")) return FSAM_LAUNCH(device, neighbour_k, 4, 256, 0, out, false);
  if (!strcmp(name, "last_block")) return FSAM_LAUNCH(device, last_block_k, 4, 32, 0, out);
  if (!strcmp(name, "beyond_shared"))
    return FSAM_LAUNCH(device, beyond_shared_k, 1, 32, 400, out, 100 - 31);
  if (!strcmp(name, "unwritten")) return FSAM_LAUNCH(device, unwritten_k, 1, 32, 0, out);
  if (!strcmp(name, "lonely_lane")) return FSAM_LAUNCH(device, lonely_lane_k, 1, 32, 0, out);
  if (!strcmp(name, "misaligned")) return FSAM_LAUNCH(device, misaligned_k, 1, 32, 0, out);
  if (!strcmp(name, "copied")) return FSAM_LAUNCH(device, copied_k, 1, 32, 0, out, false);
  if (!strcmp(name, "copied_early")) return FSAM_LAUNCH(device, copied_k, 1, 32, 0, out, true);
  if (!strcmp(name, "second_group")) return FSAM_LAUNCH(device, second_group_k, 1, 32, 0, out);
  if (!strcmp(name, "abandoned")) return FSAM_LAUNCH(device, abandoned_k, 1, 32, 0, out);
  if (!strcmp(name, "aslant")) return FSAM_LAUNCH(device, aslant_k, 1, 32, 0, out);
  if (!strcmp(name, "crooked_2"))
    return FSAM_LAUNCH(device, crooked_2_k, 1, 32, 0, (void *)out);
  if (!strcmp(name, "crooked_4"))
    return FSAM_LAUNCH(device, crooked_4_k, 1, 32, 0, (void *)out);
  if (!strcmp(name, "crooked_8"))
    return FSAM_LAUNCH(device, crooked_8_k, 1, 32, 0, (void *)out);
  if (!strcmp(name, "roomy")) return FSAM_LAUNCH(device, last_block_k, 1, 32, 100 << 10, out);
  if (!strcmp(name, "vast")) return FSAM_LAUNCH(device, last_block_k, 1, 32, 164 << 10, out);
  if (!strncmp(name, "early", 5)) {
    if (name[5] != '0') FSAM_TRY(FSAM_LAUNCH(device, ahead_k, 1, 32, 0, out));
    return FSAM_LAUNCH_EARLY(device, behind_k, 1, 32, 0, out, name[6]);
  }
  if (!strcmp(name, "wild")) return FSAM_LAUNCH(device, wild_k, 1, 32, 0, (float *)4096);
  if (!strcmp(name, "greedy")) return FSAM_LAUNCH(device, greedy_k, 1, 32, 0, out);
  return fsam__fail(FSAM_EINVAL, "no broken kernel %s", name);
}

#pragma GCC visibility push(default)
extern "C" int fsam_simt_start_broken(const fsam_device *device, const char *name, float *out) {
  return start(device, name, out);
}
/* The same, and waits for it: 0, or its fault. */
extern "C" int fsam_simt_broken(const fsam_device *device, const char *name, float *out) {
  FSAM_TRY(start(device, name, out));
  return simt_wait(device);
}
#pragma GCC visibility pop
