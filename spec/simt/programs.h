/* programs.h: recorded vector programs (program_replay.cpp) and the libraries that their generated
 * kernels are built into (module.cpp). */
#ifndef FSAM_SIMT_PROGRAMS_H
#define FSAM_SIMT_PROGRAMS_H

/* Opens a library with the kernels of these sources. */
int simt_programs_add(const char *path, const char *const *sources, int count);

/* A device on the shim (simt.cpp). */
#pragma GCC visibility push(default)
extern "C" {
int fsam_simt_open(fsam_device **out);
void fsam_simt_order(int descending);
}
#pragma GCC visibility pop

#endif
