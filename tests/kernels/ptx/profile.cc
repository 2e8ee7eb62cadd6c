// Costs of launches: counted by instruction, written by kernel, the dearest accesses named.
#include "tests/kernels/ptx/profile.h"

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <string>

namespace ptx {
namespace {

constexpr uint64_t kSector = 32, kBank = 4, kBanks = 32;

struct KernelCost {
  uint64_t launches = 0;
  std::vector<Cost> costs;
  std::vector<std::string> lines;  // of each instruction
};
std::mutex mutex;
using KernelCosts = std::map<std::pair<std::string, size_t>, KernelCost>;  // by name and length: inline kernels may be compiled twice
KernelCosts& Kernels() {
  static auto* const kernels = new KernelCosts;
  return *kernels;
}

const char* Path() {
  static const char* const path = std::getenv("PTX_PROFILE");
  return path;
}

std::string Demangled(const std::string& name) {
  char* const text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, nullptr);
  const std::string demangled = text == nullptr ? name : text;
  std::free(text);
  return demangled;
}

double Share(uint64_t part, uint64_t whole) { return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole); }

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
    std::fprintf(file, "    %8llu wasted: %llu x %s (sectors %llu for %llu bytes; passes %llu of %llu)\n", static_cast<unsigned long long>(wasted[i].first),
                 static_cast<unsigned long long>(cost.runs), kernel.lines[wasted[i].second].c_str(), static_cast<unsigned long long>(cost.sectors),
                 static_cast<unsigned long long>(cost.bytes), static_cast<unsigned long long>(cost.passes), static_cast<unsigned long long>(cost.passes_min));
  }
}

void Write() {
  std::FILE* const file = std::fopen(Path(), "w");
  if (file == nullptr) return;
  std::fprintf(file, "launches  warp instructions  lanes  sectors  bytes/sector  passes  of least  kernel\n");
  for (const auto& [key, kernel] : Kernels()) {
    Cost sum;
    for (const Cost& cost : kernel.costs) {
      sum.runs += cost.runs, sum.lanes += cost.lanes, sum.bytes += cost.bytes, sum.sectors += cost.sectors;
      sum.passes += cost.passes, sum.passes_min += cost.passes_min;
    }
    std::fprintf(file, "%8llu %18llu %6.1f %8llu %13.1f %7llu %9.2f  %s\n", static_cast<unsigned long long>(kernel.launches),
                 static_cast<unsigned long long>(sum.runs), Share(sum.lanes, sum.runs), static_cast<unsigned long long>(sum.sectors), Share(sum.bytes, sum.sectors),
                 static_cast<unsigned long long>(sum.passes), Share(sum.passes, sum.passes_min), Demangled(key.first).c_str());
    WriteDearest(file, kernel);
  }
  std::fclose(file);
}

// Lanes go through shared memory in groups that want at most 128 bytes; of a group each bank gives one word a pass.
void CountPasses(std::span<const Touch> touched, Cost& cost) {
  const size_t group = std::max<size_t>(1, kBank * kBanks / std::max(4u, touched.front().bytes));
  for (size_t first = 0; first < touched.size(); first += group) {
    std::array<std::set<uint64_t>, kBanks> words;
    std::set<uint64_t> all;
    for (const Touch& touch : touched.subspan(first, std::min(group, touched.size() - first)))
      for (uint64_t word = touch.address / kBank; word < (touch.address + touch.bytes + kBank - 1) / kBank; ++word) {
        words[word % kBanks].insert(word);
        all.insert(word);
      }
    cost.passes += std::ranges::max(words, {}, &std::set<uint64_t>::size).size();
    cost.passes_min += (all.size() + kBanks - 1) / kBanks;
  }
}

void CountSectors(std::span<const Touch> touched, Cost& cost) {
  std::set<uint64_t> sectors, bytes;
  for (const Touch& touch : touched) {
    for (uint64_t sector = touch.address / kSector; sector <= (touch.address + touch.bytes - 1) / kSector; ++sector) sectors.insert(sector);
    for (uint64_t byte = touch.address; byte < touch.address + touch.bytes; ++byte) bytes.insert(byte);
  }
  cost.sectors += sectors.size();
  cost.bytes += bytes.size();
}

}  // namespace

bool Profiles() { return Path() != nullptr; }

void Count(std::span<const Touch> touched, Cost& cost) {
  if (touched.empty()) return;
  std::vector<Touch> shared, global;
  for (const Touch& touch : touched) (touch.shared ? shared : global).push_back(touch);
  if (!shared.empty()) CountPasses(shared, cost);
  if (!global.empty()) CountSectors(global, cost);
}

void Keep(const Program& program, std::span<const Cost> costs) {
  const std::lock_guard lock(mutex);
  if (Kernels().empty()) std::atexit(Write);
  KernelCost& kernel = Kernels()[{program.name, costs.size()}];
  if (kernel.costs.empty()) {
    kernel.costs.resize(costs.size());
    for (const Instruction& instruction : program.code) kernel.lines.push_back(program.lines[instruction.line - program.first_line]);
  }
  ++kernel.launches;
  for (size_t i = 0; i < costs.size(); ++i) {
    Cost& sum = kernel.costs[i];
    sum.runs += costs[i].runs, sum.lanes += costs[i].lanes, sum.bytes += costs[i].bytes, sum.sectors += costs[i].sectors;
    sum.passes += costs[i].passes, sum.passes_min += costs[i].passes_min;
  }
}

}  // namespace ptx
