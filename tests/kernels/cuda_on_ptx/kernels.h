// Kernels of the program: nvcc's host code registers them before main, by the address that it has for each.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "tests/kernels/ptx/machine.h"

namespace cuda_on_ptx {
struct Binary;
}

struct CUkern_st {  // what cudaKernel_t points to
  cuda_on_ptx::Binary* binary = nullptr;
  const void* function = nullptr;
  std::string name;
  // Loads the PTX where that has not happened. Safe to call from several threads at once.
  const ptx::Kernel& Code() const;
};

namespace cuda_on_ptx {

// nullptr: the address is of no kernel.
const CUkern_st* Find(const void* function);

}  // namespace cuda_on_ptx
