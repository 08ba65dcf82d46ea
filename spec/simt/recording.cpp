/* recording.cpp: recorded work (fsam_recorder) on the shim: a list of what was to be done. Memory
 * cannot be had while it is made, as on a GPU. */
#include "spec/simt/simt.h"

#include <vector>

namespace {

struct piece_of_work {
  std::function<int()> work;
  int part; /* -1: always done */
};

struct recording {
  std::vector<piece_of_work> list;
  int part = -1;
};

int begin(fsam_device *, void **out) {
  *out = new recording;
  return FSAM_OK;
}

int part_begin(fsam_device *, void *r, int part) {
  ((recording *)r)->part = part;
  return FSAM_OK;
}

int part_end(fsam_device *, void *r) {
  ((recording *)r)->part = -1;
  return FSAM_OK;
}

void free_recording(fsam_device *, void *r) { delete (recording *)r; }

int end(fsam_device *device, void *r, void **recorded) {
  if (recorded)
    *recorded = r;
  else
    free_recording(device, r);
  return FSAM_OK;
}

int run(fsam_device *, void *recorded, const uint8_t *left_out) {
  for (const piece_of_work &p : ((recording *)recorded)->list)
    if (p.part < 0 || !left_out || !left_out[p.part]) FSAM_TRY(p.work());
  return FSAM_OK;
}

}  // namespace

const fsam_recorder simt_recorder = {begin, part_begin, part_end, end, run, free_recording};

int simt_do(const fsam_device *device, const std::function<int()> &work) {
  recording *r = (recording *)device->recording;
  if (!r) return work();
  r->list.push_back({work, r->part});
  return FSAM_OK;
}
