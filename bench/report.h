// What a benchmark of one device found: each number against what the device can do at best, as a table and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/json.h"

namespace drover::bench {

// Of repeated runs of the same work, in seconds.
struct Timing {
  double median = 0, least = 0, most = 0;
  int64_t runs = 0;
};
Timing Summarise(std::vector<double> seconds);

// The bytes that have to be moved and the products that have to be computed, however it is done.
struct Work {
  double bytes = 0, flops = 0;
};

// As measured: bytes read and written per second by a copy, bf16 products and sums per second of large matrices.
struct Limits {
  double bytes_per_second = 0, flops_per_second = 0;
  double SecondsOfBytes(const Work& work) const { return work.bytes / bytes_per_second; }
  double SecondsOfFlops(const Work& work) const { return work.flops / flops_per_second; }
};

struct Entry {
  std::string what;
  Work work;
  Timing timing;
  std::string missing;  // why nothing was measured
};

// The time that the device needs at best, as a share of what was measured.
double ShareOf(const Entry& entry, const Limits& limits);
// One phrase: what limits it.
std::string LimitedBy(const Entry& entry, const Limits& limits);

std::string Table(const std::vector<Entry>& entries, const Limits& limits);
Json ToJson(const std::vector<Entry>& entries, const Limits& limits);

}  // namespace drover::bench
