// Reference of Ops::RmsNorm, Ops::LayerNorm, Ops::AddNorm, Ops::L2Norm and of the RMS norm in two halves.
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

void Ops::LayerNorm(Tensor x, int64_t width, std::span<const float> gain, std::span<const float> bias, float eps, Tensor y) {
  const auto size = static_cast<size_t>(width);
  DROVER_CHECK(width > 0 && x.rows == y.rows && x.cols == y.cols && x.cols % width == 0);
  DROVER_CHECK((gain.empty() || gain.size() == size) && (bias.empty() || bias.size() == size));
  for (size_t group = 0; group < x.all().size() / size; ++group) {
    const std::span<const float> from = x.all().subspan(group * size, size);
    const std::span<float> to = y.all().subspan(group * size, size);
    double mean = 0, variance = 0;
    for (const float value : from) mean += value;
    mean /= static_cast<double>(width);
    for (const float value : from) variance += (value - mean) * (value - mean);
    const double scale = 1 / std::sqrt(variance / static_cast<double>(width) + eps);
    for (size_t i = 0; i < size; ++i) {
      const auto normed = static_cast<float>((from[i] - mean) * scale);
      to[i] = (gain.empty() ? normed : gain[i] * normed) + (bias.empty() ? 0.0f : bias[i]);
    }
  }
}

void Ops::AddNorm(Tensor a, const RowNorm& norm, Tensor x, Tensor y) {
  Add(a, x);
  if (norm.layer_norm)
    LayerNorm(x, x.cols, norm.gain, norm.bias, norm.eps, y);
  else
    RmsNorm(x, norm.gain, norm.eps, y);
}

void Ops::SumSquares(Tensor x, int64_t first, std::span<float> sums) {
  DROVER_CHECK(first >= 0 && first <= x.cols && static_cast<int64_t>(sums.size()) == x.rows);
  for (int64_t t = 0; t < x.rows; ++t) {
    double sum = 0;
    for (const float value : x.row(t).subspan(static_cast<size_t>(first))) sum += static_cast<double>(value) * value;
    sums[static_cast<size_t>(t)] = static_cast<float>(sum);
  }
}

void Ops::ScaleBySquares(std::span<const float> sums, int64_t width, std::span<const float> gain, float eps, Tensor x) {
  DROVER_CHECK(static_cast<int64_t>(sums.size()) == x.rows && static_cast<int64_t>(gain.size()) == x.cols);
  for (int64_t t = 0; t < x.rows; ++t) {
    const float scale = 1 / std::sqrt(sums[static_cast<size_t>(t)] / static_cast<float>(width) + eps);
    for (size_t i = 0; i < gain.size(); ++i) x.row(t)[i] = gain[i] * (x.row(t)[i] * scale);
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
