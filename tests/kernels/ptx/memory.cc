// Loads, stores, atomics and asynchronous copies.
#include <algorithm>
#include <array>
#include <thread>
#include <type_traits>
#include <utility>

#include "tests/kernels/ptx/forms.h"
#include "tests/kernels/ptx/warp.h"

namespace ptx {
namespace {

// M: the type in memory, R: of the register, N: so many side by side. One access of other threads of the host is never torn.
template <class M, class R, unsigned N>
void Load(Warp& warp, const Instruction& instruction) {
  ForLanes(warp.mask, [&](unsigned lane) {
    std::array<M, N> values;
    const auto* from = reinterpret_cast<const M*>(Reach(warp, instruction, {instruction.space, Use::kRead}, AddressOf(warp, instruction, N, lane), lane, sizeof(values)));
    for (unsigned n = 0; n < N; ++n) values[n] = __atomic_load_n(from + n, __ATOMIC_RELAXED);
    for (unsigned n = 0; n < N; ++n) At<R>(warp, instruction.operands[n])[lane] = static_cast<R>(values[n]);
  });
}
template <class M, class R, unsigned N>
void Store(Warp& warp, const Instruction& instruction) {
  ForLanes(warp.mask, [&](unsigned lane) {
    const Access access{instruction.space, Use::kWrite};
    auto* to = reinterpret_cast<M*>(Reach(warp, instruction, access, AddressOf(warp, instruction, 0, lane), lane, sizeof(M) * N));
    for (unsigned n = 0; n < N; ++n)
      __atomic_store_n(to + n, static_cast<M>(At<R>(warp, instruction.operands[n + 1])[lane]), __ATOMIC_RELAXED);
  });
}

void AtomicAdd(Warp& warp, const Instruction& instruction) {
  ForLanes(warp.mask, [&](unsigned lane) {
    const Access access{instruction.space, Use::kAtomic};
    auto* to = reinterpret_cast<uint32_t*>(Reach(warp, instruction, access, AddressOf(warp, instruction, 1, lane), lane, 4));
    At<uint32_t>(warp, instruction.operands[0])[lane] = __atomic_fetch_add(to, At<uint32_t>(warp, instruction.operands[2])[lane], __ATOMIC_RELAXED);
  });
}

// What is to be copied is read now, and written when the lane waits for it; meanwhile there is nothing that could be used.
void Copy(Warp& warp, const Instruction& instruction, bool sized) {
  constexpr unsigned kSize = 16;
  ForLanes(warp.mask, [&](unsigned lane) {
    const uint32_t to = At<uint32_t>(warp, instruction.operands[0])[lane];
    const uint64_t from = At<uint64_t>(warp, instruction.operands[1])[lane];
    const unsigned size = sized ? At<uint32_t>(warp, instruction.operands[3])[lane] : kSize;
    if (size > kSize) Fault(warp, instruction, lane, "a copy of more bytes than it has room for");
    PendingCopy copy{lane, warp.groups[lane], Reach(warp, instruction, {Space::kShared, Use::kWrite}, to, lane, kSize), {}, kSize};
    if (size > 0) std::memcpy(copy.bytes.data(), Reach(warp, instruction, {Space::kGlobal, Use::kRead}, from, lane, kSize), size);
    std::memset(copy.to, 0xff, kSize);
    warp.copies.push_back(copy);
  });
}
void CopyAll(Warp& warp, const Instruction& instruction) { Copy(warp, instruction, false); }
void CopySized(Warp& warp, const Instruction& instruction) { Copy(warp, instruction, true); }

void CloseGroup(Warp& warp, const Instruction&) {
  ForLanes(warp.mask, [&](unsigned lane) { ++warp.groups[lane]; });
}
// Until at most so many groups of the lane are under way. What they cost was counted when they were sent.
void WaitForGroups(Warp& warp, const Instruction& instruction) {
  std::vector<Touch>* const touched = std::exchange(warp.touched, nullptr);
  const uint32_t* left = At<const uint32_t>(warp, instruction.operands[0]);
  std::erase_if(warp.copies, [&](const PendingCopy& copy) {
    const bool ends = (warp.mask >> copy.lane & 1) != 0 && copy.group + left[copy.lane] < warp.groups[copy.lane];
    if (!ends) return false;
    const auto to = static_cast<uint64_t>(copy.to - warp.block->shared);
    std::memcpy(Reach(warp, instruction, {Space::kShared, Use::kWrite}, to, copy.lane, copy.size), copy.bytes.data(), copy.size);
    return true;
  });
  warp.touched = touched;
}

void Nothing(Warp&, const Instruction&) {}
void Sleep(Warp&, const Instruction&) { std::this_thread::yield(); }
void Fence(Warp&, const Instruction&) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

bool IsIn(std::string_view word, std::initializer_list<std::string_view> words) { return std::ranges::find(words, word) != words.end(); }

// ld and st but for the kind of access, which the host's memory does not have.
struct Kind {
  Space space = Space::kGeneric;
  unsigned count = 1;
  std::string_view type;
  bool of_parameter = false;
};
std::optional<Kind> KindOf(Words words) {
  Kind access{.type = words.back()};
  for (std::string_view word : words.subspan(1, words.size() - 2)) {
    if (word == "global") access.space = Space::kGlobal;
    else if (word == "shared") access.space = Space::kShared;
    else if (word == "local") access.space = Space::kLocal;
    else if (word == "param") access.of_parameter = true;
    else if (word == "v2") access.count = 2;
    else if (word == "v4") access.count = 4;
    else if (!IsIn(word, {"nc", "cs", "ca", "cg", "volatile", "relaxed", "acquire", "release", "gpu", "sys", "cta"})) return std::nullopt;
  }
  return access;
}

template <class M, class R, bool load>
std::optional<Form> AccessForm(const Kind& access) {
  if constexpr (sizeof(R) < sizeof(M)) return std::nullopt;
  const std::string registers(access.count, static_cast<char>('0' + sizeof(R)));
  const auto step = [&]() -> Step {
    if (access.count == 1) return load ? Load<M, R, 1> : Store<M, R, 1>;
    if (access.count == 2) return load ? Load<M, R, 2> : Store<M, R, 2>;
    return load ? Load<M, R, 4> : Store<M, R, 4>;
  }();
  return Form{step, load ? registers + "a" : "a" + registers, Flow::kOn, access.space};
}
template <class M, bool load>
std::optional<Form> AccessFormOf(const Kind& access, unsigned width) {
  using U = std::conditional_t<std::is_signed_v<M>, int64_t, uint64_t>;
  if (width == 2) return AccessForm<M, std::conditional_t<std::is_signed_v<U>, int16_t, uint16_t>, load>(access);
  if (width == 4) return AccessForm<M, std::conditional_t<std::is_signed_v<U>, int32_t, uint32_t>, load>(access);
  return AccessForm<M, U, load>(access);
}
template <bool load>
std::optional<Form> AccessFormOf(const Kind& access, unsigned width) {
  const std::string_view type = access.type;
  if (width == 0) width = IsIn(type, {"u64", "b64", "f64", "s64"}) ? 8 : IsIn(type, {"u32", "b32", "f32", "s32"}) ? 4 : 2;  // a constant
  if (IsIn(type, {"u8", "b8"})) return AccessFormOf<uint8_t, load>(access, width);
  if (type == "s8") return AccessFormOf<int8_t, load>(access, width);
  if (IsIn(type, {"u16", "b16"})) return AccessFormOf<uint16_t, load>(access, width);
  if (type == "s16") return AccessFormOf<int16_t, load>(access, width);
  if (IsIn(type, {"u32", "b32", "f32"})) return AccessFormOf<uint32_t, load>(access, width);
  if (type == "s32") return AccessFormOf<int32_t, load>(access, width);
  if (IsIn(type, {"u64", "b64", "f64", "s64"})) return AccessFormOf<uint64_t, load>(access, width);
  return std::nullopt;
}

}  // namespace

std::optional<Form> MemoryForm(std::string_view name, Words words, std::span<const unsigned> widths) {
  if (words[0] == "ld" || words[0] == "st") {
    const std::optional<Kind> access = KindOf(words);
    if (!access.has_value() || widths.size() != access->count + 1) return std::nullopt;
    return words[0] == "ld" ? AccessFormOf<true>(*access, widths[0]) : AccessFormOf<false>(*access, widths[1]);
  }
  if (name == "atom.global.add.u32") return Form{AtomicAdd, "4a4", Flow::kOn, Space::kGlobal};
  if (name == "atom.shared.add.u32") return Form{AtomicAdd, "4a4", Flow::kOn, Space::kShared};
  if (name == "cp.async.cg.shared.global" || name == "cp.async.cg.shared.global.L2::128B")
    return widths.size() == 4 ? Form{CopySized, "sd44", Flow::kOn, Space::kShared} : Form{CopyAll, "sd4", Flow::kOn, Space::kShared};
  if (name == "cp.async.commit_group") return Form{CloseGroup, ""};
  if (name == "cp.async.wait_group") return Form{WaitForGroups, "4"};
  if (words[0] == "fence" || words[0] == "membar") return Form{Fence, ""};
  if (name == "nanosleep.u32") return Form{Sleep, "4"};
  if (words[0] == "griddepcontrol") return Form{Nothing, ""};  // launches do not overlap here
  return std::nullopt;
}

}  // namespace ptx
