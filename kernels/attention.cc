// Reference of Ops::AppendKv and Ops::Attend.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "common/check.h"
#include "common/dtype.h"
#include "kernels/ops.h"

namespace drover {
namespace {

float CachedAt(const std::byte* cache, DType type, int64_t i) {
  if (type == DType::kF32) return reinterpret_cast<const float*>(cache)[i];
  DROVER_CHECK(type == DType::kBF16);
  return BFloat16ToFloat(reinterpret_cast<const uint16_t*>(cache)[i]);
}

void Store(std::span<const float> row, int64_t offset, DType type, std::byte* cache) {
  if (type == DType::kF32) {
    std::ranges::copy(row, reinterpret_cast<float*>(cache) + offset);
    return;
  }
  DROVER_CHECK(type == DType::kBF16);
  std::ranges::transform(row, reinterpret_cast<uint16_t*>(cache) + offset, FloatToBFloat16);
}

// One query head at a position: its KV head begins at `offset` within a token.
struct Query {
  const float* q;
  int64_t position, offset;
  double sink;  // -infinity: none
  float slope;  // 0: no bias
};

double Score(const Query& query, const SequenceRows& sequence, const KvLayer& kv, const AttentionShape& shape, int64_t key) {
  const int64_t offset = kv.Offset(sequence.blocks, key) + query.offset;
  double dot = 0;
  for (int64_t i = 0; i < shape.head_dim; ++i) dot += static_cast<double>(query.q[i]) * CachedAt(kv.keys, kv.type, offset + i);
  double score = shape.scale * dot;
  if (shape.softcap > 0) score = shape.softcap * std::tanh(score / shape.softcap);
  if (query.slope != 0) score += AttentionShape::Bias(query.slope, shape.bias_factor, shape.bias_rounded, key, query.position);
  return score;
}

// y = Σ_j softmax_j(score of key j)·V[j].
void AttendOne(const Query& query, const SequenceRows& sequence, const KvLayer& kv, const AttentionShape& shape, std::span<float> y) {
  std::vector<double> p;
  const int64_t position = query.position, head = query.offset;
  for (int64_t key = shape.FirstKey(position); key <= position; ++key) p.push_back(Score(query, sequence, kv, shape, key));
  const double max = std::max(query.sink, *std::ranges::max_element(p));
  double sum = std::exp(query.sink - max);
  for (double& value : p) sum += value = std::exp(value - max);
  for (size_t d = 0; d < y.size(); ++d) {
    double value = 0;
    for (size_t j = 0; j < p.size(); ++j) {
      const int64_t key = shape.FirstKey(position) + static_cast<int64_t>(j);
      value += p[j] / sum * CachedAt(kv.values, kv.type, kv.Offset(sequence.blocks, key) + head + static_cast<int64_t>(d));
    }
    y[d] = static_cast<float>(value);
  }
}

}  // namespace

float AttentionShape::Bias(float slope, float factor, bool rounded, int64_t key, int64_t position) {
  if (!rounded) return factor * slope * static_cast<float>(key - position);
  const auto round = [](float x) { return BFloat16ToFloat(FloatToBFloat16(x)); };
  return factor * round(round(slope) * round(static_cast<float>(key)));
}

void Ops::AppendKv(Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) {
  DROVER_CHECK(k.cols == kv.token_stride() && (v.size() == 0 || v.cols == kv.token_stride()));
  for (const SequenceRows& sequence : sequences) {
    for (int64_t i = 0; i < sequence.rows; ++i) {
      const int64_t offset = kv.Offset(sequence.blocks, sequence.position + i);
      Store(k.row(sequence.first_row + i), offset, kv.type, kv.keys);
      if (v.size() != 0) Store(v.row(sequence.first_row + i), offset, kv.type, kv.values);
    }
  }
}

void Ops::Attend(Tensor q, std::span<const SequenceRows> sequences, const KvLayer& kv, const AttentionShape& shape, Tensor y) {
  const int64_t value_dim = shape.ValueDim();
  DROVER_CHECK(q.cols == shape.heads * shape.head_dim && y.cols == shape.heads * value_dim && y.rows == q.rows);
  for (const SequenceRows& sequence : sequences) {
    for (int64_t i = 0; i < sequence.rows; ++i) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        const int64_t kv_head = (shape.first_head + h) / shape.group - shape.first_kv_head;
        const int64_t row = sequence.first_row + i;
        const double sink = shape.sinks.empty() ? -std::numeric_limits<double>::infinity() : shape.sinks[static_cast<size_t>(h)];
        const float slope = shape.slopes.empty() ? 0 : shape.slopes[static_cast<size_t>(h)];
        AttendOne({q.row(row).data() + h * shape.head_dim, sequence.position + i, kv_head * shape.head_dim, sink, slope}, sequence, kv, shape,
                  y.row(row).subspan(static_cast<size_t>(h * value_dim), static_cast<size_t>(value_dim)));
      }
    }
  }
}

}  // namespace drover
