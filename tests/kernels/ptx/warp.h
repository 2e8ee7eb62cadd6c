// What instructions see of a block that runs: registers of a warp, memory, and how a fault is told.
#pragma once

#include <array>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "tests/kernels/ptx/machine.h"
#include "tests/kernels/ptx/profile.h"
#include "tests/kernels/ptx/program.h"

namespace ptx {

// Who used two bytes of shared memory last, and after which barrier.
struct SharedUse {
  uint32_t written_at = 0, read_at = 0;
  uint16_t writer = 0, reader = 0;
};
inline constexpr uint16_t kSeveral = 0xffff;

struct Block {
  const Program* program = nullptr;
  Extent index, threads;
  std::byte* shared = nullptr;
  size_t shared_bytes = 0;
  bool may_race = false;
  std::span<SharedUse> uses;      // of shared memory, two bytes each
  uint32_t* barriers = nullptr;   // that threads have met at, in this block and those before
  std::span<std::byte> local;     // of each thread, one after the other
  std::span<const std::byte> parameters;
};

// An asynchronous copy that a lane has asked for: done when the lane waits for its group.
struct PendingCopy {
  unsigned lane = 0;
  uint32_t group = 0;
  std::byte* to = nullptr;
  std::array<std::byte, 16> bytes{};
  unsigned size = 0;
};

struct Warp {
  Block* block = nullptr;
  std::byte* file = nullptr;
  unsigned index = 0;
  uint32_t mask = 0;     // lanes that do the present instruction
  uint32_t present = 0;  // lanes that have not returned
  std::vector<PendingCopy> copies;
  std::array<uint32_t, kLanes> groups{};  // of copies, closed by each lane
  std::array<Piece, 16> reached{};        // pieces of memory found lately
  uint64_t reached_at = 0;                // changes of memory then
  std::vector<Touch>* touched = nullptr;  // by the present instruction, where costs are counted
};

template <class T>
T* At(Warp& warp, Slot slot) {
  return reinterpret_cast<T*>(warp.file + slot);
}
inline uint32_t& Predicate(Warp& warp, Slot slot) { return *At<uint32_t>(warp, slot); }

template <class F>
inline void ForLanes(uint32_t mask, F f) {
  for (; mask != 0; mask &= mask - 1) f(static_cast<unsigned>(__builtin_ctz(mask)));
}

// Ends the process, telling where.
[[noreturn]] void Fault(const Warp& warp, const Instruction& instruction, unsigned lane, std::string_view what);

enum class Use : uint8_t { kRead, kWrite, kAtomic };
struct Access {
  Space space;
  Use use;
};
// The memory behind an address of the space, for `size` bytes: there, aligned, a kernel's to use, and used by no other warp since the
// last barrier, unless both read.
std::byte* Reach(Warp& warp, const Instruction& instruction, Access access, uint64_t address, unsigned lane, size_t size);
// The lane's address: its register and the instruction's offset.
inline uint64_t AddressOf(Warp& warp, const Instruction& instruction, unsigned operand, unsigned lane) {
  const Slot slot = instruction.operands[operand];
  const uint64_t base = instruction.wide_address ? At<uint64_t>(warp, slot)[lane] : At<uint32_t>(warp, slot)[lane];
  return base + static_cast<uint64_t>(instruction.offset);
}

}  // namespace ptx
