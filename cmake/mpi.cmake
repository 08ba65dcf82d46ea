# libfsam-mpi.so: training in several processes. Included by CMakeLists.txt. libfsam.so opens it
# when a launcher has started more than one, so that the rest runs without MPI.
set(FSAM_MPI AUTO CACHE STRING "several processes: ON, AUTO (where MPI is found), OFF")
if(NOT FSAM_MPI STREQUAL OFF)
  find_package(MPI COMPONENTS C QUIET)
  if(MPI_C_FOUND)
    add_library(fsam-mpi SHARED engine/ranks/mpi.c)
    target_include_directories(fsam-mpi SYSTEM PRIVATE ${MPI_C_INCLUDE_DIRS})
    target_link_libraries(fsam-mpi PRIVATE fsam fsam_options ${MPI_C_LIBRARIES})
    set_target_properties(fsam-mpi PROPERTIES BUILD_RPATH "$ORIGIN"
      INSTALL_RPATH_USE_LINK_PATH TRUE INSTALL_RPATH "$ORIGIN")
    install(TARGETS fsam-mpi LIBRARY DESTINATION lib)
  elseif(FSAM_MPI STREQUAL ON)
    message(FATAL_ERROR "FSAM_MPI=ON: no MPI was found; install libopenmpi-dev, or leave AUTO")
  endif()
endif()
