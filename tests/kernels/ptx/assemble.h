// From the text of a kernel to a program of the machine.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "tests/kernels/ptx/program.h"
#include "tests/kernels/ptx/text.h"

namespace ptx {

// Where a module's variables are: the address of a global one, 0 where there is none of that name.
using FindGlobal = std::function<uint64_t(std::string_view name)>;

std::shared_ptr<const Program> Assemble(const KernelText& kernel, std::span<const Variable> shared, const FindGlobal& global);

}  // namespace ptx
