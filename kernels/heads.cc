// Reference of Ops::HeadLinear, HeadLinearTransposed and CopyHeads: matrices and columns that belong to single heads.
#include <algorithm>
#include <vector>

#include "common/check.h"
#include "kernels/ops.h"
#include "kernels/unpack.h"

namespace drover {
namespace {

// The share of head h in row t.
std::span<float> Head(Tensor x, int64_t t, int64_t h, int64_t heads) {
  const auto width = static_cast<size_t>(x.cols / heads);
  return x.row(t).subspan(static_cast<size_t>(h) * width, width);
}

void CheckPart(const PackedWeight& weight, const HeadRows& part, Tensor x, Tensor y) {
  DROVER_CHECK(part.first >= 0 && part.rows >= 0 && part.first + part.rows <= part.stride);
  DROVER_CHECK(x.rows == y.rows && x.cols % part.heads == 0 && y.cols % part.heads == 0);
  DROVER_CHECK_EQ(weight.rows, part.heads * part.stride);
}

}  // namespace

void Ops::HeadLinear(const PackedWeight& weight, const HeadRows& part, Tensor x, Tensor y) {
  if (part.heads == 0) return;
  CheckPart(weight, part, x, y);
  DROVER_CHECK(x.cols == part.heads * weight.cols && y.cols == part.heads * part.rows);
  std::vector<float> row(static_cast<size_t>(weight.cols));
  for (int64_t h = 0; h < part.heads; ++h) {
    for (int64_t i = 0; i < part.rows; ++i) {
      UnpackRow(weight, h * part.stride + part.first + i, row);
      for (int64_t t = 0; t < x.rows; ++t) {
        const std::span<const float> from = Head(x, t, h, part.heads);
        double sum = 0;
        for (size_t c = 0; c < row.size(); ++c) sum += static_cast<double>(row[c]) * from[c];
        Head(y, t, h, part.heads)[static_cast<size_t>(i)] = static_cast<float>(sum);
      }
    }
  }
}

void Ops::HeadLinearTransposed(const PackedWeight& weight, const HeadRows& part, Tensor x, int64_t column, Tensor y) {
  if (part.heads == 0) return;
  CheckPart(weight, part, x, y);
  DROVER_CHECK(x.cols >= part.heads * part.rows && column >= 0 && y.cols >= part.heads * (column + weight.cols));
  std::vector<float> row(static_cast<size_t>(weight.cols));
  std::vector<double> sums(static_cast<size_t>(x.rows) * row.size());
  for (int64_t h = 0; h < part.heads; ++h) {
    std::ranges::fill(sums, 0.0);
    for (int64_t i = 0; i < part.rows; ++i) {
      UnpackRow(weight, h * part.stride + part.first + i, row);
      for (int64_t t = 0; t < x.rows; ++t) {
        const double factor = Head(x, t, h, part.heads)[static_cast<size_t>(i)];
        for (size_t c = 0; c < row.size(); ++c) sums[static_cast<size_t>(t) * row.size() + c] += factor * row[c];
      }
    }
    for (int64_t t = 0; t < x.rows; ++t)
      for (size_t c = 0; c < row.size(); ++c)
        Head(y, t, h, part.heads)[static_cast<size_t>(column) + c] = static_cast<float>(sums[static_cast<size_t>(t) * row.size() + c]);
  }
}

void Ops::CopyHeads(int64_t heads, Tensor x, int64_t from, Tensor y, int64_t to, int64_t count) {
  if (heads == 0) return;
  DROVER_CHECK(x.rows == y.rows && from >= 0 && to >= 0 && from + count <= x.cols / heads && to + count <= y.cols / heads);
  for (int64_t t = 0; t < x.rows; ++t)
    for (int64_t h = 0; h < heads; ++h)
      std::ranges::copy(Head(x, t, h, heads).subspan(static_cast<size_t>(from), static_cast<size_t>(count)),
                        Head(y, t, h, heads).begin() + to);
}

}  // namespace drover
