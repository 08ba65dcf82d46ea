/* memory.cpp: the fake GPU's memory and the host's pinned memory. New memory holds poison. Freed
 * memory can be neither read nor written any more: work that was queued and not waited for touches
 * nothing, and says so. */
#include "spec/simt/runtime.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <map>

namespace {

enum { PAGE = 4096, KEPT = 4096 /* freed pieces whose addresses are not used again */ };
const size_t TOTAL = 512 << 20; /* bytes of the fake GPU */
const uint16_t POISON = 0xfff9; /* NaN as f32, bf16 and f64; as an index, far below 0 */

struct piece {
  size_t bytes;
  bool pinned, freed;
};
std::map<uintptr_t, piece> pieces; /* by their first byte */
std::deque<uintptr_t> freed;
size_t taken, pinned; /* bytes */

/* Mappings and what they hold are whole pages. */
size_t room_of(size_t bytes) { return (bytes / PAGE + 1) * PAGE; }

std::map<uintptr_t, piece>::iterator around(const void *p) {
  auto found = pieces.upper_bound((uintptr_t)p);
  if (found == pieces.begin()) return pieces.end();
  --found;
  return (uintptr_t)p < found->first + room_of(found->second.bytes) ? found : pieces.end();
}

void *map(size_t bytes, bool pinned) {
  void *p = mmap(NULL, room_of(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  pieces[(uintptr_t)p] = {bytes, pinned, false};
  return p;
}

void unmap(uintptr_t p) {
  piece &of = pieces[p];
  of.freed = true;
  mmap((void *)p, room_of(of.bytes), PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  freed.push_back(p);
  if (freed.size() <= KEPT) return;
  munmap((void *)freed.front(), room_of(pieces[freed.front()].bytes));
  pieces.erase(freed.front());
  freed.pop_front();
}

cudaError_t put_copy(void *to, const void *from, size_t bytes, cudaStream_t stream) {
  return simt_queue(stream, [=]() -> int {
    if (!simt_is_alive(to, bytes) || !simt_is_alive(from, bytes))
      return fsam__fail(FSAM_EINTERNAL, "a copy of %zu bytes touches memory that was freed", bytes);
    memcpy(to, from, bytes);
    return FSAM_OK;
  });
}

}  // namespace

bool simt_is_alive(const void *p, size_t bytes) {
  const auto found = around(p);
  return found == pieces.end() ||
         (!found->second.freed && (uintptr_t)p + bytes <= found->first + found->second.bytes);
}

bool simt_is_known(const void *p) { return around(p) != pieces.end(); }

void simt_poison(void *p, size_t bytes) {
  for (size_t i = 0; i < bytes / 2; i++) ((uint16_t *)p)[i] = POISON;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total) {
  *left = TOTAL - taken;
  *total = TOTAL;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void **out, size_t bytes) {
  if (simt_refuses("cudaMalloc")) return cudaErrorStreamCapture;
  if (bytes > TOTAL - taken) return cudaErrorMemoryAllocation;
  *out = map(bytes, false);
  if (!*out) return cudaErrorMemoryAllocation;
  simt_poison(*out, room_of(bytes));
  taken += bytes;
  return cudaSuccess;
}

/* Bytes of the fake GPU that are taken. */
extern "C" __attribute__((visibility("default"))) int64_t fsam_simt_taken() {
  return (int64_t)taken;
}

/* Bytes of the host's memory that are pinned. */
extern "C" __attribute__((visibility("default"))) int64_t fsam_simt_pinned() {
  return (int64_t)pinned;
}

/* It waits for nothing: CUDA's only may. */
cudaError_t cudaFree(void *p) {
  if (simt_refuses("cudaFree")) return cudaErrorStreamCapture;
  if (!p) return cudaSuccess;
  taken -= pieces[(uintptr_t)p].bytes;
  unmap((uintptr_t)p);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned) {
  if (simt_refuses("cudaHostAlloc")) return cudaErrorStreamCapture;
  *out = map(bytes, true);
  if (*out) pinned += bytes;
  return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void *p) {
  if (simt_refuses("cudaFreeHost")) return cudaErrorStreamCapture;
  if (!p) return cudaSuccess;
  pinned -= pieces[(uintptr_t)p].bytes;
  unmap((uintptr_t)p);
  return cudaSuccess;
}

cudaError_t cudaHostGetDevicePointer(void **out, void *p, unsigned) {
  *out = p;
  return cudaSuccess;
}

/* From pageable memory a copy is done at once, as far as the host's side goes, and cannot be
 * recorded. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  if (stream->capture && (!simt_is_known(to) || !simt_is_known(from)))
    return simt_break(stream, "a copy of pageable memory cannot be captured");
  return put_copy(to, from, bytes, stream);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream) {
  return simt_queue(stream, [=]() -> int {
    if (!simt_is_alive(p, bytes))
      return fsam__fail(FSAM_EINTERNAL, "filling %zu bytes touches memory that was freed", bytes);
    memset(p, value, bytes);
    return FSAM_OK;
  });
}
