// Conversions between types, and registers that are taken apart or put together.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/kernels/ptx/forms.h"
#include "tests/kernels/ptx/map.h"

namespace ptx {
namespace {

template <class T>
constexpr bool kIsFloat = std::is_floating_point_v<T>;

// Towards zero; beyond the type its nearest end, of what is no number 0 (of 64 bits the lowest).
template <class D, class A>
D Truncated(A a) {
  if (std::isnan(a)) return sizeof(D) == 8 ? static_cast<D>(uint64_t{1} << 63) : D{0};
  const A whole = std::trunc(a);
  if (whole <= static_cast<A>(std::numeric_limits<D>::min())) return std::numeric_limits<D>::min();
  if (whole >= static_cast<A>(std::numeric_limits<D>::max())) return std::numeric_limits<D>::max();
  return static_cast<D>(whole);
}

// R, Q: what the registers hold; a value of A is the low part of one of Q. Integers are extended by their own sign.
template <class D, class R, class A, class Q>
struct Convert {
  R operator()(Q from) const {
    A a;
    if constexpr (kIsFloat<A>) a = from;
    else a = static_cast<A>(from);
    if constexpr (kIsFloat<D> || kIsFloat<A> == kIsFloat<D>) return static_cast<R>(static_cast<D>(a));
    else return static_cast<R>(Truncated<D>(a));
  }
};
struct Saturate {
  float operator()(float a) const { return std::isnan(a) ? 0.0f : std::clamp(a, 0.0f, 1.0f); }
};
struct Truncate {
  template <class T>
  T operator()(T a) const { return std::trunc(a); }
};

// Calls f with a value of the type that PTX names so; nothing where there is none.
template <class F>
std::optional<Form> WithType(std::string_view name, F f) {
  if (name == "u8") return f(uint8_t{});
  if (name == "s8") return f(int8_t{});
  if (name == "u16") return f(uint16_t{});
  if (name == "s16") return f(int16_t{});
  if (name == "u32") return f(uint32_t{});
  if (name == "s32") return f(int32_t{});
  if (name == "u64") return f(uint64_t{});
  if (name == "s64") return f(int64_t{});
  if (name == "f32") return f(float{});
  if (name == "f64") return f(double{});
  return std::nullopt;
}

// The type of a register that holds a T: bytes lie in registers of two.
template <class T>
using Held = std::conditional_t<sizeof(T) == 1, std::conditional_t<std::is_signed_v<T>, int16_t, uint16_t>, T>;

// Which rounding a conversion must name.
template <class D, class A>
std::string_view RoundingOf() {
  if (kIsFloat<D> && !kIsFloat<A>) return "rn";
  if (!kIsFloat<D> && kIsFloat<A>) return "rzi";
  if (kIsFloat<D> && sizeof(D) < sizeof(A)) return "rn";
  return "";
}

// A register of 8 bytes for an integer T of less.
template <class T>
using Wider = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
template <class D, class R, class A>
Form ConversionTo(unsigned from_bytes) {
  if constexpr (!kIsFloat<A>)
    if (from_bytes > sizeof(Held<A>)) return {Map<Convert<D, R, A, Wider<A>>, R, Wider<A>>, {Letter<R>(), '8'}};
  return {Map<Convert<D, R, A, Held<A>>, R, Held<A>>, {Letter<R>(), Letter<Held<A>>()}};
}

std::optional<Form> PlainConversion(std::string_view rounding, std::string_view to, std::string_view from, std::span<const unsigned> widths) {
  return WithType(to, [&]<class D>(D) {
    return WithType(from, [&]<class A>(A) -> std::optional<Form> {
      if (rounding != RoundingOf<D, A>()) return std::nullopt;
      if constexpr (!kIsFloat<D>)
        if (widths[0] > sizeof(Held<D>)) return ConversionTo<D, Wider<D>, A>(widths[1]);
      return ConversionTo<D, Held<D>, A>(widths[1]);
    });
  });
}

// To the nearest, of two the even one.
struct ToBFloat16 {
  uint16_t operator()(float a) const {
    const uint32_t bits = __builtin_bit_cast(uint32_t, a);
    if (std::isnan(a)) return 0x7fff;
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
};
struct ToTwoBFloat16 {  // a the upper one
  uint32_t operator()(float a, float b) const { return uint32_t{ToBFloat16{}(a)} << 16 | ToBFloat16{}(b); }
};
struct FromBFloat16 {
  float operator()(uint16_t bits) const { return __builtin_bit_cast(float, uint32_t{bits} << 16); }
};
struct FromFloat16 {
  float operator()(uint16_t bits) const { return static_cast<float>(__builtin_bit_cast(_Float16, bits)); }
};
struct ToFloat16 {
  uint16_t operator()(float a) const { return __builtin_bit_cast(uint16_t, static_cast<_Float16>(a)); }
};

template <class Part, class Whole>
void Pack(Warp& warp, const Instruction& instruction) {
  Whole* to = At<Whole>(warp, instruction.operands[0]);
  const Part* low = At<const Part>(warp, instruction.operands[1]);
  const Part* high = At<const Part>(warp, instruction.operands[2]);
  ForLanes(warp.mask, [&](unsigned lane) { to[lane] = static_cast<Whole>(Whole{high[lane]} << (8 * sizeof(Part)) | low[lane]); });
}
template <class Part, class Whole>
void Unpack(Warp& warp, const Instruction& instruction) {
  Part* low = At<Part>(warp, instruction.operands[0]);
  Part* high = At<Part>(warp, instruction.operands[1]);
  const Whole* from = At<const Whole>(warp, instruction.operands[2]);
  ForLanes(warp.mask, [&](unsigned lane) {
    const Whole whole = from[lane];
    low[lane] = static_cast<Part>(whole);
    high[lane] = static_cast<Part>(whole >> (8 * sizeof(Part)));
  });
}

struct SameAddress {
  uint64_t operator()(uint64_t address) const { return address; }
};
// Between a space's own addresses and those that all spaces share.
template <Space space, bool to_generic>
void ConvertAddress(Warp& warp, const Instruction& instruction) {
  uint64_t* to = At<uint64_t>(warp, instruction.operands[0]);
  const uint64_t* from = At<const uint64_t>(warp, instruction.operands[1]);
  const Block& block = *warp.block;
  const std::byte* window = space == Space::kShared ? block.shared : block.local.data();
  ForLanes(warp.mask, [&](unsigned lane) {
    const size_t own = space == Space::kShared ? 0 : (warp.index * kLanes + lane) * block.program->local_bytes;
    const uint64_t base = reinterpret_cast<uint64_t>(window) + own;
    to[lane] = to_generic ? from[lane] + base : from[lane] - base;
  });
}

std::optional<Form> AddressForm(std::string_view name) {
  if (name == "cvta.to.global.u64" || name == "cvta.global.u64" || name == "cvta.param.u64" || name == "cvta.to.param.u64")
    return Form{Map<SameAddress, uint64_t, uint64_t>, "88"};
  if (name == "cvta.shared.u64") return Form{ConvertAddress<Space::kShared, true>, "88"};
  if (name == "cvta.to.shared.u64") return Form{ConvertAddress<Space::kShared, false>, "88"};
  if (name == "cvta.local.u64") return Form{ConvertAddress<Space::kLocal, true>, "88"};
  if (name == "cvta.to.local.u64") return Form{ConvertAddress<Space::kLocal, false>, "88"};
  return std::nullopt;
}

}  // namespace

std::optional<Form> ConversionForm(std::string_view name, Words words, std::span<const unsigned> widths) {
  if (words[0] == "cvta") return AddressForm(name);
  if (words[0] == "mov" && widths.size() == 3) {
    if (words[1] == "b32") return widths[2] == 4 ? Form{Unpack<uint16_t, uint32_t>, "224"} : Form{Pack<uint16_t, uint32_t>, "422"};
    if (words[1] == "b64") return widths[2] == 8 ? Form{Unpack<uint32_t, uint64_t>, "448"} : Form{Pack<uint32_t, uint64_t>, "844"};
  }
  if (words[0] != "cvt") return std::nullopt;
  if (name == "cvt.sat.f32.f32") return Form{Map<Saturate, float, float>, "44"};
  if (name == "cvt.rn.bf16x2.f32") return Form{Map<ToTwoBFloat16, uint32_t, float, float>, "444"};
  if (name == "cvt.rn.bf16.f32") return Form{Map<ToBFloat16, uint16_t, float>, "24"};
  if (name == "cvt.f32.bf16") return Form{Map<FromBFloat16, float, uint16_t>, "42"};
  if (name == "cvt.f32.f16") return Form{Map<FromFloat16, float, uint16_t>, "42"};
  if (name == "cvt.rn.f16.f32") return Form{Map<ToFloat16, uint16_t, float>, "24"};
  if (name == "cvt.rzi.f32.f32") return Form{Map<Truncate, float, float>, "44"};
  if (words.size() == 3) return PlainConversion("", words[1], words[2], widths);
  if (words.size() == 4) return PlainConversion(words[1], words[2], words[3], widths);
  return std::nullopt;
}

}  // namespace ptx
