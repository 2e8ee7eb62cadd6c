# Tests of several processes: mpirun starts mpi_ranks in a mode; every rank prints PASSED or what was wrong.
drover_binary(mpi_ranks SOURCES mpi_ranks.cc comm_conformance.cc DEPS drover_test_group drover_comm_mpi)
set_target_properties(mpi_ranks PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_compile_definitions(mpi_ranks PRIVATE
  DROVER_SOURCE_DIR="${CMAKE_SOURCE_DIR}" DROVER_SHARED_DIR="${CMAKE_SOURCE_DIR}/../shared")
set(mpirun mpirun --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 --mca plm isolated
  --mca btl_vader_single_copy_mechanism none)
function(mpi_test mode ranks)
  set(name mpi_${mode}_${ranks})
  add_test(NAME ${name} COMMAND ${mpirun} -n ${ranks} $<TARGET_FILE:mpi_ranks> ${mode})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 LABELS "${ARGN}" PROCESSORS 2)
  if(DROVER_SANITIZE)  # Open MPI keeps some of its memory to the end; the same code is checked for leaks on thread ranks
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
  endif()
endfunction()
foreach(ranks 2 3 4)
  mpi_test(conformance ${ranks})
endforeach()
mpi_test(golden-ten 2)
mpi_test(golden-ten 4)
foreach(ranks 1 2 3 4)
  mpi_test(golden-all ${ranks} long)
endforeach()
# The ranks leave without finalising, as a worker with a dead peer must, so mpirun itself reports a failure.
mpi_test(missing-peer 3)
set_tests_properties(mpi_missing-peer_3 PROPERTIES
  PASS_REGULAR_EXPRESSION "missing-peer: rank 0 of 3: PASSED" FAIL_REGULAR_EXPRESSION "expected a deadline;came late;not dead")
