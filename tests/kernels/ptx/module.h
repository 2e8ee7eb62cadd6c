// Variables of modules, which kernels reach by their addresses.
#pragma once

#include "tests/kernels/ptx/machine.h"

namespace ptx {

// Of all modules that are loaded; empty where there is none.
Piece VariableAt(uintptr_t address);

}  // namespace ptx
