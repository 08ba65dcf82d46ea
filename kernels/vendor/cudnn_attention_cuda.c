/* cudnn_attention_cuda.c: attention by cuDNN: its plans, one for each kind of batch, made at first
 * sight and kept with the device. The host rounds what a kind is made of (sdpa.cu), so that there
 * are few. A plan takes a fraction of a second to make; after that a call is a look-up and the
 * launches, and allocates nothing on the GPU. A build without cuDNN's headers has only a line that
 * says so. */
#include "kernels/vendor/cudnn_attention.cuh"

#if __has_include(<cudnn_graph.h>)
#include "kernels/vendor/cudnn_attention_cuda.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
  fsam_sdpa_kind kind;
  cudnn_graph graph;
  struct entry *next;
} entry;

typedef struct library {
  cudnnHandle_t handle;
  entry *entries;
} library;

static const char *text_of(char text[128], const fsam_sdpa_kind *k) {
  snprintf(text, 128, "%d samples of at most %d tokens, %d heads of %d columns, %s", k->samples,
           k->longest, k->heads, k->d, k->backward ? "backward" : "forward");
  return text;
}

static void entry_free(entry *e) {
  cudnn_graph_free(&e->graph);
  free(e);
}

static void library_free(void *sdpa) {
  library *l = sdpa;
  for (entry *e = l->entries, *next; e; e = next) {
    next = e->next;
    entry_free(e);
  }
  cudnn_handle_free(l->handle);
  free(l);
}

static int library_of(library **out, fsam_device *device) {
  library *l = device->sdpa;
  if (!l) {
    FSAM_TRY(cudnn_open());
    l = calloc(1, sizeof *l);
    if (!l) return fsam__fail(FSAM_ENOMEM, "attention: no memory for cuDNN's plans");
    const int rc = cudnn_handle_new(&l->handle, (cudaStream_t)device->stream);
    if (rc < 0) {
      free(l);
      return rc;
    }
    device->sdpa = l;
    device->sdpa_free = library_free;
  }
  *out = l;
  return FSAM_OK;
}

static int entry_new(library *l, const fsam_sdpa_kind *kind) {
  const cudnn_target target = {.handle = l->handle};
  char text[128];
  entry *e = calloc(1, sizeof *e);
  if (!e) return fsam__fail(FSAM_ENOMEM, "attention: no memory for another plan of cuDNN's");
  e->kind = *kind;
  sdpa_graph_build(&e->graph, kind);
  const int rc = cudnn_plan_make(&e->graph, &target, text_of(text, kind));
  if (rc < 0) {
    entry_free(e);
    return rc;
  }
  e->next = l->entries;
  l->entries = e;
  return FSAM_OK;
}

static int entry_of(entry **out, library *l, const fsam_sdpa_kind *kind) {
  entry *e = l->entries;
  while (e && memcmp(&e->kind, kind, sizeof *kind) != 0) e = e->next;
  if (!e) {
    FSAM_TRY(entry_new(l, kind));
    e = l->entries;
  }
  *out = e;
  return FSAM_OK;
}

/* What the plan itself needs, a multiple of 256 bytes; then comes SDPA_DELTA. */
static size_t plan_bytes(const entry *e) { return (e->graph.workspace + 255) / 256 * 256; }

int fsam__sdpa_open(void) { return cudnn_open(); }

int fsam__sdpa_plan(size_t *bytes, fsam_device *device, const fsam_sdpa_kind *kind) {
  library *l = NULL;
  entry *e = NULL;
  FSAM_TRY(library_of(&l, device));
  FSAM_TRY(entry_of(&e, l, kind));
  const size_t rows = (size_t)kind->samples * (size_t)kind->heads * (size_t)kind->longest;
  *bytes = plan_bytes(e) + (kind->backward ? rows * sizeof(float) : 0);
  return FSAM_OK;
}

int fsam__sdpa_run(fsam_device *device, const fsam_sdpa *a, void *workspace) {
  library *l = NULL;
  entry *e = NULL;
  FSAM_TRY(library_of(&l, device));
  FSAM_TRY(entry_of(&e, l, &a->kind));
  const size_t third = 2 * (size_t)a->kind.heads * (size_t)a->kind.d; /* bytes */
  float scale = (float)(1 / sqrt((double)a->kind.d)), hidden = -INFINITY, one = 1;
  char *qkv = (char *)(uintptr_t)a->qkv, *dqkv = a->dqkv;
  const struct {
    int64_t name;
    const void *address;
  } all[] = {
      {SDPA_Q, qkv},
      {SDPA_K, qkv + third},
      {SDPA_V, qkv + 2 * third},
      {SDPA_OUT, a->out},
      {SDPA_LSE, a->lse},
      {SDPA_LENGTHS, a->lengths},
      {SDPA_QKV_STARTS, a->qkv_starts},
      {SDPA_OUT_STARTS, a->out_starts},
      {SDPA_LSE_STARTS, a->lse_starts},
      {SDPA_SCALE, &scale},
      {SDPA_HIDDEN, &hidden},
      /* backward */
      {SDPA_DOUT, a->dout},
      {SDPA_DQ, dqkv},
      {SDPA_DK, dqkv + third},
      {SDPA_DV, dqkv + 2 * third},
      {SDPA_ONE, &one},
      {SDPA_DELTA, (char *)workspace + plan_bytes(e)},
  };
  enum { ALL = sizeof all / sizeof *all };
  const int count = a->kind.backward ? ALL : SDPA_HIDDEN;
  int64_t names[ALL];
  void *addresses[ALL];
  for (int i = 0; i < count; i++) {
    names[i] = all[i].name;
    addresses[i] = (void *)(uintptr_t)all[i].address;
  }
  char text[128];
  return cudnn_plan_run(&e->graph, l->handle, names, addresses, count, workspace,
                        text_of(text, &a->kind));
}

#else

static int absent(void) {
  return fsam__fail(FSAM_ENODEV,
                    "attention: FSAM_ATTENTION=cudnn, but the CUDA half was built without cuDNN's "
                    "headers (cudnn_graph.h); install them and build it again, or unset "
                    "FSAM_ATTENTION");
}

int fsam__sdpa_open(void) { return absent(); }

int fsam__sdpa_plan(size_t *bytes, fsam_device *device, const fsam_sdpa_kind *kind) {
  (void)bytes, (void)device, (void)kind;
  return absent();
}

int fsam__sdpa_run(fsam_device *device, const fsam_sdpa *a, void *workspace) {
  (void)device, (void)a, (void)workspace;
  return absent();
}

#endif
