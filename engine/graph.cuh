/* graph.cuh: what device.cu gives its device for recording (graph.cu). */
#ifndef FSAM_GRAPH_CUH
#define FSAM_GRAPH_CUH

#include "engine.h"

extern const fsam_recorder fsam__cuda_recorder;

#endif
