// Integers, bits, predicates and moves.
#include <algorithm>
#include <limits>
#include <map>

#include "tests/kernels/ptx/forms.h"
#include "tests/kernels/ptx/map.h"

namespace ptx {
namespace {

// Arithmetic wraps around.
template <class T>
using Bits = std::make_unsigned_t<T>;
template <class T>
using Twice = std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>,
                                 std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>,
                                                    std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>>>;

struct Add {
  template <class T>
  T operator()(T a, T b) const { return static_cast<T>(static_cast<Bits<T>>(a) + static_cast<Bits<T>>(b)); }
};
struct Subtract {
  template <class T>
  T operator()(T a, T b) const { return static_cast<T>(static_cast<Bits<T>>(a) - static_cast<Bits<T>>(b)); }
};
struct MultiplyLow {
  template <class T>
  T operator()(T a, T b) const { return static_cast<T>(uint64_t{static_cast<Bits<T>>(a)} * uint64_t{static_cast<Bits<T>>(b)}); }
};
struct MultiplyHigh {
  template <class T>
  T operator()(T a, T b) const { return static_cast<T>((static_cast<Twice<T>>(a) * static_cast<Twice<T>>(b)) >> (8 * sizeof(T))); }
};
struct MultiplyWide {
  template <class T>
  Twice<T> operator()(T a, T b) const { return static_cast<Twice<T>>(a) * static_cast<Twice<T>>(b); }
};
struct MultiplyAddLow {
  template <class T>
  T operator()(T a, T b, T c) const { return Add{}(MultiplyLow{}(a, b), c); }
};
struct MultiplyAddWide {
  template <class T>
  Twice<T> operator()(T a, T b, Twice<T> c) const { return Add{}(MultiplyWide{}(a, b), c); }
};
// By zero: all bits, as the device has it.
struct Divide {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return static_cast<T>(~Bits<T>{0});
    if constexpr (std::is_signed_v<T>)
      if (b == -1) return Subtract{}(T{0}, a);
    return static_cast<T>(a / b);
  }
};
struct Remainder {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return a;
    if constexpr (std::is_signed_v<T>)
      if (b == -1) return 0;
    return static_cast<T>(a % b);
  }
};
struct Least {
  template <class T>
  T operator()(T a, T b) const { return std::min(a, b); }
};
struct Most {
  template <class T>
  T operator()(T a, T b) const { return std::max(a, b); }
};
struct Negate {
  template <class T>
  T operator()(T a) const { return Subtract{}(T{0}, a); }
};
struct Absolute {
  template <class T>
  T operator()(T a) const { return a < 0 ? Negate{}(a) : a; }
};
struct And {
  template <class T>
  T operator()(T a, T b) const { return static_cast<T>(a & b); }
};
struct Or {
  template <class T>
  T operator()(T a, T b) const { return static_cast<T>(a | b); }
};
struct Xor {
  template <class T>
  T operator()(T a, T b) const { return static_cast<T>(a ^ b); }
};
struct Not {
  template <class T>
  T operator()(T a) const { return static_cast<T>(~a); }
};
// By more than the width: nothing is left but, of negative numbers, the sign.
struct ShiftLeft {
  template <class T>
  T operator()(T a, uint32_t by) const { return by < 8 * sizeof(T) ? static_cast<T>(static_cast<Bits<T>>(a) << by) : T{0}; }
};
struct ShiftRight {
  template <class T>
  T operator()(T a, uint32_t by) const {
    constexpr uint32_t kBits = 8 * sizeof(T);
    if (by >= kBits) return std::is_signed_v<T> && a < 0 ? static_cast<T>(-1) : T{0};
    return static_cast<T>(a >> by);
  }
};
struct FunnelRight {
  uint32_t operator()(uint32_t low, uint32_t high, uint32_t by) const {
    return static_cast<uint32_t>((uint64_t{high} << 32 | low) >> (by & 31));
  }
};
struct Permute {  // bytes of both, as four bits each of `places` name them; with the fourth one the byte's upper bit eight times
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t places) const {
    uint32_t bytes = 0;
    for (int i = 0; i < 4; ++i) {
      const uint32_t place = places >> 4 * i & 15, byte = static_cast<uint32_t>((uint64_t{b} << 32 | a) >> 8 * (place & 7)) & 255;
      bytes |= (place < 8 ? byte : (byte >> 7) * 255) << 8 * i;
    }
    return bytes;
  }
};
struct Insert {  // `count` bits of a into b, from `first` on
  template <class T>
  T operator()(T a, T b, uint32_t first, uint32_t count) const {
    first &= 255, count &= 255;
    const T ones = count >= 8 * sizeof(T) ? static_cast<T>(~T{0}) : static_cast<T>((T{1} << count) - 1);
    const T field = ShiftLeft{}(ones, first);
    return static_cast<T>((b & ~field) | (ShiftLeft{}(a, first) & field));
  }
};
struct Same {
  template <class T>
  T operator()(T a) const { return a; }
};

// operand 0 = operand 3 ? operand 1 : operand 2
template <class T>
void Select(Warp& warp, const Instruction& instruction) {
  T* const to = At<T>(warp, instruction.operands[0]);
  const T* a = At<const T>(warp, instruction.operands[1]);
  const T* b = At<const T>(warp, instruction.operands[2]);
  const uint32_t choice = Predicate(warp, instruction.operands[3]);
  ForLanes(warp.mask, [&](unsigned lane) { to[lane] = (choice >> lane & 1) != 0 ? a[lane] : b[lane]; });
}

template <class F>
void MapPredicates(Warp& warp, const Instruction& instruction) {
  const auto word = [&](unsigned i) { return Predicate(warp, instruction.operands[i]); };
  const uint32_t bits = F{}(word(1), word(2));
  uint32_t& to = Predicate(warp, instruction.operands[0]);
  to = (to & ~warp.mask) | (bits & warp.mask);
}
void NotPredicate(Warp& warp, const Instruction& instruction) {
  uint32_t& to = Predicate(warp, instruction.operands[0]);
  to = (to & ~warp.mask) | (~Predicate(warp, instruction.operands[1]) & warp.mask);
}
void MovePredicate(Warp& warp, const Instruction& instruction) {
  uint32_t& to = Predicate(warp, instruction.operands[0]);
  to = (to & ~warp.mask) | (Predicate(warp, instruction.operands[1]) & warp.mask);
}

using Table = std::map<std::string, Form, std::less<>>;

template <class T>
void AddInteger(Table& table, const std::string& type) {
  const std::string n(1, Letter<T>()), wide(1, Letter<Twice<T>>());
  table["add." + type] = {Map<Add, T, T, T>, n + n + n};
  table["sub." + type] = {Map<Subtract, T, T, T>, n + n + n};
  table["mul.lo." + type] = {Map<MultiplyLow, T, T, T>, n + n + n};
  table["mul.hi." + type] = {Map<MultiplyHigh, T, T, T>, n + n + n};
  table["mad.lo." + type] = {Map<MultiplyAddLow, T, T, T, T>, n + n + n + n};
  if constexpr (sizeof(T) < 8) {
    table["mul.wide." + type] = {Map<MultiplyWide, Twice<T>, T, T>, wide + n + n};
    table["mad.wide." + type] = {Map<MultiplyAddWide, Twice<T>, T, T, Twice<T>>, wide + n + n + wide};
  }
  table["div." + type] = {Map<Divide, T, T, T>, n + n + n};
  table["rem." + type] = {Map<Remainder, T, T, T>, n + n + n};
  table["min." + type] = {Map<Least, T, T, T>, n + n + n};
  table["max." + type] = {Map<Most, T, T, T>, n + n + n};
  table["shr." + type] = {Map<ShiftRight, T, T, uint32_t>, n + n + "4"};
  if constexpr (std::is_signed_v<T>) {
    table["neg." + type] = {Map<Negate, T, T>, n + n};
    table["abs." + type] = {Map<Absolute, T, T>, n + n};
  }
  table["setp.eq." + type] = {Test<Equal, T>, "p" + n + n};
  table["setp.ne." + type] = {Test<Unequal, T>, "p" + n + n};
  table["setp.lt." + type] = {Test<Less, T>, "p" + n + n};
  table["setp.le." + type] = {Test<LessEqual, T>, "p" + n + n};
  table["setp.gt." + type] = {Test<Greater, T>, "p" + n + n};
  table["setp.ge." + type] = {Test<GreaterEqual, T>, "p" + n + n};
}

template <class T>
void AddBits(Table& table, const std::string& bits) {
  const std::string n(1, Letter<T>());
  table["and.b" + bits] = {Map<And, T, T, T>, n + n + n};
  table["or.b" + bits] = {Map<Or, T, T, T>, n + n + n};
  table["xor.b" + bits] = {Map<Xor, T, T, T>, n + n + n};
  table["not.b" + bits] = {Map<Not, T, T>, n + n};
  table["shl.b" + bits] = {Map<ShiftLeft, T, T, uint32_t>, n + n + "4"};
  table["shr.b" + bits] = {Map<ShiftRight, T, T, uint32_t>, n + n + "4"};
  table["bfi.b" + bits] = {Map<Insert, T, T, T, uint32_t, uint32_t>, n + n + n + "44"};
  table["setp.eq.b" + bits] = {Test<Equal, T>, "p" + n + n};
  table["setp.ne.b" + bits] = {Test<Unequal, T>, "p" + n + n};
  for (const char* type : {"b", "u", "s", "f"}) {
    table["mov." + (type + bits)] = {Map<Same, T, T>, n + n};
    table["selp." + (type + bits)] = {Select<T>, n + n + n + "p"};
  }
}

Table MakeTable() {
  Table table;
  AddInteger<uint16_t>(table, "u16");
  AddInteger<int16_t>(table, "s16");
  AddInteger<uint32_t>(table, "u32");
  AddInteger<int32_t>(table, "s32");
  AddInteger<uint64_t>(table, "u64");
  AddInteger<int64_t>(table, "s64");
  AddBits<uint16_t>(table, "16");
  AddBits<uint32_t>(table, "32");
  AddBits<uint64_t>(table, "64");
  table["shf.r.wrap.b32"] = {Map<FunnelRight, uint32_t, uint32_t, uint32_t, uint32_t>, "4444"};
  table["prmt.b32"] = {Map<Permute, uint32_t, uint32_t, uint32_t, uint32_t>, "4444"};
  table["and.pred"] = {MapPredicates<And>, "ppp"};
  table["or.pred"] = {MapPredicates<Or>, "ppp"};
  table["xor.pred"] = {MapPredicates<Xor>, "ppp"};
  table["not.pred"] = {NotPredicate, "pp"};
  table["mov.pred"] = {MovePredicate, "pp"};
  return table;
}

}  // namespace

std::optional<Form> IntegerForm(std::string_view name) {
  static const Table table = MakeTable();
  const auto at = table.find(name);
  return at == table.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace ptx
