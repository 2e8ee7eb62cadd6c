// Reference of Ops::RmsNorm and Ops::L2Norm.
#include <cmath>

#include "common/check.h"
#include "kernels/ops.h"

namespace drover {
namespace {

// 1 / sqrt(mean x² + eps)
float InverseRms(std::span<const float> x, float eps) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value) * value;
  return static_cast<float>(1 / std::sqrt(sum / static_cast<double>(x.size()) + eps));
}

}  // namespace

void Ops::RmsNorm(Tensor x, std::span<const float> gain, float eps, Tensor y) {
  const size_t width = gain.size();
  DROVER_CHECK(width > 0 && x.rows == y.rows && x.cols == y.cols && x.cols % static_cast<int64_t>(width) == 0);
  for (size_t group = 0; group < x.all().size() / width; ++group) {
    const std::span<const float> from = x.all().subspan(group * width, width);
    const std::span<float> to = y.all().subspan(group * width, width);
    const float scale = InverseRms(from, eps);
    for (size_t i = 0; i < width; ++i) to[i] = gain[i] * (from[i] * scale);
  }
}

void Ops::L2Norm(int64_t width, float eps, Tensor x) {
  DROVER_CHECK(width > 0 && x.cols % width == 0);
  const auto step = static_cast<size_t>(width);
  for (size_t group = 0; group < x.all().size() / step; ++group) {
    const std::span<float> values = x.all().subspan(group * step, step);
    const float scale = InverseRms(values, eps);
    for (float& value : values) value *= scale;
  }
}

}  // namespace drover
