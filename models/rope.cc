// MakeRopeTable: inverse frequencies θ^(-2i/d) with their scaling, in f32 as the reference computes them.
#include "models/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "models/spec.h"

namespace drover {
namespace {

// θ^(2i/d): the exponent is rounded to f32 first, as the reference's is.
float PositionFrequency(const Rope& rope, int64_t i) {
  const float exponent = static_cast<float>(2 * i) / static_cast<float>(rope.dims);
  return static_cast<float>(std::pow(rope.theta, static_cast<double>(exponent)));
}

// Wavelengths λ above original/low are divided by the factor, below original/high kept, between them blended by
// s = (original/λ - low) / (high - low). With low = high there is nothing between.
float Llama3(const RopeScaling& scaling, float frequency) {
  const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
  const auto low = static_cast<float>(scaling.low_freq_factor), high = static_cast<float>(scaling.high_freq_factor);
  const auto original = static_cast<float>(scaling.original_positions), factor = static_cast<float>(scaling.factor);
  if (wavelength > original / low) return frequency / factor;
  if (wavelength < original / high || low == high) return frequency;
  const float s = (original / wavelength - low) / (high - low);
  return (1 - s) * frequency / factor + s * frequency;
}

// Dimension whose wavelength makes `rotations` turns within the original context.
double CorrectionDim(const Rope& rope, double rotations) {
  return static_cast<double>(rope.dims) *
         std::log(rope.scaling.original_positions / (rotations * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
}

void Yarn(const Rope& rope, RopeTable& table) {
  const RopeScaling& scaling = rope.scaling;
  double low = CorrectionDim(rope, scaling.beta_fast), high = CorrectionDim(rope, scaling.beta_slow);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rope.dims - 1));
  if (low == high) high += 0.001;
  for (int64_t i = 0; i < rope.pairs(); ++i) {
    const float position = PositionFrequency(rope, i);
    const float ramp = std::clamp((static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
    const float keep = 1 - ramp;
    table.inverse_frequency.push_back(1 / (static_cast<float>(scaling.factor) * position) * (1 - keep) + 1 / position * keep);
  }
  const double by_factor = scaling.factor > 1 ? 0.1 * std::log(scaling.factor) + 1 : 1;
  table.factor = static_cast<float>(scaling.attention_factor.value_or(by_factor));
}

// θ' = θ·(factor·length/original - (factor - 1))^(d/(d-2)), in f32.
Rope Stretched(const Rope& rope, int64_t length) {
  Rope stretched = rope;
  const auto factor = static_cast<float>(rope.scaling.factor), original = static_cast<float>(rope.scaling.original_positions);
  const auto dims = static_cast<double>(rope.dims);
  const float growth = factor * static_cast<float>(length) / original - static_cast<float>(rope.scaling.factor - 1);
  stretched.theta = static_cast<float>(rope.theta) * std::pow(growth, static_cast<float>(dims / (dims - 2)));
  return stretched;
}

// Each frequency is divided by a factor of its own.
void Longrope(const Rope& rope, bool is_long, RopeTable& table) {
  const RopeScaling& scaling = rope.scaling;
  const std::vector<float>& divisors = is_long ? scaling.long_factors : scaling.short_factors;
  for (int64_t i = 0; i < rope.pairs(); ++i)
    table.inverse_frequency.push_back(1 / (divisors[static_cast<size_t>(i)] * PositionFrequency(rope, i)));
  const double by_factor = scaling.factor > 1 ? std::sqrt(1 + std::log(scaling.factor) / std::log(scaling.original_positions)) : 1;
  table.factor = static_cast<float>(scaling.attention_factor.value_or(by_factor));
}

}  // namespace

KeyLengths KeyLengthsOf(const Rope& rope) {
  const RopeScalingKind kind = rope.scaling.kind;
  if (kind != RopeScalingKind::kDynamic && kind != RopeScalingKind::kLongrope) return {};
  return {static_cast<int64_t>(rope.scaling.original_positions), kind == RopeScalingKind::kDynamic};
}

KeyLengths KeyLengthsOf(const ModelSpec& spec) {
  KeyLengths all;
  for (const LayerKind& kind : spec.kinds) {
    const KeyLengths own = kind.attention.rope ? KeyLengthsOf(*kind.attention.rope) : KeyLengths{};
    if (own.limit == 0) continue;
    all = {all.limit == 0 ? own.limit : std::min(all.limit, own.limit), all.every || own.every || (all.limit != 0 && all.limit != own.limit)};
  }
  return all;
}

RopeTable MakeRopeTable(const Rope& rope, int64_t length) {
  if (rope.scaling.kind == RopeScalingKind::kDynamic) {
    Rope plain = KeyLengthsOf(rope).SetOf(length) == 0 ? rope : Stretched(rope, length);
    plain.scaling = {};
    return MakeRopeTable(plain);
  }
  RopeTable table;
  table.inverse_frequency.reserve(static_cast<size_t>(rope.pairs()));
  if (rope.scaling.kind == RopeScalingKind::kYarn) {
    Yarn(rope, table);
    return table;
  }
  if (rope.scaling.kind == RopeScalingKind::kLongrope) {
    Longrope(rope, KeyLengthsOf(rope).SetOf(length) != 0, table);
    return table;
  }
  for (int64_t i = 0; i < rope.pairs(); ++i) {
    float frequency = 1 / PositionFrequency(rope, i);
    if (rope.scaling.kind == RopeScalingKind::kLinear) frequency /= static_cast<float>(rope.scaling.factor);
    if (rope.scaling.kind == RopeScalingKind::kLlama3) frequency = Llama3(rope.scaling, frequency);
    if (rope.scaling.kind == RopeScalingKind::kDivisors) frequency /= rope.scaling.divisors[static_cast<size_t>(i)];
    table.inverse_frequency.push_back(frequency);
  }
  return table;
}

}  // namespace drover
