/* cudnn_choice_cuda.c: who does attention, our own kernels or cuDNN's. In this order:
 *  - cuDNN, where a call's dropout is to be drawn by it;
 *  - whom FSAM_ATTENTION names, own or cudnn, for what it can do;
 *  - after fsam_tuning_begin, the faster: both are timed once for each rounded shape, and the
 * choice kept (tuning.h). cuDNN's version belongs to a choice of it, because its bits do;
 *  - our own.
 * Attention whose dropout is ours is our own in any case. */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/vendor/cudnn_attention.cuh"
#include "kernels/vendor/tuning.h"

enum {
  REPEATS = 10, /* runs that are timed */
  STEP = 32,    /* lengths are rounded up to multiples of this: up to one, ours are faster */
  HOPPER = 90   /* the first GPUs for which cuDNN takes packed samples */
};
static const float CLEARLY = 0.98f; /* cuDNN must take less than this fraction of our time */

/* -- what is asked for ------------------------------------------------------------------------- */

static bool is_named(const char *word) {
  const char *value = getenv("FSAM_ATTENTION");
  return value && !strcmp(value, word);
}

int fsam__attention_check(void) {
  const char *value = getenv("FSAM_ATTENTION");
  if (!value || !*value || is_named("own")) return FSAM_OK;
  if (is_named("cudnn")) return fsam__cudnn_attention_open();
  return fsam__fail(FSAM_EINVAL,
                    "attention: FSAM_ATTENTION=%.40s is unknown; make it own or cudnn, or unset it",
                    value);
}

int fsam__attention_rng_check(fsam_device *device, int rng, int dtype, int64_t columns) {
  if (rng == FSAM_RNG_OWN) return FSAM_OK;
  if (is_named("own"))
    return fsam__fail(FSAM_EINVAL,
                      "attention: FSAM_ATTENTION is own, and cuDNN is to draw "
                      "attention's dropout; unset FSAM_ATTENTION");
  if (dtype != FSAM_BF16)
    return fsam__fail(FSAM_EINVAL,
                      "attention: cuDNN draws attention's dropout in bf16 alone; give "
                      "--precision bf16");
  if (columns % 8 || columns > CUDNN_MAX_HEAD)
    return fsam__fail(FSAM_EINVAL,
                      "attention: cuDNN draws the dropout of heads of a multiple of 8 and at most "
                      "%d columns, here are %lld",
                      CUDNN_MAX_HEAD, (long long)columns);
  if (device->arch < HOPPER)
    return fsam__fail(FSAM_EINVAL,
                      "attention: cuDNN draws the dropout of packed samples on GPUs of compute "
                      "capability 9.0 or newer, this one has %d.%d",
                      device->arch / 10, device->arch % 10);
  return fsam__cudnn_attention_open();
}

int fsam__attention_library(int rng, const char **text) {
  static char version[32];
  *text = "own";
  if (rng == FSAM_RNG_OWN && !is_named("cudnn")) return FSAM_OK;
  FSAM_TRY(fsam__cudnn_attention_open());
  const int v = fsam__cudnn_attention_version();
  snprintf(version, sizeof version, "cuDNN %d.%d.%d", v / 10000, v / 100 % 100, v % 100);
  *text = version;
  return FSAM_OK;
}

/* -- timing ------------------------------------------------------------------------------------ */

/* Milliseconds of a way, without its first run, in which plans are made and memory grows; negative
 * when it fails. Each run leaves the same results. */
static float time_of(const attention_call *c, attention_way *way, cudaStream_t stream,
                     const cudaEvent_t events[2]) {
  float milliseconds = -1;
  if (way(c) < 0) return -1;
  cudaEventRecord(events[0], stream);
  for (int i = 0; i < REPEATS; i++)
    if (way(c) < 0) return -1;
  cudaEventRecord(events[1], stream);
  if (cudaEventSynchronize(events[1]) != cudaSuccess) return -1;
  if (cudaEventElapsedTime(&milliseconds, events[0], events[1]) != cudaSuccess) return -1;
  return milliseconds;
}

/* Is cuDNN the faster? Not where it fails. */
static bool is_faster(const attention_call *c, attention_way *own, const fsam_device *device) {
  cudaEvent_t events[2] = {NULL, NULL};
  bool faster = false;
  if (cudaEventCreate(&events[0]) == cudaSuccess && cudaEventCreate(&events[1]) == cudaSuccess) {
    const float ours = time_of(c, own, device->stream, events);
    const float theirs = time_of(c, fsam__cudnn_attention, device->stream, events);
    faster = ours >= 0 && theirs >= 0 && theirs < CLEARLY * ours;
  }
  if (events[0]) cudaEventDestroy(events[0]);
  if (events[1]) cudaEventDestroy(events[1]);
  cudaGetLastError(); /* a failure of timing is no error of attention */
  return faster;
}

/* -- the table --------------------------------------------------------------------------------- */

/* Writes the key of a line: "attention forward heads columns samples longest". */
static void key_text(char *out, size_t size, const attention_call *c) {
  const cudnn_attention_kind k = fsam__cudnn_attention_kind(c);
  const int longest = c->batch->longest > 0 ? (c->batch->longest + STEP - 1) / STEP * STEP : STEP;
  snprintf(out, size, "attention %s %d %d %d %d", k.backward ? "backward" : "forward", k.heads, k.d,
           k.samples, longest);
}

/* What the table chooses; where it has nothing that holds here, times both. Timing waits, which a
 * capture refuses: then the call is timed when it comes again outside of one. */
static int look_up(bool *by_cudnn, fsam_device *device, const attention_call *c,
                   attention_way *own) {
  char key[TUNING_LINE], theirs[32];
  const bool is_here = device->arch >= HOPPER && fsam__cudnn_attention_open() == FSAM_OK;
  key_text(key, sizeof key, c);
  snprintf(theirs, sizeof theirs, "cudnn %d", is_here ? fsam__cudnn_attention_version() : 0);
  const char *known = fsam__tuning_find(device, key);
  const size_t length = known ? strcspn(known, "\n") : 0;
  *by_cudnn = is_here && length == strlen(theirs) && !strncmp(known, theirs, length);
  if (*by_cudnn || (length == 3 && !strncmp(known, "own", length))) return FSAM_OK;
  if (!is_here && !known) return FSAM_OK; /* there is no choice */
  if (is_here) FSAM_TRY(fsam__not_recording(device, "time attention"));
  *by_cudnn = is_here && is_faster(c, own, device);
  return fsam__tuning_add(device, key, *by_cudnn ? theirs : "own");
}

int fsam__attention_choose(const attention_call *c, attention_way *own) {
  fsam_device *device = fsam__device_of(c->qkv);
  const bool can = fsam__cudnn_attention_can(c);
  bool by_cudnn = false;
  if (c->dropout && c->dropout->p > 0 && c->dropout->rng == FSAM_RNG_CUDNN) {
    if (!can)
      return fsam__fail(FSAM_EINVAL,
                        "attention: cuDNN's dropout needs rows without gaps, and a "
                        "gradient that is not added to");
    by_cudnn = true;
  } else if (can && is_named("cudnn")) {
    FSAM_TRY(fsam__attention_check());
    by_cudnn = true;
  } else if (can && !is_named("own") && fsam__tuning_is_on(device)) {
    FSAM_TRY(look_up(&by_cudnn, device, c, own));
  } else {
    FSAM_TRY(fsam__attention_check());
  }
  return by_cudnn ? fsam__cudnn_attention(c) : own(c);
}
