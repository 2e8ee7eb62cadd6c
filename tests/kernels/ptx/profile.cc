// Costs of launches: counted by instruction, written by kernel, the dearest accesses named.
#include "tests/kernels/ptx/profile.h"

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>

namespace ptx {
namespace {

constexpr uint64_t kSector = 32, kBank = 4, kBanks = 32;

// By name and length: inline kernels may be compiled twice.
using KernelCosts = std::map<std::pair<std::string, size_t>, KernelCost>;
std::mutex mutex;
KernelCosts& Kernels() {
  static auto* const kernels = new KernelCosts;
  return *kernels;
}
std::atomic<bool> counts = false;

std::string Demangled(const std::string& name) {
  char* const text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, nullptr);
  const std::string demangled = text == nullptr ? name : text;
  std::free(text);
  return demangled;
}

double Share(uint64_t part, uint64_t whole) { return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole); }
unsigned long long Print(uint64_t value) { return value; }

// The accesses that use the most sectors or passes beyond those they need.
void WriteDearest(std::FILE* file, const KernelCost& kernel) {
  std::vector<std::pair<uint64_t, size_t>> wasted;
  for (size_t i = 0; i < kernel.costs.size(); ++i) {
    const Cost& cost = kernel.costs[i];
    const uint64_t needed = (cost.bytes + kSector - 1) / kSector;
    const uint64_t waste = cost.sectors - std::min(needed, cost.sectors) + (cost.passes - cost.passes_min) * 4;
    if (waste > 0) wasted.emplace_back(waste, i);
  }
  std::ranges::sort(wasted, std::greater<>());
  for (size_t i = 0; i < std::min<size_t>(3, wasted.size()); ++i) {
    const Cost& cost = kernel.costs[wasted[i].second];
    std::fprintf(file, "    %8llu wasted: %llu x %s (sectors %llu for %llu bytes; passes %llu of %llu)\n", Print(wasted[i].first), Print(cost.runs),
                 kernel.lines[wasted[i].second].c_str(), Print(cost.sectors), Print(cost.bytes), Print(cost.passes), Print(cost.passes_min));
  }
}

void WriteProfile() {
  std::FILE* const file = std::fopen(std::getenv("PTX_PROFILE"), "w");
  if (file == nullptr) return;
  std::fprintf(file, "launches  warp instructions  lanes  sectors  bytes/sector  passes  of least  kernel\n");
  for (const KernelCost& kernel : TakeCosts()) {
    Cost sum;
    for (const Cost& cost : kernel.costs) AddTo(sum, cost);
    std::fprintf(file, "%8llu %18llu %6.1f %8llu %13.1f %7llu %9.2f  %s\n", Print(kernel.launches), Print(sum.runs), Share(sum.lanes, sum.runs),
                 Print(sum.sectors), Share(sum.bytes, sum.sectors), Print(sum.passes), Share(sum.passes, sum.passes_min), kernel.name.c_str());
    WriteDearest(file, kernel);
  }
  std::fclose(file);
}
const bool from_environment = [] {
  if (std::getenv("PTX_PROFILE") == nullptr) return false;
  std::atexit(WriteProfile);
  CountCosts();
  return true;
}();

// Lanes go through shared memory in groups that want at most 128 bytes; of a group each bank gives one word a pass.
void CountPasses(std::span<const Touch> touched, Cost& cost) {
  const size_t group = std::max<size_t>(1, kBank * kBanks / std::max(4u, touched.front().bytes));
  std::vector<uint64_t> words;
  for (size_t first = 0; first < touched.size(); first += group) {
    words.clear();
    for (const Touch& touch : touched.subspan(first, std::min(group, touched.size() - first)))
      for (uint64_t word = touch.address / kBank; word * kBank < touch.address + touch.bytes; ++word) words.push_back(word);
    std::ranges::sort(words);
    words.erase(std::ranges::unique(words).begin(), words.end());
    std::array<uint64_t, kBanks> passes{};
    for (const uint64_t word : words) ++passes[word % kBanks];
    cost.passes += std::ranges::max(passes);
    cost.passes_min += (words.size() + kBanks - 1) / kBanks;
  }
}

void CountSectors(std::vector<Touch>& touched, Cost& cost) {
  std::ranges::sort(touched, {}, &Touch::address);
  uint64_t bytes_to = 0, sectors_to = 0;  // counted up to here
  for (const Touch& touch : touched) {
    const uint64_t end = touch.address + touch.bytes, last = (end + kSector - 1) / kSector;
    if (end > bytes_to) cost.bytes += end - std::max(bytes_to, touch.address);
    if (last > sectors_to) cost.sectors += last - std::max(sectors_to, touch.address / kSector);
    bytes_to = std::max(bytes_to, end);
    sectors_to = std::max(sectors_to, last);
  }
}

}  // namespace

void AddTo(Cost& sum, const Cost& cost) {
  sum.runs += cost.runs, sum.lanes += cost.lanes;
  sum.bytes += cost.bytes, sum.sectors += cost.sectors;
  sum.passes += cost.passes, sum.passes_min += cost.passes_min;
}

void CountCosts() { counts = true; }
bool CountsCosts() { return counts; }

void Count(std::span<const Touch> touched, Cost& cost) {
  if (touched.empty()) return;
  std::vector<Touch> shared, global;
  for (const Touch& touch : touched) (touch.shared ? shared : global).push_back(touch);
  if (!shared.empty()) CountPasses(shared, cost);
  if (!global.empty()) CountSectors(global, cost);
}

void Keep(const Program& program, std::span<const Cost> costs) {
  const std::lock_guard lock(mutex);
  KernelCost& kernel = Kernels()[{program.name, costs.size()}];
  if (kernel.costs.empty()) {
    kernel.name = Demangled(program.name);
    kernel.costs.resize(costs.size());
    for (const Instruction& instruction : program.code) kernel.lines.push_back(program.lines[instruction.line - program.first_line]);
  }
  ++kernel.launches;
  for (size_t i = 0; i < costs.size(); ++i) AddTo(kernel.costs[i], costs[i]);
}

std::vector<KernelCost> TakeCosts() {
  const std::lock_guard lock(mutex);
  std::vector<KernelCost> taken;
  for (auto& [key, kernel] : Kernels()) taken.push_back(std::move(kernel));
  Kernels().clear();
  return taken;
}

}  // namespace ptx
