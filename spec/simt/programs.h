/* programs.h: what program_replay.cpp uses of the rest of the shim to run generated kernels. */
#ifndef FSAM_SIMT_PROGRAMS_H
#define FSAM_SIMT_PROGRAMS_H

/* Opens a library with the kernels of these sources (module.cpp). */
int simt_programs_add(const char *path, const char *const *sources, int count);

/* Opens a device "simt"; sets the order of its threads (simt.cpp). */
#pragma GCC visibility push(default)
extern "C" {
int fsam_simt_open(fsam_device **out);
void fsam_simt_order(int descending);
}
#pragma GCC visibility pop

#endif
