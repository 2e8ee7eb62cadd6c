// ByteRanges: which bytes of tensors were asked for already, so that what several weights share is read and counted once.
#pragma once

#include <algorithm>
#include <iterator>
#include <map>

#include "models/checkpoint/checkpoint.h"

namespace drover {

class ByteRanges {
 public:
  // Adds [begin, end) of a tensor and calls missing(begin, end) for each part of it that was not there, in order, until one fails.
  template <class Missing>
  absl::Status Add(const TensorInfo& tensor, int64_t begin, int64_t end, Missing missing) {
    Ends& ends = tensors_[&tensor];
    auto it = ends.upper_bound(begin);
    if (it != ends.begin() && std::prev(it)->second >= begin) --it;
    int64_t first = begin, last = end, at = begin;
    while (it != ends.end() && it->first <= end) {
      if (it->first > at) DROVER_RETURN_IF_ERROR(missing(at, it->first));
      at = std::max(at, it->second);
      first = std::min(first, it->first);
      last = std::max(last, it->second);
      it = ends.erase(it);
    }
    if (at < end) DROVER_RETURN_IF_ERROR(missing(at, end));
    ends[first] = last;
    return absl::OkStatus();
  }

  // How many of them were not there.
  int64_t Add(const TensorInfo& tensor, int64_t begin, int64_t bytes) {
    int64_t fresh = 0;
    Add(tensor, begin, begin + bytes, [&fresh](int64_t from, int64_t to) {
      fresh += to - from;
      return absl::OkStatus();
    }).IgnoreError();
    return fresh;
  }

 private:
  using Ends = std::map<int64_t, int64_t>;  // disjoint ranges: end by begin
  std::map<const TensorInfo*, Ends> tensors_;
};

}  // namespace drover
