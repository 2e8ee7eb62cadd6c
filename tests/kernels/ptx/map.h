// Steps that do the same for each lane by itself.
#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include "tests/kernels/ptx/warp.h"

namespace ptx {

// operand 0 = F(operand 1, operand 2, ...)
template <class F, class D, class... A>
void Map(Warp& warp, const Instruction& instruction) {
  D* const to = At<D>(warp, instruction.operands[0]);
  [&]<size_t... K>(std::index_sequence<K...>) {
    const std::tuple<const A*...> from{At<const A>(warp, instruction.operands[K + 1])...};
    if (warp.mask != kAllLanes) return ForLanes(warp.mask, [&](unsigned lane) { to[lane] = F{}(std::get<K>(from)[lane]...); });
#pragma GCC ivdep
    for (unsigned lane = 0; lane < kLanes; ++lane) to[lane] = F{}(std::get<K>(from)[lane]...);
  }(std::index_sequence_for<A...>{});
}

// What is asked of two numbers: false where one of them is none.
struct Equal {
  template <class T>
  bool operator()(T a, T b) const { return a == b; }
};
struct Unequal {
  template <class T>
  bool operator()(T a, T b) const { return a < b || a > b; }
};
struct Less {
  template <class T>
  bool operator()(T a, T b) const { return a < b; }
};
struct LessEqual {
  template <class T>
  bool operator()(T a, T b) const { return a <= b; }
};
struct Greater {
  template <class T>
  bool operator()(T a, T b) const { return a > b; }
};
struct GreaterEqual {
  template <class T>
  bool operator()(T a, T b) const { return a >= b; }
};

// operand 0, a predicate, = F(operand 1, operand 2)
template <class F, class A>
void Test(Warp& warp, const Instruction& instruction) {
  const A* a = At<const A>(warp, instruction.operands[1]);
  const A* b = At<const A>(warp, instruction.operands[2]);
  uint32_t bits = 0;
  for (unsigned lane = 0; lane < kLanes; ++lane) bits |= uint32_t{F{}(a[lane], b[lane])} << lane;
  uint32_t& to = Predicate(warp, instruction.operands[0]);
  to = (to & ~warp.mask) | (bits & warp.mask);
}

template <class T>
constexpr char Letter() {
  return static_cast<char>('0' + sizeof(T));
}

}  // namespace ptx
