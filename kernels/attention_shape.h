// What attention is told beside its tensors: where keys and values lie, whose rows these are, who sees what.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/dtype.h"

namespace drover {

// One layer's keys and values, f32 or bf16: [blocks, block_tokens, kv_heads, head_dim]. Values may be a part of the keys: then
// `values` points into them and only keys are appended.
struct KvLayer {
  std::byte* keys = nullptr;
  std::byte* values = nullptr;
  int64_t block_tokens = 0, kv_heads = 0, head_dim = 0;
  DType type = DType::kF32;

  constexpr int64_t element_bytes() const { return type == DType::kBF16 ? 2 : 4; }
  constexpr int64_t token_stride() const { return kv_heads * head_dim; }  // in elements
  // Offset, in elements, of the heads of `position` in a sequence with these blocks.
  int64_t Offset(std::span<const int32_t> blocks, int64_t position) const {
    const int64_t block = blocks[static_cast<size_t>(position / block_tokens)];
    return (block * block_tokens + position % block_tokens) * token_stride();
  }
};

// Consecutive rows of a step's tensors that belong to one sequence.
struct SequenceRows {
  int64_t first_row = 0, rows = 0;
  int64_t position = 0;  // of the first row
  std::span<const int32_t> blocks;
};

// Which own query head uses which own KV head, and what a query sees. Heads are numbered over the whole model:
// own head h = first_head + column block; its KV head is h / group.
struct AttentionShape {
  int64_t heads = 0, first_head = 0;        // own
  int64_t kv_heads = 0, first_kv_head = 0;  // own
  int64_t group = 1;                        // query heads of one KV head
  int64_t head_dim = 0;
  float scale = 1;
  float softcap = 0;   // > 0: scores s become softcap·tanh(s / softcap)
  std::span<const float> slopes = {};  // of own heads, when keys carry a bias: see Bias
  float bias_factor = 1;
  bool bias_rounded = false;
  int64_t window = 0;  // > 0: keys in (p - window, p]
  int64_t chunk = 0;   // > 0: keys k with k / chunk == p / chunk
  int64_t value_dim = 0;          // > 0: the leading values of a V row that count; else head_dim
  std::span<const float> sinks = {};  // of own heads; empty: none

  constexpr int64_t ValueDim() const { return value_dim > 0 ? value_dim : head_dim; }
  // ALiBi: the bias of a key on the scores of an own head. The softmax does not see what all keys share, so that the distance to
  // the query does as well as the key's position; the rounded form has to start from the position.
  static float Bias(float slope, float factor, bool rounded, int64_t key, int64_t position);
  constexpr int64_t FirstKey(int64_t position) const {
    int64_t first = 0;
    if (window > 0 && position - window + 1 > first) first = position - window + 1;
    if (chunk > 0 && position / chunk * chunk > first) first = position / chunk * chunk;
    return first;
  }
};

}  // namespace drover
