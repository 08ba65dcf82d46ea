/* select.cuh: exact top-k of keys that lie in memory (select.cu). Leaves to others: the program
 * that writes the keys (programs_cuda.c). */
#ifndef FSAM_SELECT_CUH
#define FSAM_SELECT_CUH

#include "engine/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* fsam_program_select (fsam.h), given the keys, f32[layout's total], and a copy of the layout's
 * blocks, of which this process may hold a share (then of the share's blocks, and keys and mask are
 * where element 0 would be): both in device memory other than the device's workspace, 16-byte
 * aligned. pool and k are host memory. Waits for the device. */
int select_keys_cuda(uint64_t *mask, const float *keys, const layout_block *blocks,
                     fsam_layout *layout, const uint8_t *pool, const int64_t *k, int per_parameter,
                     int outside);

#ifdef __cplusplus
}
#endif

#endif
