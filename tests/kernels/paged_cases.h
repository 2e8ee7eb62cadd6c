// Cases of paged attention: heads and keys of a shape, caches with random values in f32 or bf16, and sequences whose blocks interleave.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "tests/kernels/random_tensors.h"

namespace drover {

struct AttendCase {
  const char* name;
  int64_t head_dim;
  int64_t heads, first_head, kv_heads, first_kv_head, group;
  int64_t window, chunk, block_tokens;
  int64_t value_dim = 0;  // > 0: values are the keys' last so many
  bool sinks = false;
  float softcap = 0;
  bool alibi = false, rounded = false;
};

using Lengths = std::vector<std::pair<int64_t, int64_t>>;  // of a sequence, and of these the last rows that are queries

// Of a cache that holds these values, or the nearest that it can.
inline std::vector<std::byte> Cached(std::span<const float> values, DType type) {
  std::vector<std::byte> bytes(values.size() * (type == DType::kBF16 ? 2 : 4));
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t rounded = FloatToBFloat16(values[i]);
    if (type == DType::kBF16)
      std::memcpy(bytes.data() + 2 * i, &rounded, 2);
    else
      std::memcpy(bytes.data() + 4 * i, &values[i], 4);
  }
  return bytes;
}

struct Paged {
  std::vector<std::byte> keys, values;
  std::vector<std::vector<int32_t>> blocks;
  std::vector<SequenceRows> sequences;
  KvLayer kv;
};

// Sequences of these lengths whose last `rows` positions are the queries; their blocks interleave.
inline Paged MakePaged(const AttendCase& c, DType type, const Lengths& lengths) {
  int64_t blocks = 2;
  for (const auto& [length, rows] : lengths) blocks += (length + c.block_tokens - 1) / c.block_tokens;
  const int64_t token = c.kv_heads * c.head_dim;
  const auto cache = [&](uint32_t seed) { return Cached(Random(blocks * c.block_tokens, token, seed).values, type); };
  Paged paged{cache(5), cache(6), {}, {}, {}};
  auto next = static_cast<int32_t>(blocks - 1);
  int64_t row = 0;
  for (const auto& [length, rows] : lengths) {
    paged.blocks.emplace_back();
    for (int64_t held = 0; held < length; held += c.block_tokens) paged.blocks.back().push_back(next--);
    paged.sequences.push_back({row, rows, length - rows, {}});
    row += rows;
  }
  for (size_t s = 0; s < paged.sequences.size(); ++s) paged.sequences[s].blocks = paged.blocks[s];
  paged.kv = {paged.keys.data(), paged.values.data(), c.block_tokens, c.kv_heads, c.head_dim, type};
  if (c.value_dim > 0) paged.kv.values = paged.kv.keys + (c.head_dim - c.value_dim) * paged.kv.element_bytes();
  return paged;
}

// Scores that differ by some units, whatever the size of heads, as those of models do.
inline float ScaleOf(int64_t head_dim) { return 2 / std::sqrt(static_cast<float>(head_dim)); }

inline AttentionShape ShapeOf(const AttendCase& c) {
  static const std::vector<float> sinks = {0.5f, -3, 2, 40, -200};  // one far above, one far below any score
  static constexpr float kSlopes[] = {0.5f, 0.11f, 0.03f};
  AttentionShape shape{.heads = c.heads, .first_head = c.first_head, .kv_heads = c.kv_heads, .first_kv_head = c.first_kv_head,
                       .group = c.group, .head_dim = c.head_dim, .scale = ScaleOf(c.head_dim), .softcap = c.softcap, .window = c.window, .chunk = c.chunk,
                       .value_dim = c.value_dim};
  if (c.sinks) shape.sinks = std::span(sinks).first(static_cast<size_t>(c.heads));
  if (c.alibi) shape.slopes = kSlopes;
  shape.bias_factor = 0.7f;
  shape.bias_rounded = c.rounded;
  return shape;
}

inline int64_t RowsOf(const Lengths& lengths) {
  int64_t rows = 0;
  for (const auto& sequence : lengths) rows += sequence.second;
  return rows;
}

inline Owned RowOf(const Owned& tensor, int64_t row) {
  Owned one(1, tensor.tensor.cols, 0);
  std::ranges::copy(tensor.tensor.row(row), one.values.begin());
  return one;
}

}  // namespace drover
