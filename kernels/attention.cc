// Reference of Ops::AppendKv and Ops::Attend.
#include <algorithm>
#include <cmath>
#include <vector>

#include "common/check.h"
#include "kernels/ops.h"

namespace drover {
namespace {

double Dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// y = Σ_j softmax_j(scale·q·K[j])·V[j] for one query head at `position`; `head` is the offset of its KV head within a token.
void AttendOne(const float* q, const SequenceRows& sequence, const KvLayer& kv, const AttentionShape& shape, int64_t position,
               std::span<float> y, int64_t head) {
  std::vector<double> p;
  for (int64_t key = shape.FirstKey(position); key <= position; ++key)
    p.push_back(shape.scale * Dot(q, kv.keys + kv.Offset(sequence.blocks, key) + head, shape.head_dim));
  const double max = *std::ranges::max_element(p);
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - max);
  for (size_t d = 0; d < y.size(); ++d) {
    double value = 0;
    for (size_t j = 0; j < p.size(); ++j) {
      const int64_t key = shape.FirstKey(position) + static_cast<int64_t>(j);
      value += p[j] / sum * kv.values[kv.Offset(sequence.blocks, key) + head + static_cast<int64_t>(d)];
    }
    y[d] = static_cast<float>(value);
  }
}

}  // namespace

void Ops::AppendKv(Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) {
  DROVER_CHECK(k.cols == kv.token_stride() && v.cols == kv.token_stride());
  for (const SequenceRows& sequence : sequences) {
    for (int64_t i = 0; i < sequence.rows; ++i) {
      const int64_t offset = kv.Offset(sequence.blocks, sequence.position + i);
      std::ranges::copy(k.row(sequence.first_row + i), kv.keys + offset);
      std::ranges::copy(v.row(sequence.first_row + i), kv.values + offset);
    }
  }
}

void Ops::Attend(Tensor q, std::span<const SequenceRows> sequences, const KvLayer& kv, const AttentionShape& shape, Tensor y) {
  DROVER_CHECK(q.cols == shape.heads * shape.head_dim && y.cols == q.cols && y.rows == q.rows);
  for (const SequenceRows& sequence : sequences) {
    for (int64_t i = 0; i < sequence.rows; ++i) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        const int64_t kv_head = (shape.first_head + h) / shape.group - shape.first_kv_head;
        const int64_t column = h * shape.head_dim, row = sequence.first_row + i;
        AttendOne(q.row(row).data() + column, sequence, kv, shape, sequence.position + i,
                  y.row(row).subspan(static_cast<size_t>(column), static_cast<size_t>(shape.head_dim)), kv_head * shape.head_dim);
      }
    }
  }
}

}  // namespace drover
