// See stop_strings.h. Stop strings are few and short, so a plain search over the held text is enough.
#include "coordinator/stop_strings.h"

#include <algorithm>
#include <utility>

namespace drover {
namespace {

// Length of the longest proper prefix of `stop` that ends `text`.
size_t Overlap(std::string_view text, std::string_view stop) {
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length)
    if (text.substr(text.size() - length) == stop.substr(0, length)) return length;
  return 0;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops, bool include_stop)
    : stops_(std::move(stops)), include_stop_(include_stop) {}

std::string StopMatcher::Append(std::string_view piece) {
  if (matched_) return "";
  if (stops_.empty()) return std::string(piece);
  held_ += piece;
  size_t begin = std::string::npos, end = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t at = held_.find(stop);
    if (at == std::string::npos) continue;
    const size_t stop_end = at + stop.size();
    if (end != std::string::npos && (stop_end > end || (stop_end == end && at >= begin))) continue;
    begin = at;
    end = stop_end;
    matched_ = stop;
  }
  if (matched_) {
    std::string out = held_.substr(0, include_stop_ ? end : begin);
    held_.clear();
    return out;
  }
  size_t keep = 0;
  for (const std::string& stop : stops_) keep = std::max(keep, Overlap(held_, stop));
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopMatcher::Finish() {
  return std::exchange(held_, {});
}

}  // namespace drover
