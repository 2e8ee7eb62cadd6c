// Angles: cos and sin of positions times a RoPE table's frequencies, kept, as sequences pass the same positions and each goes on by one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/rope.h"

namespace drover {

class Angles {
 public:
  // The table outlives it.
  explicit Angles(const RopeTable& table) : table_(table), positions_(kKept, -1), values_(kKept * 2 * pairs()) {}

  size_t pairs() const { return table_.inverse_frequency.size(); }
  // Of each pair cos, then of each sin, times the table's factor; until the next call.
  std::span<const float> Of(int64_t position);

 private:
  static constexpr size_t kKept = 4096;  // positions, each in the place of those that leave the same rest

  const RopeTable& table_;
  std::vector<int64_t> positions_;
  std::vector<float> values_;  // [place, 2, pairs]
};

// Writes what Angles::Of gives, of a table that is not kept.
void WriteAngles(const RopeTable& table, int64_t position, std::span<float> cos, std::span<float> sin);

}  // namespace drover
