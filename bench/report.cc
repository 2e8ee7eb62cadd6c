// See report.h.
#include "bench/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "common/check.h"

namespace drover::bench {
namespace {

constexpr double kShortRun = 10e-6;  // of which a launch is no small part

std::string Fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

bool BoundByBytes(const Entry& entry, const Limits& limits) {
  return limits.SecondsOfBytes(entry.work) >= limits.SecondsOfFlops(entry.work);
}

// Bytes or products per second, whichever bounds the work.
std::string RateOf(const Entry& entry, const Limits& limits) {
  if (BoundByBytes(entry, limits)) return Fixed(entry.work.bytes / entry.timing.median / 1e9, 0) + " GB/s";
  return Fixed(entry.work.flops / entry.timing.median / 1e12, 1) + " TFLOP/s";
}

std::string Padded(std::string text, size_t width, bool right) {
  const size_t missing = width > text.size() ? width - text.size() : 0;
  return right ? std::string(missing, ' ') + text : text + std::string(missing, ' ');
}

double Rounded(double value, double unit) { return std::round(value / unit) * unit; }

}  // namespace

Timing Summarise(std::vector<double> seconds) {
  DROVER_CHECK(!seconds.empty());
  std::ranges::sort(seconds);
  const size_t middle = seconds.size() / 2;
  const double median = seconds.size() % 2 == 1 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2;
  return {median, seconds.front(), seconds.back(), static_cast<int64_t>(seconds.size())};
}

double ShareOf(const Entry& entry, const Limits& limits) {
  return std::max(limits.SecondsOfBytes(entry.work), limits.SecondsOfFlops(entry.work)) / entry.timing.median;
}

std::string LimitedBy(const Entry& entry, const Limits& limits) {
  constexpr double kClose = 0.7;
  if (!entry.missing.empty()) return "not measured: " + entry.missing;
  const double share = ShareOf(entry, limits);
  if (share >= kClose) return BoundByBytes(entry, limits) ? "memory bandwidth" : "tensor cores";
  const std::string floor = Fixed(share * entry.timing.median * 1e6, 1) + " us at best";
  if (entry.timing.median < kShortRun) return "launch and latency: " + floor;
  return "instructions and latency of the kernel: " + floor;
}

std::string Table(const std::vector<Entry>& entries, const Limits& limits) {
  std::vector<std::array<std::string, 6>> rows = {{"what", "us", "least - most", "rate", "share", "limited by"}};
  for (const Entry& entry : entries) {
    if (!entry.missing.empty()) {
      rows.push_back({entry.what, "", "", "", "", LimitedBy(entry, limits)});
      continue;
    }
    const Timing& timing = entry.timing;
    rows.push_back({entry.what, Fixed(timing.median * 1e6, 1), Fixed(timing.least * 1e6, 1) + " - " + Fixed(timing.most * 1e6, 1),
                    RateOf(entry, limits), Fixed(100 * ShareOf(entry, limits), 1) + " %", LimitedBy(entry, limits)});
  }
  std::array<size_t, 6> widths{};
  for (const auto& row : rows)
    for (size_t i = 0; i + 1 < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) text += Padded(row[i], widths[i], i > 0 && i < 5) + (i + 1 < row.size() ? "  " : "\n");
  }
  return text;
}

Json ToJson(const std::vector<Entry>& entries, const Limits& limits) {
  Json results = Json::array();
  for (const Entry& entry : entries) {
    Json row = {{"what", entry.what}};
    if (entry.missing.empty()) {
      row["us"] = Rounded(entry.timing.median * 1e6, 0.01);
      row["us_least"] = Rounded(entry.timing.least * 1e6, 0.01);
      row["us_most"] = Rounded(entry.timing.most * 1e6, 0.01);
      row["runs"] = entry.timing.runs;
      row["rate"] = RateOf(entry, limits);
      row["share"] = Rounded(ShareOf(entry, limits), 0.001);
    }
    row["limited_by"] = LimitedBy(entry, limits);
    results.push_back(std::move(row));
  }
  return {{"copy_bytes_per_second", limits.bytes_per_second}, {"bf16_flops_per_second", limits.flops_per_second}, {"results", results}};
}

}  // namespace drover::bench
