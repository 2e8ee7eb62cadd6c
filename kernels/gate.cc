// Reference of Ops::GatedProduct and Ops::Add.
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

void Ops::Add(Tensor a, Tensor x) {
  DROVER_CHECK_EQ(a.size(), x.size());
  for (int64_t i = 0; i < x.size(); ++i) x.data[i] += a.data[i];
}

}  // namespace drover
