/* cudnn_attention_cuda.c: the plans of attention by cuDNN, one for each kind of batch, made at the
 * first call and kept with the device. cudnn_attention.cu rounds a kind's numbers, so that there
 * are few. Making a plan takes a fraction of a second; a later call is a look-up and the launches,
 * and allocates nothing on the GPU. In a build without cuDNN's headers every call fails with a line
 * that says so. */
#include "kernels/vendor/cudnn_attention.cuh"

#if __has_include(<cudnn_graph.h>)
#include "kernels/vendor/cudnn_attention_cuda.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
  cudnn_attention_kind kind;
  cudnn_graph graph;
  struct entry *next;
} entry;

typedef struct library {
  cudnnHandle_t handle;
  entry *entries;
} library;

static const char *text_of(char text[128], const cudnn_attention_kind *k) {
  snprintf(text, 128, "%d samples of at most %d tokens, %d heads of %d columns, %s%s", k->samples,
           k->longest, k->heads, k->d, k->threshold ? "dropout, " : "",
           k->backward ? "backward" : "forward");
  return text;
}

static void entry_free(entry *e) {
  cudnn_graph_free(&e->graph);
  free(e);
}

static void library_free(void *kept) {
  library *l = kept;
  for (entry *e = l->entries, *next; e; e = next) {
    next = e->next;
    entry_free(e);
  }
  cudnn_handle_free(l->handle);
  free(l);
}

/* The device's plans, created at the first call. */
static int library_of(library **out, fsam_device *device) {
  void **slot;
  FSAM_TRY(fsam__device_slot(&slot, device, library_free));
  library *l = *slot;
  if (!l) {
    FSAM_TRY(cudnn_open());
    l = calloc(1, sizeof *l);
    if (!l) return fsam__fail(FSAM_ENOMEM, "attention: no memory for cuDNN's plans");
    const int rc = cudnn_handle_new(&l->handle, (cudaStream_t)device->stream);
    if (rc < 0) {
      free(l);
      return rc;
    }
    *slot = l;
  }
  *out = l;
  return FSAM_OK;
}

static int entry_new(library *l, fsam_device *device, const cudnn_attention_kind *kind) {
  FSAM_TRY(fsam__not_recording(device, "make a plan of cuDNN's"));
  const cudnn_target target = {.handle = l->handle};
  char text[128];
  entry *e = calloc(1, sizeof *e);
  if (!e) return fsam__fail(FSAM_ENOMEM, "attention: no memory for another plan of cuDNN's");
  e->kind = *kind;
  cudnn_attention_graph(&e->graph, kind);
  const int rc = cudnn_plan_make(&e->graph, &target, text_of(text, kind));
  if (rc < 0) {
    entry_free(e);
    return rc;
  }
  e->next = l->entries;
  l->entries = e;
  return FSAM_OK;
}

static int entry_of(entry **out, library *l, fsam_device *device,
                    const cudnn_attention_kind *kind) {
  entry *e = l->entries;
  while (e && memcmp(&e->kind, kind, sizeof *kind) != 0) e = e->next;
  if (!e) {
    FSAM_TRY(entry_new(l, device, kind));
    e = l->entries;
  }
  *out = e;
  return FSAM_OK;
}

/* Bytes of the plan's own workspace, a multiple of 256; ATTENTION_DELTA lies behind it. */
static size_t plan_bytes(const entry *e) { return (e->graph.workspace + 255) / 256 * 256; }

int fsam__cudnn_attention_open(void) { return cudnn_open(); }

int fsam__cudnn_attention_version(void) { return cudnn_version(); }

int fsam__cudnn_attention_plan(size_t *bytes, fsam_device *device,
                               const cudnn_attention_kind *kind) {
  library *l = NULL;
  entry *e = NULL;
  FSAM_TRY(library_of(&l, device));
  FSAM_TRY(entry_of(&e, l, device, kind));
  const size_t rows = (size_t)kind->samples * (size_t)kind->heads * (size_t)kind->longest;
  *bytes = plan_bytes(e) + (kind->backward ? rows * sizeof(float) : 0);
  return FSAM_OK;
}

int fsam__cudnn_attention_run(fsam_device *device, const cudnn_attention *a, void *workspace) {
  library *l = NULL;
  entry *e = NULL;
  FSAM_TRY(library_of(&l, device));
  FSAM_TRY(entry_of(&e, l, device, &a->kind));
  const size_t third = 2 * (size_t)a->kind.heads * (size_t)a->kind.d; /* bytes */
  float scale = (float)(1 / sqrt((double)a->kind.d)), hidden = -INFINITY;
  float kept = (float)cudnn_attention_kept(&a->kind), factor = 1 / kept;
  char *qkv = (char *)(uintptr_t)a->qkv, *dqkv = a->dqkv;
  const bool drops = a->kind.threshold, backward = a->kind.backward;
  const struct {
    int64_t name;
    const void *address;
    bool is_there;
  } all[] = {
      {ATTENTION_Q, qkv, true},
      {ATTENTION_K, qkv + third, true},
      {ATTENTION_V, qkv + 2 * third, true},
      {ATTENTION_OUT, a->out, true},
      {ATTENTION_LSE, a->lse, true},
      {ATTENTION_LENGTHS, a->lengths, true},
      {ATTENTION_QKV_STARTS, a->qkv_starts, true},
      {ATTENTION_OUT_STARTS, a->out_starts, true},
      {ATTENTION_LSE_STARTS, a->lse_starts, true},
      {ATTENTION_SCALE, &scale, true},
      {ATTENTION_HIDDEN, &hidden, true},
      {ATTENTION_SEED, a->seed, drops},
      {ATTENTION_OFFSET, a->offset, drops},
      {ATTENTION_FACTOR, &factor, drops},
      {ATTENTION_DOUT, a->dout, backward},
      {ATTENTION_DQ, dqkv, backward},
      {ATTENTION_DK, dqkv + third, backward},
      {ATTENTION_DV, dqkv + 2 * third, backward},
      {ATTENTION_KEPT, &kept, backward},
      {ATTENTION_DELTA, (char *)workspace + plan_bytes(e), backward},
  };
  enum { ALL = sizeof all / sizeof *all };
  int64_t names[ALL];
  void *addresses[ALL];
  int count = 0;
  for (int i = 0; i < ALL; i++) {
    if (!all[i].is_there) continue;
    names[count] = all[i].name;
    addresses[count++] = (void *)(uintptr_t)all[i].address;
  }
  char text[128];
  return cudnn_plan_run(&e->graph, l->handle, names, addresses, count, workspace,
                        text_of(text, &a->kind));
}

#else

static int absent(void) {
  return fsam__fail(FSAM_ENODEV,
                    "attention: the CUDA half was built without cuDNN's headers (cudnn_graph.h); "
                    "install them and build it again, or use the other kernels "
                    "(FSAM_ATTENTION=own, --attention-dropout-rng own)");
}

int fsam__cudnn_attention_open(void) { return absent(); }

int fsam__cudnn_attention_version(void) { return 0; }

int fsam__cudnn_attention_plan(size_t *bytes, fsam_device *device,
                               const cudnn_attention_kind *kind) {
  (void)bytes, (void)device, (void)kind;
  return absent();
}

int fsam__cudnn_attention_run(fsam_device *device, const cudnn_attention *a, void *workspace) {
  (void)device, (void)a, (void)workspace;
  return absent();
}

#endif
