// What a launch cost, counted: instructions of warps, sectors of memory, passes through shared memory. No times: a GPU's own are other
// things, but a kernel that reads four sectors where one would do does so there, too.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/kernels/ptx/program.h"

namespace ptx {

// An access of a lane, as the memory's units see it.
struct Touch {
  uint64_t address = 0;
  unsigned bytes = 0;
  bool shared = false;
};

// Of one instruction, summed over warps.
struct Cost {
  uint64_t runs = 0, lanes = 0;
  uint64_t bytes = 0;                   // that differ, of global memory
  uint64_t sectors = 0;                 // of 32 bytes, of global memory
  uint64_t passes = 0, passes_min = 0;  // through the 32 banks of shared memory
};

void AddTo(Cost& sum, const Cost& cost);

// Of a kernel, over its launches.
struct KernelCost {
  std::string name;  // as C++ has it
  uint64_t launches = 0;
  std::vector<Cost> costs;
  std::vector<std::string> lines;  // of each instruction
};

// From now on costs are counted, in launches of all threads. PTX_PROFILE in the environment does so from the begin, and names the file
// that has them when the process ends.
void CountCosts();
bool CountsCosts();
void Count(std::span<const Touch> touched, Cost& cost);
// costs[i]: of instruction i, in one launch.
void Keep(const Program& program, std::span<const Cost> costs);
// What was kept since the last call.
std::vector<KernelCost> TakeCosts();

}  // namespace ptx
