# The CUDA sources as nvcc compiles them for a GPU, but to PTX alone, which a machine in C++ runs: without a GPU, and slowly.

# drover_on_ptx(NAME [SOURCES more.cc] DEPS ...)  -> target drover_NAME_on_ptx: the sources of drover_NAME, whose DEPS are given anew.
function(drover_on_ptx name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  get_target_property(folder drover_${name} SOURCE_DIR)
  get_target_property(sources drover_${name} SOURCES)
  foreach(source ${sources})
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${folder} OUTPUT_VARIABLE file)
    get_source_file_property(options ${file} DIRECTORY ${folder} COMPILE_OPTIONS)
    if(options)  # they are known in the source's own folder only
      set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${options}")
    endif()
    list(APPEND ARG_SOURCES ${file})
  endforeach()
  drover_library(${name}_on_ptx SOURCES ${ARG_SOURCES} DEPS drover_cuda_on_ptx ${ARG_DEPS})
  set_target_properties(drover_${name}_on_ptx PROPERTIES CUDA_ARCHITECTURES 90a-virtual)
  string(REPLACE "--compress-mode=size" "--compress-mode=none" flags "${CMAKE_CUDA_FLAGS}")  # the PTX is read from the objects
  set(CMAKE_CUDA_FLAGS "${flags}" PARENT_SCOPE)
endfunction()

# As drover_test, without CUDA's runtime, which CMake would link.
function(drover_ptx_test name)
  set(CMAKE_CUDA_RUNTIME_LIBRARY None)
  drover_test(${name} ${ARGN})
endfunction()

# CUDA's runtime and cuBLASLt, to link with instead.
set(matmul "")
if(DROVER_HAS_CUBLASLT)
  set(matmul cuda_on_host/cublas_lt.cc)
endif()
drover_library(cuda_on_ptx
  SOURCES cuda_on_host/streams.cc cuda_on_host/memory.cc cuda_on_host/faults.cc cuda_on_host/device.cc ${matmul}
          cuda_on_ptx/fat_binary.cc cuda_on_ptx/kernels.cc cuda_on_ptx/launch.cc
  DEPS drover_ptx drover_common Threads::Threads)
target_include_directories(drover_cuda_on_ptx SYSTEM PUBLIC ${CUDAToolkit_INCLUDE_DIRS})

set(attention "")
if(DROVER_HAS_FLASHINFER)
  drover_on_ptx(flashinfer DEPS drover_kernels)
  target_link_libraries(drover_flashinfer_on_ptx PRIVATE FlashInfer::headers)
  set(attention drover_flashinfer_on_ptx)
endif()
drover_on_ptx(kernels_cuda DEPS drover_kernels ${attention})

drover_ptx_test(cuda_on_ptx_test SOURCES ${parity_tests} ${cuda_tests} DEPS drover_kernels_cuda_on_ptx TIMEOUT 300)
set_tests_properties(cuda_on_ptx_test PROPERTIES ENVIRONMENT "GTEST_FILTER=*/cuda*;GTEST_RANDOM_SEED=1")

# What the kernels ask of a GPU, counted. See bench/ptx_costs.cc.
function(drover_ptx_binary name)
  set(CMAKE_CUDA_RUNTIME_LIBRARY None)
  drover_binary(${name} ${ARGN})
endfunction()
drover_ptx_binary(ptx_costs SOURCES ${bench}/ptx_costs.cc ${bench}/cuda_runner.cc ${bench}/cases.cc ${bench}/report.cc DEPS drover_kernels_cuda_on_ptx)
