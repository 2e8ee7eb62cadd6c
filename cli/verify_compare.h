// Comparison of what was served with what a reference computed. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"
#include "models/checkpoint/reference.h"

namespace drover {

// What the serving path gave for one reference prompt.
struct Observation {
  std::vector<float> logits;         // teacher-forced: rows of prompt, then of all but the last greedy id
  std::vector<double> token_logprobs;  // of ids[i], i >= 1
  std::vector<int32_t> greedy_ids;   // free-running
};

struct PromptResult {
  std::string name;
  int64_t prompt_tokens = 0;
  std::optional<double> logit_error;     // largest absolute difference; absent without reference logits
  std::optional<double> logprob_error;   // largest, of the tokens of prompt (and greedy continuation where there are logits)
  double logprob_error_sum = 0;
  int64_t logprobs = 0;                  // how many were compared
  int64_t greedy_steps = 0;              // compared
  std::optional<int64_t> first_difference;  // step of the first greedy id that differs
  int32_t expected_id = -1, found_id = -1;  // there
};

struct Tolerances {
  double logit = 1e-4;
  double logprob = 3e-3;        // judged where the reference has no logits
  double logprob_mean = 3e-4;   // over all tokens
};

// kInternal when the served answer has another shape than was asked for.
absl::StatusOr<PromptResult> Compare(const ReferencePrompt& reference, int64_t vocab, const Observation& seen);

struct Verdict {
  bool passed = false;
  double logprob_mean = 0;  // over all tokens of all prompts
  std::string reason;       // the first excess, in words
};
Verdict Judge(const std::vector<PromptResult>& results, const Tolerances& tolerances);

// At most 80 columns.
std::string ResultHeader();
std::string ResultLine(const PromptResult& result);

}  // namespace drover
