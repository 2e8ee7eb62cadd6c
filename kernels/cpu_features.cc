// Which instruction sets this build and this machine have; the factory of kernel tables.
#include "common/check.h"
#include "kernels/cpu/kernel_table.h"

namespace drover {
namespace {

struct IsaRow {
  Isa isa;
  std::string_view name;
  const KernelTable& (*kernels)();
};

#ifdef DROVER_X86
constexpr IsaRow kRows[] = {
    {Isa::kBaseline, "baseline", BaselineKernels}, {Isa::kAvx2, "avx2", Avx2Kernels}, {Isa::kAvx512, "avx512", Avx512Kernels}};

bool CpuHas(Isa isa) {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return isa == Isa::kBaseline || (isa == Isa::kAvx2 && avx2) || (isa == Isa::kAvx512 && avx512);
}
#else
constexpr IsaRow kRows[] = {{Isa::kBaseline, "baseline", BaselineKernels}};
bool CpuHas(Isa isa) { return isa == Isa::kBaseline; }
#endif

const IsaRow* RowOf(Isa isa) {
  for (const IsaRow& row : kRows)
    if (row.isa == isa) return &row;
  return nullptr;
}

}  // namespace

bool Supports(Isa isa) { return RowOf(isa) != nullptr && CpuHas(isa); }

Isa BestIsa() {
  Isa best = Isa::kBaseline;
  for (const IsaRow& row : kRows)
    if (CpuHas(row.isa)) best = row.isa;
  return best;
}

absl::StatusOr<Isa> IsaFromName(std::string_view name) {
  for (const IsaRow& row : kRows) {
    if (row.name != name) continue;
    if (CpuHas(row.isa)) return row.isa;
    return FailedPrecondition("isa: found ", name, ", but this machine has only ", Name(BestIsa()), " and below");
  }
  return InvalidArgument("isa: found ", name, ", expected baseline, avx2 or avx512");
}

std::string_view Name(Isa isa) {
  const IsaRow* row = RowOf(isa);
  return row == nullptr ? "absent" : row->name;
}

const KernelTable& KernelsOf(Isa isa) {
  DROVER_CHECK(Supports(isa));
  return RowOf(isa)->kernels();
}

}  // namespace drover
