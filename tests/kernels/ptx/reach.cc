// Memory as kernels see it, and what is told of those that leave it.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/kernels/ptx/module.h"
#include "tests/kernels/ptx/warp.h"

namespace ptx {
namespace {

FindPiece find_piece = [](uintptr_t) { return Piece{0, ~uintptr_t{0}}; };
const std::atomic<uint64_t> never{0};
const std::atomic<uint64_t>* changes = &never;

bool Holds(const Piece& piece, uint64_t address, size_t size) {
  return address >= piece.begin && address < piece.end && size <= piece.end - address;
}
Piece PieceOf(std::span<const std::byte> bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  return {begin, begin + bytes.size()};
}

// Two warps' uses since a barrier must both be reads.
void Mark(Warp& warp, const Instruction& instruction, Use use, SharedUse& last, unsigned lane) {
  constexpr uint16_t kAtomic = 0xfffe;
  const auto self = static_cast<uint16_t>(use == Use::kAtomic ? kAtomic : warp.index);
  const uint32_t now = *warp.block->barriers;
  if (last.written_at == now && last.writer != self)
    Fault(warp, instruction, lane, "shared memory that another warp wrote, without a barrier between them");
  if (use == Use::kRead) {
    last.reader = last.read_at == now && last.reader != self ? kSeveral : self;
    last.read_at = now;
    return;
  }
  if (last.read_at == now && last.reader != self)
    Fault(warp, instruction, lane, "a write to shared memory that another warp read, without a barrier between them");
  last.written_at = now;
  last.writer = self;
}

std::byte* ReachShared(Warp& warp, const Instruction& instruction, Use use, uint64_t address, unsigned lane, size_t size) {
  Block& block = *warp.block;
  if (warp.touched != nullptr) warp.touched->push_back({address, static_cast<unsigned>(size), true});
  if (address >= block.shared_bytes || size > block.shared_bytes - address)
    Fault(warp, instruction, lane, "bytes beyond the block's shared memory: " + std::to_string(address) + " of " + std::to_string(block.shared_bytes));
  if (block.may_race) return block.shared + address;
  for (size_t at = address / 2; at < (address + size + 1) / 2; ++at) Mark(warp, instruction, use, block.uses[at], lane);
  return block.shared + address;
}

std::byte* ReachLocal(Warp& warp, const Instruction& instruction, uint64_t address, unsigned lane, size_t size) {
  const size_t own = warp.block->program->local_bytes;
  if (address >= own || size > own - address) Fault(warp, instruction, lane, "bytes beyond the thread's own memory");
  return warp.block->local.data() + (warp.index * kLanes + lane) * own + address;
}

// Shared, local and parameter memory have places among all addresses.
Piece Find(const Warp& warp, uint64_t address) {
  const Block& block = *warp.block;
  for (const std::span<const std::byte> bytes : {std::span<const std::byte>{block.local}, block.parameters})
    if (Holds(PieceOf(bytes), address, 1)) return PieceOf(bytes);
  if (const Piece piece = VariableAt(address); piece.end != 0) return piece;
  return find_piece(address);
}

}  // namespace

void SetMemory(FindPiece find, const std::atomic<uint64_t>* freed) {
  find_piece = find;
  changes = freed;
}

std::byte* Reach(Warp& warp, const Instruction& instruction, Access access, uint64_t address, unsigned lane, size_t size) {
  if (address % size != 0)
    Fault(warp, instruction, lane, "an address that is no multiple of " + std::to_string(size) + ": " + std::to_string(address));
  if (access.space == Space::kShared) return ReachShared(warp, instruction, access.use, address, lane, size);
  if (access.space == Space::kLocal) return ReachLocal(warp, instruction, address, lane, size);
  auto* const at = reinterpret_cast<std::byte*>(address);
  if (const uint64_t now = changes->load(std::memory_order_relaxed); now != warp.reached_at) {
    warp.reached = {};
    warp.reached_at = now;
  }
  Piece& reached = warp.reached[instruction.line % warp.reached.size()];
  if (Holds(reached, address, size)) {
    if (warp.touched != nullptr && !Holds(PieceOf(warp.block->parameters), address, 1))  // they lie in a cache of their own
      warp.touched->push_back({address, static_cast<unsigned>(size), false});
    return at;
  }
  const Block& block = *warp.block;
  if (Holds(PieceOf({block.shared, block.shared_bytes}), address, 1))
    return ReachShared(warp, instruction, access.use, static_cast<uint64_t>(at - block.shared), lane, size);
  reached = Find(warp, address);
  if (!Holds(reached, address, size)) Fault(warp, instruction, lane, "memory that is no kernel's, or beyond its end: " + std::to_string(address));
  return Reach(warp, instruction, access, address, lane, size);
}

void Fault(const Warp& warp, const Instruction& instruction, unsigned lane, std::string_view what) {
  const Block& block = *warp.block;
  const Program& program = *block.program;
  const size_t line = instruction.line - program.first_line;
  const std::string text = line < program.lines.size() ? program.lines[line] : "";
  std::fprintf(stderr, "ptx: %.*s\n  kernel %s\n  line %u: %s\n  block %u %u %u, thread %u\n", static_cast<int>(what.size()), what.data(),
               program.name.c_str(), instruction.line, text.c_str(), block.index.x, block.index.y, block.index.z, warp.index * kLanes + lane);
  std::abort();
}

}  // namespace ptx
