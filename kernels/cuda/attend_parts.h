// How the keys of a query are cut into parts that are attended to one by one and merged in the order of the keys. The cut depends on
// the keys that the query sees and on the model, never on the batch, so that a query's bits depend on nothing beside it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/attention_shape.h"

namespace drover::cuda {

inline constexpr int64_t kPartKeysMin = 128, kPartKeysMost = 1024;  // the least that a part has, by the model
inline constexpr int64_t kPartsMax = 129;

// The least of a part. Alone, 8,192 tokens shall keep 132 multiprocessors busy, by 256 parts over all KV heads: 32 keys for each head.
// But a part has to be long enough (its results are written once and read once) that those are at most a quarter of the bytes of its
// keys and values: 8 of a value's 4 + 4 bytes for each query that shares them. Latent attention of 128 heads would need 2,048 keys; it
// is bound by tensor cores, so that 1,024 (0.45 of the bytes) cost it less than idle multiprocessors. docs/gpu.md has the figures.
inline int32_t LeastPartKeys(const KvLayer& kv, const AttentionShape& shape) {
  const bool inside = kv.values >= kv.keys && kv.values < kv.keys + kv.head_dim * kv.element_bytes();  // values are a part of the keys
  const int64_t key_bytes = (shape.head_dim + (inside ? 0 : shape.ValueDim())) * kv.element_bytes();
  const int64_t results_bytes = 8 * std::min(shape.group, shape.heads) * (shape.ValueDim() + 2);
  const int64_t spread = std::clamp<int64_t>(32 * shape.kv_heads, kPartKeysMin, 256), quarter = 4 * results_bytes / key_bytes;
  return static_cast<int32_t>(std::bit_ceil(static_cast<uint64_t>(std::min(std::max(spread, quarter), kPartKeysMost))));
}

// Keys of each part of a query that sees `keys` of them; parts begin at multiples of it. Long contexts have larger parts, so that there
// are never more than kPartsMax.
constexpr int32_t PartKeys(int64_t keys, int32_t least) {
  int32_t part = least;
  while (part * (kPartsMax - 1) < keys) part *= 2;
  return part;
}

// No query that sees at most so many keys has more parts. From position 0 on, the keys begin with a part.
constexpr int64_t PartsBound(int64_t keys, int32_t least, bool from_zero) {
  const int64_t parts = from_zero ? (keys + least - 1) / least : (keys + least - 2) / least + 1;
  return std::min(parts, from_zero ? kPartsMax - 1 : kPartsMax);
}

}  // namespace drover::cuda
