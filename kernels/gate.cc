// Reference of the element-wise operations: activations and their products, Ops::Sigmoid, Add, Scale, Clamp and SoftCap.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "common/check.h"
#include "kernels/ops.h"

namespace drover {
namespace {

double Silu(double g) { return g / (1 + std::exp(-g)); }

double GeluTanh(double g) {
  return g / 2 * (1 + std::tanh(std::sqrt(2 * std::numbers::inv_pi) * (g + 0.044715 * g * g * g)));
}

double Activated(GateKind kind, double g) {
  switch (kind) {
    case GateKind::kSilu: return Silu(g);
    case GateKind::kGeluTanh: return GeluTanh(g);
    case GateKind::kGelu: return g / 2 * (1 + std::erf(g / std::numbers::sqrt2));
    case GateKind::kRelu: return std::max(g, 0.0);
  }
  return 0;
}

}  // namespace

void Ops::Activate(GateKind kind, Tensor x) {
  for (float& value : x.all()) value = static_cast<float>(Activated(kind, value));
}

void Ops::GatedProduct(GateKind kind, Tensor gate, Tensor up, Tensor y) {
  DROVER_CHECK(gate.size() == up.size() && gate.size() == y.size());
  for (int64_t i = 0; i < y.size(); ++i) y.data[i] = static_cast<float>(Activated(kind, gate.data[i])) * up.data[i];
}

void Ops::Sigmoid(Tensor x) {
  for (float& value : x.all()) value = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(value))));
}

void Ops::ClampedPairs(float alpha, float limit, Tensor x, Tensor y) {
  DROVER_CHECK(x.size() == 2 * y.size() && x.rows == y.rows);
  for (int64_t i = 0; i < y.size(); ++i) {
    const double gate = std::min(x.data[2 * i], limit), up = std::clamp(x.data[2 * i + 1], -limit, limit);
    y.data[i] = static_cast<float>((up + 1) * gate / (1 + std::exp(-alpha * gate)));
  }
}

void Ops::Add(Tensor a, Tensor x) {
  DROVER_CHECK_EQ(a.size(), x.size());
  for (int64_t i = 0; i < x.size(); ++i) x.data[i] += a.data[i];
}

void Ops::Clamp(float limit, Tensor x) {
  for (float& value : x.all()) value = std::clamp(value, -limit, limit);
}

void Ops::Scale(float factor, Tensor x) {
  for (float& value : x.all()) value *= factor;
}

void Ops::SoftCap(float cap, Tensor x) {
  for (float& value : x.all()) value = cap * std::tanh(value / cap);
}

}  // namespace drover
