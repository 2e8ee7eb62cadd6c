// Slopes of ALiBi as the reference computes them, in f32.
#include <cmath>

#include "models/spec.h"

namespace drover {
namespace {

// base^1 ... base^n with base = 2^(-8 / n): n heads, a power of two. Every second one of twice as many fills up to `heads`.
std::vector<float> Interleaved(int64_t heads) {
  int64_t n = 1;
  while (2 * n <= heads) n *= 2;
  const auto base = [](int64_t count) { return static_cast<float>(std::exp2(-std::exp2(-(std::log2(static_cast<double>(count)) - 3)))); };
  std::vector<float> slopes;
  for (int64_t i = 1; i <= n; ++i) slopes.push_back(std::pow(base(n), static_cast<float>(i)));
  for (int64_t i = 0; i < heads - n; ++i) slopes.push_back(std::pow(base(2 * n), static_cast<float>(2 * i + 1)));
  return slopes;
}

// 2^(-8·i / n) for i in 1 ... n, the next higher power of two; the even i first when heads is none.
std::vector<float> EverySecond(int64_t heads) {
  int64_t n = 1;
  while (n < heads) n *= 2;
  const auto slope = [n](int64_t i) { return 1 / std::exp2(static_cast<float>(i) * static_cast<float>(8.0 / static_cast<double>(n))); };
  std::vector<float> slopes;
  if (n == heads)
    for (int64_t i = 1; i <= n; ++i) slopes.push_back(slope(i));
  for (int64_t i = 2; i <= n && n != heads; i += 2) slopes.push_back(slope(i));
  for (int64_t i = 1; i <= n && n != heads; i += 2) slopes.push_back(slope(i));
  slopes.resize(static_cast<size_t>(heads));
  return slopes;
}

}  // namespace

std::vector<float> MakeAlibiSlopes(const Alibi& alibi, int64_t heads) {
  return alibi.slopes == AlibiSlopes::kInterleaved ? Interleaved(heads) : EverySecond(heads);
}

}  // namespace drover
