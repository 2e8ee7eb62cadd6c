// Reference of Ops::GatedProduct, Sigmoid, ClampedPairs and Add.
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

}  // namespace

void Ops::GatedProduct(GateKind kind, Tensor gate, Tensor up, Tensor y) {
  DROVER_CHECK(gate.size() == up.size() && gate.size() == y.size());
  for (int64_t i = 0; i < y.size(); ++i) {
    const double activated = kind == GateKind::kSilu ? Silu(gate.data[i]) : GeluTanh(gate.data[i]);
    y.data[i] = static_cast<float>(activated) * up.data[i];
  }
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

}  // namespace drover
