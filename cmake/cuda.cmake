# The CUDA half, and the headers that NVRTC needs at run time. Included by CMakeLists.txt.

# The headers of vector programs' generated source, as strings for NVRTC.
set(FSAM_PROGRAM_HEADERS kernels/cuda/machine.cuh kernels/vector/arguments.h
  kernels/vector/generated.cuh kernels/vector/vector_math.cuh engine/philox.h engine/program.def)
set(FSAM_PROGRAM_TEXTS ${CMAKE_BINARY_DIR}/cuda/program_texts.h)
add_custom_command(OUTPUT ${FSAM_PROGRAM_TEXTS} DEPENDS ${FSAM_PROGRAM_HEADERS} cmake/embed.cmake
  COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_SOURCE_DIR} "-DFILES=${FSAM_PROGRAM_HEADERS}"
          -DOUT=${FSAM_PROGRAM_TEXTS} -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
add_custom_target(program-texts DEPENDS ${FSAM_PROGRAM_TEXTS}) # for targets with nvrtc_cuda.c
set_source_files_properties(kernels/vendor/nvrtc_cuda.c PROPERTIES
  OBJECT_DEPENDS ${FSAM_PROGRAM_TEXTS} INCLUDE_DIRECTORIES ${CMAKE_BINARY_DIR}/cuda)

# The CUDA half: libfsam-cuda.so, which libfsam.so opens when a script asks for a GPU. Compiling it
# takes longer than all else, so that a plain build makes it only with FSAM_CUDA=ON; with AUTO it is
# the target fsam-cuda. It has code for FSAM_CUDA_ARCHS, and PTX for later GPUs. CUDA's runtime is
# linked in; the driver is opened at the first use.
file(GLOB FSAM_CUDA_SOURCES CONFIGURE_DEPENDS kernels/*.cu kernels/*/*.cu)
file(GLOB FSAM_CUDA_ENGINE CONFIGURE_DEPENDS engine/cuda/*.cu engine/ranks/*.cu)
file(GLOB FSAM_CUDA_HOST_SOURCES CONFIGURE_DEPENDS kernels/*/*_cuda.c)
file(GLOB FSAM_CUDA_HEADERS CONFIGURE_DEPENDS kernels/*.def kernels/*/*.cuh kernels/*/*.h
  engine/*.h engine/*.def engine/cuda/*.cuh engine/ranks/*.h)
if(NOT FSAM_CUDA STREQUAL OFF)
  find_program(NVCC nvcc PATHS /usr/local/cuda/bin)
  if(NVCC)
    get_filename_component(cuda ${NVCC} REALPATH)
    get_filename_component(cuda ${cuda}/../.. ABSOLUTE)
    file(GLOB cuda_libraries ${cuda}/lib64 ${cuda}/targets/*/lib)
    find_path(CUDA_INCLUDE cublasLt.h HINTS ${cuda}/include)
    find_library(CUDART_LIBRARY cudart_static HINTS ${cuda_libraries})
    find_library(CUBLASLT_LIBRARY cublasLt HINTS ${cuda_libraries})
  endif()
  if(NVCC AND CUDA_INCLUDE AND CUDART_LIBRARY AND CUBLASLT_LIBRARY)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cuda/keep) # the machine code, for scripts/ptx-report
    set(code)
    foreach(arch IN LISTS FSAM_CUDA_ARCHS)
      list(APPEND code -gencode arch=compute_${arch},code=sm_${arch})
    endforeach()
    list(GET FSAM_CUDA_ARCHS -1 newest)
    list(APPEND code -gencode arch=compute_${newest},code=compute_${newest})
    if(FSAM_WERROR) # nvcc hands this to the compiler of the host, whose warnings differ
      list(APPEND code -Werror all-warnings)
    endif()
    foreach(source IN LISTS FSAM_CUDA_SOURCES FSAM_CUDA_ENGINE)
      get_filename_component(name ${source} NAME_WE)
      set(object ${CMAKE_BINARY_DIR}/cuda/${name}.o)
      add_custom_command(OUTPUT ${object}
        DEPENDS ${source} ${FSAM_CUDA_HEADERS} ${FSAM_PUBLIC_KERNELS}
        COMMAND sh -c "log=$1; shift; \"$@\" >$log 2>&1 || { cat $log; exit 1; }" sh ${object}.log
                ${NVCC} -std=c++17 -O3 -I${CMAKE_SOURCE_DIR} -I${FSAM_GENERATED}
                -c -o ${object} ${source}
                -DFSAM_VERSION=\"${PROJECT_VERSION}\" --resource-usage
                --keep --keep-dir ${CMAKE_BINARY_DIR}/cuda/keep
                -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra,-fno-exceptions
                ${code} VERBATIM)
      list(APPEND FSAM_CUDA_OBJECTS ${object})
    endforeach()
    add_custom_target(cuda-kernels DEPENDS ${FSAM_CUDA_OBJECTS})
    set(all EXCLUDE_FROM_ALL)
    if(FSAM_CUDA STREQUAL ON)
      set(all)
    endif()
    add_library(fsam-cuda SHARED ${all} ${FSAM_CUDA_HOST_SOURCES} ${FSAM_CUDA_OBJECTS})
    add_dependencies(fsam-cuda cuda-kernels program-texts fsam_generated)
    set_source_files_properties(${FSAM_CUDA_OBJECTS} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    set_target_properties(fsam-cuda PROPERTIES LINKER_LANGUAGE C BUILD_RPATH "$ORIGIN"
      INSTALL_RPATH_USE_LINK_PATH TRUE
      INSTALL_RPATH "$ORIGIN")
    target_include_directories(fsam-cuda SYSTEM PRIVATE ${CUDA_INCLUDE})
    target_link_options(fsam-cuda PRIVATE -Wl,--no-undefined)
    target_link_libraries(fsam-cuda PRIVATE fsam fsam_options ${CUDART_LIBRARY}
      ${CUBLASLT_LIBRARY} stdc++ rt pthread ${CMAKE_DL_LIBS})
    install(TARGETS fsam-cuda LIBRARY DESTINATION lib OPTIONAL)
  elseif(FSAM_CUDA STREQUAL ON)
    message(FATAL_ERROR "FSAM_CUDA=ON: nvcc, CUDA's static runtime or cuBLASLt was not found; put "
      "the toolkit's nvcc on the PATH, or leave AUTO or OFF")
  endif()
endif()
