// ToyRunner: a model small enough to check by hand. It keeps a real KV store by block, so a scheduler that hands out a wrong
// block, skips a position or shares a block changes the tokens.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <thread>

#include "worker/step_runner.h"

namespace drover {

class ToyRunner : public StepRunner {
 public:
  static constexpr int64_t kVocab = 50;
  static constexpr int64_t kBlockTokens = 4;

  // Called before each step; an error is the step's result.
  std::function<absl::Status(const StepPlan&)> before = [](const StepPlan&) { return absl::OkStatus(); };

  std::optional<double> gap_seconds;  // that every step tells of

  absl::StatusOr<StepLogits> Run(const StepPlan& plan) override {
    DROVER_RETURN_IF_ERROR(before(plan));
    StepLogits logits{.rows = plan.logit_rows(), .vocab = kVocab, .values = {}, .gap_seconds = gap_seconds};
    for (const StepSequence& s : plan.sequences) {
      for (size_t i = 0; i < s.tokens.size(); ++i) {
        const int64_t position = s.position + static_cast<int64_t>(i);
        cache_[Slot(s, position)] = s.tokens[i];
        const bool last = i + 1 == s.tokens.size();
        if (s.logits == LogitsWanted::kAll || (s.logits == LogitsWanted::kLast && last)) AppendRow(s, position, logits.values);
      }
    }
    return logits;
  }

  // The row that follows `history`: spread values that depend on every id and its place.
  static std::vector<float> Row(const std::vector<int32_t>& history) {
    uint64_t h = 1469598103934665603u;
    for (const int32_t id : history) h = (h ^ static_cast<uint64_t>(id + 1)) * 1099511628211u;
    std::vector<float> row;
    for (int64_t v = 0; v < kVocab; ++v) {
      h = h * 6364136223846793005u + 1442695040888963407u;
      row.push_back(static_cast<float>(h >> 40) / 4'000'000.0f);
    }
    return row;
  }

 private:
  static int64_t Slot(const StepSequence& s, int64_t position) {
    return s.blocks.at(static_cast<size_t>(position / kBlockTokens)) * kBlockTokens + position % kBlockTokens;
  }
  void AppendRow(const StepSequence& s, int64_t position, std::vector<float>& values) {
    std::vector<int32_t> history;
    for (int64_t p = 0; p <= position; ++p) history.push_back(cache_.at(Slot(s, p)));
    const std::vector<float> row = Row(history);
    values.insert(values.end(), row.begin(), row.end());
  }

  std::map<int64_t, int32_t> cache_;
};

}  // namespace drover
