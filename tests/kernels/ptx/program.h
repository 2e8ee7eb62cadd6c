// A kernel as the machine runs it: instructions whose operands are places in a warp's register file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ptx {

inline constexpr unsigned kLanes = 32;
inline constexpr uint32_t kAllLanes = 0xffffffff;

struct Warp;
struct Instruction;
// Does the instruction for the lanes of Warp::mask.
using Step = void (*)(Warp&, const Instruction&);

enum class Flow : uint8_t { kOn, kBranch, kReturn, kMeet, kBarrier };
enum class Space : uint8_t { kGeneric, kGlobal, kShared, kLocal };

// A register is kLanes values of 2, 4 or 8 bytes side by side; a predicate is one word with a bit a lane. Constants and the special
// registers lie there too.
using Slot = uint32_t;  // bytes from the begin of the file

struct Instruction {
  Step step = nullptr;
  Flow flow = Flow::kOn;
  Space space = Space::kGeneric;
  bool guarded = false, guard_negated = false;
  bool wide_address = false;  // of 8 bytes
  bool has_members = false;     // of the lanes that meet; else all do
  Slot guard = 0, members = 0;
  std::array<Slot, 15> operands{};  // as PTX has them, vectors flattened; of an address the base
  int64_t offset = 0;               // of an address
  uint32_t target = 0;              // of a branch
  uint32_t line = 0;                // of the text
};

// A value of all lanes that does not change.
struct Constant {
  Slot slot = 0;
  unsigned bytes = 0;
  uint64_t bits = 0;
};
// The address of a parameter, known when it is launched.
struct ParameterAddress {
  Slot slot = 0;
  size_t offset = 0;  // in the block of parameters
};

// Where the special registers lie in every file: four bytes a lane.
enum Special : unsigned { kTidX, kTidY, kTidZ, kNtidX, kNtidY, kNtidZ, kCtaidX, kCtaidY, kCtaidZ, kNctaidX, kNctaidY, kNctaidZ, kLaneId, kSpecials };
inline constexpr Slot SpecialSlot(unsigned special) { return special * kLanes * 4; }

struct Program {
  std::string name;
  std::vector<Instruction> code;
  std::vector<Constant> constants;
  std::vector<ParameterAddress> parameter_addresses;
  size_t file_bytes = 0;
  size_t static_shared_bytes = 0, local_bytes = 0;
  std::vector<size_t> parameter_bytes, parameter_offsets;
  unsigned threads_max = 1024;
  std::vector<std::string> lines;  // of the kernel, for messages; the first is number `first_line`
  uint32_t first_line = 0;
};

}  // namespace ptx
