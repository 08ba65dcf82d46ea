/* graph.cpp: graphs (fsam_recorder) on the shim: a list of what was to be done. Memory cannot
 * be had while it is made, as on a GPU. */
#include "spec/simt/simt.h"

#include <vector>

namespace {

typedef std::vector<std::function<int()>> recording;

int begin(fsam_device *, void **out) {
  *out = new recording;
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

int run(fsam_device *, void *recorded) {
  for (const std::function<int()> &work : *(recording *)recorded) FSAM_TRY(work());
  return FSAM_OK;
}

}  // namespace

const fsam_recorder simt_recorder = {begin, end, run, free_recording};

int simt_do(const fsam_device *device, const std::function<int()> &work) {
  recording *r = (recording *)device->recording;
  if (!r) return work();
  r->push_back(work);
  return FSAM_OK;
}
