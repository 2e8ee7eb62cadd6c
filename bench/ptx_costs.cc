// ptx_costs: what kernels ask of a GPU, counted where there is none. They run as nvcc compiled them on the machine for PTX; their
// instructions, passes through shared memory and products of tensor cores are set against the time in which an H100's memory moves the
// bytes that must move. All of it is calculated: what waits for what is not in it, so a kernel may be slower, and hardly faster.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>
#include <span>
#include <string>

#include "bench/cuda_runner.h"
#include "tests/kernels/ptx/profile.h"

namespace drover::bench {
namespace {

// An H100 SXM.
constexpr double kMultiprocessors = 132, kClock = 1.755e9, kBytesPerSecond = 3.0e12;
constexpr double kIssues = 4, kPasses = 1, kLoadedSectors = 4, kProducts = 0.62;  // of a multiprocessor in a cycle

std::string_view NameIn(std::string_view line) {
  if (const size_t guard = line.find('@'); guard != std::string_view::npos) line.remove_prefix(line.find_first_of(" \t", guard));
  line.remove_prefix(std::min(line.find_first_not_of(" \t{"), line.size()));
  return line.substr(0, line.find_first_of(" \t;"));
}

// Issues that an instruction of PTX costs, roughly: 64-bit arithmetic is done in halves, conversions of numbers come at half rate, one
// instruction does the logic of two.
double IssuesOf(std::string_view name) {
  const auto is = [&](std::string_view begin) { return name.starts_with(begin); };
  if (is("mov.") || is("cvta.") || is("ld.param")) return 0;
  if (is("cvt.rn.f32.") || is("cvt.rzi.")) return 2;
  if (is("div.")) return 20;
  if (is("and.b32") || is("or.b32") || is("not.b32") || is("xor.b32")) return 0.5;
  const bool wide = name.ends_with("64");
  if (wide && is("mul.lo")) return 4;
  return wide && !is("ld.") && !is("st.") && !is("cvt.") ? 2 : 1;
}

struct Cycles {  // of one multiprocessor, all work of a call spread over all
  double issue = 0, shared = 0, loads = 0, tensor = 0;
};
Cycles CyclesOf(const std::vector<ptx::KernelCost>& kernels, double calls) {
  Cycles cycles;
  for (const ptx::KernelCost& kernel : kernels)
    for (size_t i = 0; i < kernel.costs.size(); ++i) {
      const ptx::Cost& cost = kernel.costs[i];
      cycles.issue += static_cast<double>(cost.runs) * IssuesOf(NameIn(kernel.lines[i])) / kIssues;
      cycles.shared += static_cast<double>(cost.passes) / kPasses;
      cycles.loads += static_cast<double>(cost.sectors) / kLoadedSectors;
      if (kernel.lines[i].find("mma.sync") != std::string::npos) cycles.tensor += static_cast<double>(cost.runs) / kProducts;
    }
  for (double* each : {&cycles.issue, &cycles.shared, &cycles.loads, &cycles.tensor}) *each /= kMultiprocessors * calls;
  return cycles;
}

// Which instructions are issued most, as shares of the memory's time.
void TellInstructions(const std::vector<ptx::KernelCost>& kernels, double calls, double floor) {
  std::map<std::string, double, std::less<>> issues;
  for (const ptx::KernelCost& kernel : kernels)
    for (size_t i = 0; i < kernel.costs.size(); ++i) {
      const std::string_view name = NameIn(kernel.lines[i]);
      issues[std::string(name)] += static_cast<double>(kernel.costs[i].runs) * IssuesOf(name) / (kIssues * kMultiprocessors * calls * floor);
    }
  std::vector<std::pair<double, std::string>> sorted;
  for (const auto& [name, share] : issues) sorted.emplace_back(share, name);
  std::ranges::sort(sorted, std::greater<>());
  for (size_t i = 0; i < std::min<size_t>(24, sorted.size()); ++i) std::printf("  %6.3f %s\n", sorted[i].first, sorted[i].second.c_str());
}

absl::Status Tell(const Cases& cases, double times, bool instructions) {
  ptx::TakeCosts();
  DROVER_ASSIGN_OR_RETURN(const Found found, RunOnCuda(cases, 0));
  const std::vector<ptx::KernelCost> kernels = ptx::TakeCosts();
  constexpr size_t kLimits = 2;
  const Entry& entry = found.entries.at(kLimits);
  const double calls = static_cast<double>(entry.timing.runs + 2) * times;  // with those to warm up and to see how long one takes
  const Cycles cycles = CyclesOf(kernels, calls);
  const double floor = entry.work.bytes / kBytesPerSecond * kClock;
  std::printf("%-58s %8.2f MB %7.0f us/1000  issue %5.2f  shared %5.2f  loads %5.2f  tensor %5.2f\n", entry.what.c_str(), entry.work.bytes * 1e-6,
              floor / kClock * 1e9, cycles.issue / floor, cycles.shared / floor, cycles.loads / floor, cycles.tensor / floor);
  if (instructions) TellInstructions(kernels, calls, floor);
  std::fflush(stdout);
  return absl::OkStatus();
}

Cases Alone() { return {.copy_bytes = 256, .peak = {{"bf16", DType::kBF16}, 1, 8, 1}, .least_bytes = 0, .seconds = 0, .flashinfer = false}; }

// The cases whose names have `only`, each by itself; a measured run is `times` calls.
template <class Case>
absl::Status TellEach(const std::vector<Case>& all, std::vector<Case> Cases::*kind, double times, std::string_view only, bool instructions) {
  for (const Case& one : all) {
    Cases cases = Alone();
    (cases.*kind).push_back(one);
    if (one.Name().find(only) != std::string::npos) DROVER_RETURN_IF_ERROR(Tell(cases, times, instructions));
  }
  return absl::OkStatus();
}

absl::Status TellAll(std::string_view only, bool instructions) {
  const Cases all = PtxCases();
  DROVER_RETURN_IF_ERROR(TellEach(all.linear, &Cases::linear, 2, only, instructions));
  DROVER_RETURN_IF_ERROR(TellEach(all.attend, &Cases::attend, 2, only, instructions));
  return TellEach(all.experts, &Cases::experts, 8, only, instructions);
}

}  // namespace
}  // namespace drover::bench

namespace {

constexpr std::string_view kUsage =
    "usage: ptx_costs [NAME] [--instructions]\n"
    "  NAME            only cases whose name has it, such as \"linear int4\" or \"decode attention\"\n"
    "  --instructions  of each case the instructions that are issued most\n"
    "Each number is a share of the time in which an H100's memory moves the bytes that must move; counted, not measured.\n";

}  // namespace

int main(int argc, char** argv) {
  std::string_view only;
  bool instructions = false;
  for (const std::string_view argument : std::span(argv + 1, argv + argc)) {
    if (argument == "--help" || argument == "-h") return std::cout << kUsage, 0;
    if (argument.starts_with("--") && argument != "--instructions") return std::cerr << "ptx_costs: " << argument << " is not known\n" << kUsage, 2;
    if (argument == "--instructions") instructions = true;
    else only = argument;
  }
  ptx::CountCosts();
  const absl::Status status = drover::bench::TellAll(only, instructions);
  if (!status.ok()) std::cerr << "ptx_costs: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
