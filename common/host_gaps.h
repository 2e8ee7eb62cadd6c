// HostGaps: gaps between steps, in which the host keeps its device waiting, counted by their length. Workers count, the coordinator
// shows the sums.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace drover {

struct HostGaps {
  // In seconds: counts[i] are gaps of at most kEdges[i] and of more than the edge before; the last are longer than all.
  static constexpr std::array<double, 12> kEdges = {10e-6, 20e-6, 30e-6, 40e-6, 60e-6, 100e-6, 150e-6, 250e-6, 500e-6, 1e-3, 3e-3, 10e-3};

  void Add(double gap) {
    ++counts[static_cast<size_t>(std::ranges::lower_bound(kEdges, gap) - kEdges.begin())];
    seconds += gap;
  }
  HostGaps& operator+=(const HostGaps& more) {
    for (size_t i = 0; i < counts.size(); ++i) counts[i] += more.counts[i];
    seconds += more.seconds;
    return *this;
  }
  bool operator==(const HostGaps&) const = default;

  std::array<uint64_t, kEdges.size() + 1> counts{};
  double seconds = 0;  // of all
};

}  // namespace drover
