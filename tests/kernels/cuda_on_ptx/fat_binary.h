// The PTX that nvcc leaves in a program's "fat binaries". Their layout is not documented: it is as CUDA 13 writes it.
#pragma once

#include <string_view>

namespace cuda_on_ptx {

// Of what a program registers. Ends the process where that is laid out otherwise, has no PTX or more than one, or has it compressed.
std::string_view PtxOf(const void* registered);

}  // namespace cuda_on_ptx
