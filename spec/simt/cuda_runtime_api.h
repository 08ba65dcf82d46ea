/* cuda_runtime_api.h: the C half of CUDA's runtime: all of it is in cuda_runtime.h. */
#include "spec/simt/cuda_runtime.h"
