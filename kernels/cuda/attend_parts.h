// How the keys of a query are cut into parts that are attended to one by one and merged in the order of the keys. The cut depends on
// the keys that the query sees and on the model, never on the batch, so that a query's bits depend on nothing beside it.
#pragma once

#include <cstdint>

namespace drover::cuda {

inline constexpr int32_t kPartKeysMin = 256, kPartKeysMost = 4096;  // the least that PartKeys may give, by the group
inline constexpr int64_t kPartsMax = 65;

// Keys of each part of a query that sees `keys` of them; parts begin at multiples of it. Large groups write much for each part, so
// that theirs are larger; long contexts have larger parts, so that there are never more than kPartsMax.
constexpr int32_t PartKeys(int64_t keys, int64_t group) {
  int32_t part = kPartKeysMin;
  while (part < kPartKeysMost && part * 8 < kPartKeysMin * group) part *= 2;
  while (part * (kPartsMax - 1) < keys) part *= 2;
  return part;
}

// No query that sees at most so many keys has more parts. From position 0 on, the keys begin with a part.
constexpr int64_t PartsBound(int64_t keys, int64_t group, bool from_zero) {
  const int64_t part = PartKeys(1, group), parts = from_zero ? (keys + part - 1) / part : (keys + part - 2) / part + 1;
  const int64_t most = from_zero ? kPartsMax - 1 : kPartsMax;
  return parts < most ? parts : most;
}

}  // namespace drover::cuda
