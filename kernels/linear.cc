// Reference of Ops::Linear, of what is made of several of them, and of Ops::Embed.
#include <algorithm>
#include <vector>

#include "common/check.h"
#include "kernels/ops.h"
#include "kernels/unpack.h"

namespace drover {

void Ops::Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y) {
  DROVER_CHECK_EQ(x.rows, y.rows);
  DROVER_CHECK(bias.empty() || static_cast<int64_t>(bias.size()) == y.cols);
  DROVER_CHECK(weight.empty() || (weight.rows == y.cols && weight.cols == x.cols));
  std::vector<float> row(static_cast<size_t>(weight.empty() ? 0 : weight.cols));
  for (int64_t r = 0; r < y.cols; ++r) {
    if (!weight.empty()) UnpackRow(weight, r, row);
    for (int64_t t = 0; t < x.rows; ++t) {
      double sum = bias.empty() ? 0 : bias[static_cast<size_t>(r)];
      for (size_t c = 0; c < row.size(); ++c) sum += static_cast<double>(row[c]) * x.row(t)[c];
      y.row(t)[static_cast<size_t>(r)] = static_cast<float>(sum);
    }
  }
}

void Ops::Linears(std::span<const LinearPart> parts, Tensor x) {
  for (const LinearPart& part : parts) Linear(part.weight, part.bias, x, part.y);
}

void Ops::GatedLinear(GateKind kind, const LinearPart& gate, const LinearPart& up, Tensor x) {
  const LinearPart parts[] = {gate, up};
  Linears(parts, x);
  GatedProduct(kind, gate.y, up.y, gate.y);
}

void Ops::Embed(const PackedWeight& table, int64_t first, std::span<const int32_t> ids, Tensor y) {
  DROVER_CHECK_EQ(static_cast<int64_t>(ids.size()), y.rows);
  for (int64_t t = 0; t < y.rows; ++t) {
    const int64_t row = ids[static_cast<size_t>(t)] - first;
    if (row >= 0 && row < table.rows && !table.empty())
      UnpackRow(table, row, y.row(t));
    else
      std::ranges::fill(y.row(t), 0.0f);
  }
}

}  // namespace drover
