// A grammar that can be checked by hand.
#pragma once

#include <algorithm>

#include "worker/grammar.h"

namespace drover {

// Ids divisible by `step`, so many of them, after which the output is complete.
class Multiples final : public Grammar {
 public:
  Multiples(int32_t step, int64_t count) : step_(step), left_(count) {}
  absl::Status Allow(std::span<uint32_t> allowed) override {
    DROVER_RETURN_IF_ERROR(fails);
    std::ranges::fill(allowed, 0u);
    for (size_t id = 0; id < allowed.size() * 32; id += static_cast<size_t>(step_)) allowed[id / 32] |= 1u << id % 32;
    return absl::OkStatus();
  }
  absl::Status Accept(int32_t id) override {
    if (id % step_ != 0) return InvalidArgument("found id ", id);
    --left_;
    return absl::OkStatus();
  }
  bool ended() const override { return left_ == 0; }

  absl::Status fails;

 private:
  const int32_t step_;
  int64_t left_;
};

}  // namespace drover
