// See angles.h.
#include "worker/model/angles.h"

#include <cmath>

namespace drover {

void WriteAngles(const RopeTable& table, int64_t position, std::span<float> cos, std::span<float> sin) {
  for (size_t pair = 0; pair < table.inverse_frequency.size(); ++pair) {
    const float angle = static_cast<float>(position) * table.inverse_frequency[pair];
    cos[pair] = std::cos(angle) * table.factor;
    sin[pair] = std::sin(angle) * table.factor;
  }
}

std::span<const float> Angles::Of(int64_t position) {
  const size_t place = static_cast<size_t>(position) % kKept;
  const auto values = std::span(values_).subspan(place * 2 * pairs(), 2 * pairs());
  if (positions_[place] != position) {
    WriteAngles(table_, position, values.first(pairs()), values.last(pairs()));
    positions_[place] = position;
  }
  return values;
}

}  // namespace drover
