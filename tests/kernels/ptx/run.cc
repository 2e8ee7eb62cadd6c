// Warps and their threads taking turns. Lanes that part ways meet again where their code does, in every other block not before they
// have to: so both a warp that runs in step and one whose lanes run ahead of each other are seen.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>

#include "tests/kernels/ptx/warp.h"

namespace ptx {
namespace {

// Lanes that are at the same place.
struct Group {
  uint32_t at = 0, mask = 0;
  bool waits = false;  // for the other lanes that are to meet there
};

struct WarpRun {
  Warp warp;
  uint32_t lanes = 0;  // that the block has; the others need not meet any
  std::vector<Group> groups;
  int barrier = -1;            // that it waits at
};

// FlashInfer's warps that share keys out write their results over what others still read, which make results that nobody uses.
constexpr std::string_view kMayRace = "_ZN10flashinfer";
constexpr uint32_t kNowhere = std::numeric_limits<uint32_t>::max();
constexpr unsigned kBranchesMax = 1 << 14;  // until other lanes have their turn, which these may wait for

// What launches of a thread use one after the other: registers and memory are not cleared between them.
struct Room {
  std::vector<std::byte> files, shared, local;
  std::vector<SharedUse> uses;
  uint32_t barriers = 0;
};
Room& RoomOfThread() {
  thread_local Room room;
  return room;
}
template <class T>
std::span<T> AtLeast(std::vector<T>& room, size_t count) {
  if (room.size() < count) room.resize(count);
  return std::span(room).first(count);
}

class BlockRun {
 public:
  BlockRun(const Program& program, Extent grid, Extent threads, size_t dynamic_bytes, void* const* parameters);
  void Run(Extent index);
  std::span<const Cost> costs() const { return costs_; }

 private:
  void RunWarp(WarpRun& run);
  void RunGroup(WarpRun& run, Group group);
  bool Branch(WarpRun& run, Group& group, const Instruction& instruction, uint32_t active);
  bool Meet(WarpRun& run, Group& group, const Instruction& instruction);
  uint32_t NextStop(const WarpRun& run, const Group& group) const;
  void Leave(WarpRun& run, const Group& group);
  bool OpenBarriers();
  [[noreturn]] void Stuck() const;
  void FillFile(WarpRun& run, Extent grid);
  void Do(Warp& warp, const Instruction& instruction, uint32_t mask);

  const Program& program_;
  Block block_;
  std::vector<WarpRun> warps_;
  std::vector<std::byte> parameters_;
  std::vector<Cost> costs_;  // of each instruction; empty where they are not counted
  std::vector<Touch> touched_;
  bool in_step_ = true;
  unsigned blocks_ = 0;
};

uint32_t ActiveLanes(Warp& warp, const Instruction& instruction, uint32_t mask) {
  if (!instruction.guarded) return mask;
  const uint32_t guard = Predicate(warp, instruction.guard);
  return mask & (instruction.guard_negated ? ~guard : guard);
}

template <class T>
void Fill(Warp& warp, Slot slot, T value) {
  std::fill_n(At<T>(warp, slot), kLanes, value);
}

BlockRun::BlockRun(const Program& program, Extent grid, Extent threads, size_t dynamic_bytes, void* const* parameters) : program_(program) {
  const size_t count = size_t{threads.x} * threads.y * threads.z;
  block_.program = &program;
  block_.threads = threads;
  block_.may_race = program.name.starts_with(kMayRace);
  Room& room = RoomOfThread();
  block_.barriers = &room.barriers;
  block_.shared_bytes = program.static_shared_bytes + dynamic_bytes;
  constexpr size_t kWindow = 1024;  // shared memory begins at whole kilobytes
  std::byte* const shared = AtLeast(room.shared, block_.shared_bytes + kWindow).data();
  block_.shared = shared + (kWindow - reinterpret_cast<uintptr_t>(shared) % kWindow) % kWindow;
  block_.uses = AtLeast(room.uses, block_.shared_bytes / 2 + 1);
  block_.local = AtLeast(room.local, count * program.local_bytes);
  for (size_t i = 0; i < program.parameter_bytes.size(); ++i) {
    parameters_.resize(program.parameter_offsets[i]);
    const auto* bytes = static_cast<const std::byte*>(parameters[i]);
    parameters_.insert(parameters_.end(), bytes, bytes + program.parameter_bytes[i]);
  }
  block_.parameters = parameters_;
  if (CountsCosts()) costs_.resize(program.code.size());
  warps_.resize((count + kLanes - 1) / kLanes);
  std::byte* const files = AtLeast(room.files, warps_.size() * program.file_bytes).data();
  for (unsigned w = 0; w < warps_.size(); ++w) {
    Warp& warp = warps_[w].warp;
    warp.block = &block_;
    warp.index = w;
    warp.touched = costs_.empty() ? nullptr : &touched_;
    warp.file = files + w * program.file_bytes;
    FillFile(warps_[w], grid);
  }
}

void BlockRun::FillFile(WarpRun& run, Extent grid) {
  Warp& warp = run.warp;
  const Extent threads = block_.threads;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const unsigned thread = warp.index * kLanes + lane;
    At<uint32_t>(warp, SpecialSlot(kTidX))[lane] = thread % threads.x;
    At<uint32_t>(warp, SpecialSlot(kTidY))[lane] = thread / threads.x % threads.y;
    At<uint32_t>(warp, SpecialSlot(kTidZ))[lane] = thread / threads.x / threads.y;
    At<uint32_t>(warp, SpecialSlot(kLaneId))[lane] = lane;
  }
  Fill(warp, SpecialSlot(kNtidX), threads.x), Fill(warp, SpecialSlot(kNtidY), threads.y), Fill(warp, SpecialSlot(kNtidZ), threads.z);
  Fill(warp, SpecialSlot(kNctaidX), grid.x), Fill(warp, SpecialSlot(kNctaidY), grid.y), Fill(warp, SpecialSlot(kNctaidZ), grid.z);
  for (const auto& [slot, bytes, bits] : program_.constants) {
    if (bytes == 0) Predicate(warp, slot) = static_cast<uint32_t>(bits);
    if (bytes == 2) Fill(warp, slot, static_cast<uint16_t>(bits));
    if (bytes == 4) Fill(warp, slot, static_cast<uint32_t>(bits));
    if (bytes == 8) Fill(warp, slot, bits);
  }
  for (const auto& [slot, offset] : program_.parameter_addresses) Fill(warp, slot, reinterpret_cast<uint64_t>(parameters_.data() + offset));
}

// The first place after the group's where others are, so that they may go on together; nowhere while lanes run ahead of each other.
uint32_t BlockRun::NextStop(const WarpRun& run, const Group& group) const {
  uint32_t stop = kNowhere;
  if (!in_step_) return stop;
  for (const Group& other : run.groups)
    if (other.at > group.at) stop = std::min(stop, other.at);
  return stop;
}

// The group stays where it is, with those that are there already.
void BlockRun::Leave(WarpRun& run, const Group& group) {
  const auto there = std::ranges::find_if(run.groups, [&](const Group& other) { return other.at == group.at && (in_step_ || other.waits) && (in_step_ || group.waits); });
  if (there == run.groups.end()) return run.groups.push_back(group);
  there->mask |= group.mask;
  there->waits = there->waits && group.waits;
}

// False: the group has parted, or its turn is over.
bool BlockRun::Branch(WarpRun& run, Group& group, const Instruction& instruction, uint32_t active) {
  const uint32_t others = group.mask & ~active;
  if (active == 0) return ++group.at, true;
  if (others != 0) {
    Leave(run, {group.at + 1, others});
    Leave(run, {instruction.target, active});
    return false;
  }
  group.at = instruction.target;
  return true;
}

// Whether all who are to meet are here; the group waits if not.
bool BlockRun::Meet(WarpRun& run, Group& group, const Instruction& instruction) {
  Warp& warp = run.warp;
  uint32_t members = instruction.flow == Flow::kBarrier ? warp.present : kAllLanes;
  if (instruction.has_members) members = At<uint32_t>(warp, instruction.members)[static_cast<unsigned>(__builtin_ctz(group.mask))] & run.lanes;
  if ((members & ~warp.present) != 0) Fault(warp, instruction, 0, "lanes are to meet that have returned");
  if ((group.mask & ~members) != 0) Fault(warp, instruction, 0, "a lane meets others that do not name it");
  if (group.mask == members) return true;
  Leave(run, {group.at, group.mask, true});
  Group& all = *std::ranges::find_if(run.groups, [&](const Group& other) { return other.at == group.at && (other.mask & group.mask) != 0; });
  all.waits = all.mask != members;
  return false;
}

void BlockRun::Do(Warp& warp, const Instruction& instruction, uint32_t mask) {
  warp.mask = mask;
  instruction.step(warp, instruction);
  if (costs_.empty()) return;
  Cost& cost = costs_[static_cast<size_t>(&instruction - program_.code.data())];
  ++cost.runs;
  cost.lanes += static_cast<uint64_t>(__builtin_popcount(mask));
  Count(touched_, cost);
  touched_.clear();
}

void BlockRun::RunGroup(WarpRun& run, Group group) {
  Warp& warp = run.warp;
  uint32_t stop = NextStop(run, group);
  for (unsigned branches = 0;;) {
    if (group.at == stop) return Leave(run, group);
    const Instruction& instruction = program_.code[group.at];
    const uint32_t active = ActiveLanes(warp, instruction, group.mask);
    switch (instruction.flow) {
      case Flow::kOn:
        if (active != 0) Do(warp, instruction, active);
        ++group.at;
        break;
      case Flow::kBranch:
        if (!Branch(run, group, instruction, active)) return;
        if (++branches > kBranchesMax && !run.groups.empty()) return Leave(run, group);
        stop = NextStop(run, group);
        break;
      case Flow::kReturn:
        warp.present &= ~active;
        group.mask &= ~active;
        if (group.mask == 0) return;
        ++group.at;
        break;
      case Flow::kMeet:
      case Flow::kBarrier:
        if (active != group.mask && active != 0) Fault(warp, instruction, 0, "lanes of a warp that disagree whether they meet");
        if (active != 0) {
          if (!Meet(run, group, instruction)) return;
          Do(warp, instruction, group.mask);
        }
        ++group.at;
        if (active == 0 || instruction.flow == Flow::kMeet) break;
        run.barrier = static_cast<int>(At<uint32_t>(warp, instruction.operands[0])[0]);
        return Leave(run, group);
    }
  }
}

// Until all its lanes wait at a barrier or have returned.
void BlockRun::RunWarp(WarpRun& run) {
  while (run.barrier < 0 && !run.groups.empty()) {
    auto next = run.groups.end();
    for (auto group = run.groups.begin(); group != run.groups.end(); ++group)
      if (!group->waits && (next == run.groups.end() || (in_step_ && group->at < next->at))) next = group;
    if (next == run.groups.end()) Stuck();
    const Group group = *next;
    run.groups.erase(next);
    RunGroup(run, group);
  }
}

void BlockRun::Stuck() const {
  std::fprintf(stderr, "ptx: threads wait for others that do not come\n  kernel %s\n  block %u %u %u\n", program_.name.c_str(), block_.index.x,
               block_.index.y, block_.index.z);
  for (const WarpRun& run : warps_)
    for (const Group& group : run.groups)
      std::fprintf(stderr, "  warp %u, lanes %08x: line %u%s\n", run.warp.index, group.mask, program_.code[group.at].line,
                   run.barrier >= 0 ? ", behind a barrier" : "");
  std::abort();
}

// Lets those go who wait at a barrier that all have reached; false: there is none.
bool BlockRun::OpenBarriers() {
  std::map<int, int> arrived;
  int present = 0;
  for (const WarpRun& run : warps_) {
    present += __builtin_popcount(run.warp.present);
    if (run.barrier >= 0) arrived[run.barrier] += __builtin_popcount(run.warp.present);
  }
  for (const auto& [barrier, lanes] : arrived) {
    if (lanes != present) continue;
    for (WarpRun& run : warps_) run.barrier = -1;
    ++*block_.barriers;
    return true;
  }
  return false;
}

void BlockRun::Run(Extent index) {
  block_.index = index;
  in_step_ = blocks_ % 2 == 0;
  std::fill_n(block_.shared, block_.shared_bytes, std::byte{0xff});
  ++*block_.barriers;
  const size_t threads = size_t{block_.threads.x} * block_.threads.y * block_.threads.z;
  for (WarpRun& run : warps_) {
    Warp& warp = run.warp;
    Fill(warp, SpecialSlot(kCtaidX), index.x), Fill(warp, SpecialSlot(kCtaidY), index.y), Fill(warp, SpecialSlot(kCtaidZ), index.z);
    const size_t lanes = std::min<size_t>(kLanes, threads - size_t{warp.index} * kLanes);
    warp.present = run.lanes = lanes == kLanes ? kAllLanes : (uint32_t{1} << lanes) - 1;
    warp.copies.clear();
    warp.groups = {};
    run.groups = {{0, warp.present}};
    run.barrier = -1;
  }
  const auto ended = [](const WarpRun& run) { return run.groups.empty(); };
  for (unsigned pass = blocks_++; !std::ranges::all_of(warps_, ended); ++pass) {
    for (size_t i = 0; i < warps_.size(); ++i) RunWarp(warps_[pass % 2 == 0 ? i : warps_.size() - 1 - i]);
    if (!OpenBarriers() && !std::ranges::all_of(warps_, ended)) Stuck();
  }
}

}  // namespace

void Run(const Kernel& kernel, Extent grid, Extent block, size_t dynamic_shared_bytes, void* const* parameters) {
  BlockRun run(*kernel.program, grid, block, dynamic_shared_bytes, parameters);
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) run.Run({x, y, z});
  if (!run.costs().empty()) Keep(*kernel.program, run.costs());
}

}  // namespace ptx
