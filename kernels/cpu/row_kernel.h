// Element-wise loops over the lanes L of one instruction set, and the table that gathers all loops of it.
#pragma once

#include <cmath>

#include "kernels/cpu/attend_kernel.h"
#include "kernels/cpu/linear_table.h"

namespace drover::cpu {

template <class L>
void RmsNorm(const float* x, const float* gain, int64_t n, float eps, float* y) {
  using V = typename L::V;
  const int64_t whole = n / L::kWidth * L::kWidth;
  V squares = L::Zero();
  for (int64_t i = 0; i < whole; i += L::kWidth) squares = L::Fma(L::Load(x + i), L::Load(x + i), squares);
  if (whole < n) {
    const V v = L::LoadPart(x + whole, n - whole);
    squares = L::Fma(v, v, squares);
  }
  float sums[4];
  L::Sum4(squares, squares, squares, squares, sums);
  const float scale = 1 / __builtin_sqrtf(sums[0] / static_cast<float>(n) + eps);
  for (int64_t i = 0; i < n; ++i) y[i] = gain == nullptr ? x[i] * scale : gain[i] * (x[i] * scale);
}

template <class L>
inline typename L::V Activate(GateKind kind, typename L::V g) {
  const typename L::V one = L::Set(1.0f);
  if (kind == GateKind::kRelu) return L::Max(g, L::Zero());
  if (kind == GateKind::kGelu) {
    float each[L::kWidth];
    L::Store(each, g);
    for (float& x : each) x = 0.5f * x * (1 + erff(x * 0.70710678f));
    return L::Load(each);
  }
  if (kind == GateKind::kSilu) return L::Div(g, L::Add(one, Exp<L>(L::Sub(L::Zero(), g))));
  const typename L::V cube = L::Mul(L::Mul(g, g), g);
  const typename L::V z = L::Mul(L::Set(0.7978845608028654f), L::Fma(L::Set(0.044715f), cube, g));
  return L::Mul(L::Mul(L::Set(0.5f), g), L::Add(one, Tanh<L>(z)));
}

template <class L>
void ActivateAll(GateKind kind, float* x, int64_t n) {
  const int64_t whole = n / L::kWidth * L::kWidth;
  for (int64_t i = 0; i < whole; i += L::kWidth) L::Store(x + i, Activate<L>(kind, L::Load(x + i)));
  if (whole < n) L::StorePart(x + whole, Activate<L>(kind, L::LoadPart(x + whole, n - whole)), n - whole);
}

template <class L, int N>
void AddRowsOf(const float* factors, const float* rows, int64_t stride, int64_t n, float* y) {
  using V = typename L::V;
  V f[N];
  for (int i = 0; i < N; ++i) f[i] = L::Set(factors[i]);
  const int64_t whole = n / L::kWidth * L::kWidth, rest = n - whole;
  for (int64_t j = 0; j < whole; j += L::kWidth) {
    V sum = L::Load(y + j);
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) sum = L::Fma(f[i], L::Load(rows + i * stride + j), sum);
    L::Store(y + j, sum);
  }
  if (rest == 0) return;
  V sum = L::LoadPart(y + whole, rest);
  for (int i = 0; i < N; ++i) sum = L::Fma(f[i], L::LoadPart(rows + i * stride + whole, rest), sum);
  L::StorePart(y + whole, sum, rest);
}

template <class L>
void AddRows(const float* factors, int64_t count, const float* rows, int64_t stride, int64_t n, float* y) {
  constexpr void (*kByCount[])(const float*, const float*, int64_t, int64_t, float*) = {AddRowsOf<L, 1>, AddRowsOf<L, 2>, AddRowsOf<L, 3>,
                                                                                        AddRowsOf<L, 4>};
  kByCount[count - 1](factors, rows, stride, n, y);
}

template <class L>
void GatedProduct(GateKind kind, const float* gate, const float* up, int64_t n, float* y) {
  const int64_t whole = n / L::kWidth * L::kWidth;
  for (int64_t i = 0; i < whole; i += L::kWidth)
    L::Store(y + i, L::Mul(Activate<L>(kind, L::Load(gate + i)), L::Load(up + i)));
  if (whole < n) {
    const int64_t rest = n - whole;
    L::StorePart(y + whole, L::Mul(Activate<L>(kind, L::LoadPart(gate + whole, rest)), L::LoadPart(up + whole, rest)), rest);
  }
}

template <class L>
double ReadSum(const float* x, int64_t n) {
  typename L::V sum[8];
  for (auto& s : sum) s = L::Zero();
  for (int64_t i = 0; i + 8 * L::kWidth <= n; i += 8 * L::kWidth)
#pragma GCC unroll 8
    for (int p = 0; p < 8; ++p) sum[p] = L::Add(sum[p], L::Load(x + i + p * L::kWidth));
  double total = 0;
  for (auto& s : sum) {
    float sums[4];
    L::Sum4(s, s, s, s, sums);
    total += static_cast<double>(sums[0]);
  }
  return total;
}

template <class L>
constexpr KernelTable TableOf(std::string_view name) {
  return {name,
          LinearKernels<L>(), LinearKernelsByColumn<L>(),
          Attend<L>, RmsNorm<L>, AddRows<L>, ActivateAll<L>, GatedProduct<L>, ReadSum<L>};
}

}  // namespace drover::cpu
