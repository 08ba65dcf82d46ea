# The shim: the CUDA kernels compiled for the CPU. The specs that run them build it
# (spec/simt/device.lua). Included by CMakeLists.txt.
include(CheckLanguage)
check_language(CXX)
if(CMAKE_CXX_COMPILER)
  enable_language(CXX)
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-ftrivial-auto-var-init=pattern FSAM_AUTO_VAR_INIT)
  set(FSAM_SIMT_SOURCES ${FSAM_CUDA_SOURCES} ${CMAKE_SOURCE_DIR}/spec/simt/broken.cu)
  list(REMOVE_ITEM FSAM_SIMT_SOURCES ${CMAKE_SOURCE_DIR}/kernels/vector/module.cu)
  set_source_files_properties(${FSAM_SIMT_SOURCES} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
  add_library(fsam-simt SHARED EXCLUDE_FROM_ALL spec/simt/simt.cpp spec/simt/cublaslt.cpp
    spec/simt/module.cpp spec/simt/program_replay.cpp spec/simt/graph.cpp
    spec/simt/cudnn_attention.cpp ${FSAM_SIMT_SOURCES} kernels/vector/programs_cuda.c
    kernels/vector/source_cuda.c kernels/vector/sweep_cuda.c
    kernels/vector/instruction_text_cuda.c kernels/vendor/nvrtc_cuda.c
    kernels/vendor/cubin_cache_cuda.c kernels/vendor/cublaslt_cuda.c
    kernels/vendor/tuning_cuda.c kernels/vendor/cudnn_choice_cuda.c)
  set_target_properties(fsam-simt PROPERTIES CXX_STANDARD 17 CXX_VISIBILITY_PRESET hidden)
  target_include_directories(fsam-simt PRIVATE spec/simt ${CMAKE_SOURCE_DIR} ${FSAM_GENERATED})
  target_compile_definitions(fsam-simt PRIVATE FSAM_SIMT=1 FSAM_VERSION="${PROJECT_VERSION}")
  # engine/cuda itself, on a runtime that puts all work off until the host waits (runtime.cpp).
  set_source_files_properties(${FSAM_CUDA_ENGINE} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
  target_sources(fsam-simt PRIVATE spec/simt/runtime.cpp spec/simt/memory.cpp spec/simt/ranks.cpp
    ${FSAM_CUDA_ENGINE})
  target_compile_options(fsam-simt PRIVATE -O2 -Wall -Wextra -Wno-unknown-pragmas
    -ffp-contract=off -fno-exceptions -fno-strict-aliasing
    -fsanitize=alignment -fsanitize-undefined-trap-on-error
    $<$<BOOL:${FSAM_AUTO_VAR_INIT}>:-ftrivial-auto-var-init=pattern>
    $<$<BOOL:${FSAM_WERROR}>:-Werror>)
  target_link_libraries(fsam-simt PRIVATE fsam ${CMAKE_DL_LIBS})
  add_dependencies(fsam-simt program-texts fsam_generated)
  # NCCL between processes of this machine, on the streams of that runtime (spec/simt/nccl.cpp).
  add_library(fsam-nccl SHARED EXCLUDE_FROM_ALL spec/simt/nccl.cpp)
  set_target_properties(fsam-nccl PROPERTIES CXX_STANDARD 17 OUTPUT_NAME nccl SOVERSION 2
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/nccl CXX_VISIBILITY_PRESET hidden)
  target_include_directories(fsam-nccl PRIVATE ${CMAKE_SOURCE_DIR} ${FSAM_GENERATED})
  target_compile_options(fsam-nccl PRIVATE -O2 -Wall -Wextra $<$<BOOL:${FSAM_WERROR}>:-Werror>)
  target_link_libraries(fsam-nccl PRIVATE fsam-simt rt)
endif()
