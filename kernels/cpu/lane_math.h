// exp, tanh and the opening of cached values over the lanes L of one instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace drover::cpu {

// exp(x) to about 1 ulp: x = n·ln2 + r, a polynomial in r, times 2^n. Zero below -87.3; NaN stays NaN.
template <class L>
inline typename L::V Exp(typename L::V x) {
  using V = typename L::V;
  const V clamped = L::Min(L::Set(88.3f), L::Max(L::Set(-88.3f), x));
  const V n = L::Round(L::Mul(clamped, L::Set(1.44269504088896341f)));
  V r = L::Fma(n, L::Set(-0.693359375f), clamped);
  r = L::Fma(n, L::Set(2.12194440e-4f), r);
  V p = L::Set(1.9875691500e-4f);
  p = L::Fma(p, r, L::Set(1.3981999507e-3f));
  p = L::Fma(p, r, L::Set(8.3334519073e-3f));
  p = L::Fma(p, r, L::Set(4.1665795894e-2f));
  p = L::Fma(p, r, L::Set(1.6666665459e-1f));
  p = L::Fma(p, r, L::Set(5.0000001201e-1f));
  const V y = L::Add(L::Fma(p, L::Mul(r, r), r), L::Set(1.0f));
  return L::ZeroBelow(L::TimesPowerOfTwo(y, n), x, -87.3f);
}

// tanh(z) = 1 - 2 / (exp(2z) + 1).
template <class L>
inline typename L::V Tanh(typename L::V z) {
  const typename L::V one = L::Set(1.0f);
  return L::Sub(one, L::Div(L::Set(2.0f), L::Add(Exp<L>(L::Add(z, z)), one)));
}

// Cached values as f32: of an f32 cache, or of a bf16 one, whose elements are uint16_t.
template <class L>
inline typename L::V LoadCached(const float* p) {
  return L::Load(p);
}
template <class L>
inline typename L::V LoadCached(const uint16_t* p) {
  return L::LoadBF16(p);
}
template <class L>
inline typename L::V LoadCachedPart(const float* p, int64_t n) {
  return L::LoadPart(p, n);
}
template <class L>
inline typename L::V LoadCachedPart(const uint16_t* p, int64_t n) {
  uint16_t whole[L::kWidth] = {};
  __builtin_memcpy(whole, p, static_cast<size_t>(n) * sizeof(uint16_t));
  return L::LoadBF16(whole);
}

}  // namespace drover::cpu
