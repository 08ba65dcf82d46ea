# Targets for developers: check, docs, bench, lint. Included by CMakeLists.txt.
find_program(BUSTED busted)
find_program(LDOC ldoc)
if(BUSTED)
  add_custom_target(check DEPENDS fsam-lua WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} USES_TERMINAL
    COMMAND ${CMAKE_COMMAND} -E env FSAM_BUILD=${CMAKE_BINARY_DIR}
            $<TARGET_FILE:fsam-lua> ${BUSTED} --ignore-lua)
endif()
if(LDOC)
  add_custom_target(docs WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    COMMAND ${LDOC} --dir ${CMAKE_BINARY_DIR}/docs --project fsam-lua lua/fsam)
endif()
# bench/vector.lua measures against this library: built for this very machine, never installed.
add_library(fsam_bench_peer SHARED EXCLUDE_FROM_ALL bench/vector_peer.c)
target_compile_options(fsam_bench_peer PRIVATE -O3 -march=native -ffp-contract=off -fno-math-errno
  -fno-trapping-math -fvisibility=default)
target_link_libraries(fsam_bench_peer PRIVATE OpenMP::OpenMP_C m)
add_custom_target(bench DEPENDS fsam-lua fsam_bench_peer WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
  USES_TERMINAL
  COMMAND fsam-lua bench/vector.lua $<TARGET_FILE:fsam_bench_peer>)
add_custom_target(lint COMMAND ${CMAKE_SOURCE_DIR}/scripts/lint USES_TERMINAL)
