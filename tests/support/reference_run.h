// Runs the prompts of a Reference through a StepRunner under the server's own scheduler: paged blocks, prompts in chunks beside
// the tokens of other sequences; and says how far the result is from the reference.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/key_lengths.h"
#include "models/checkpoint/reference.h"
#include "worker/step_runner.h"

namespace drover {

struct RunShape {
  int64_t kv_blocks = 0, block_tokens = 0;
  int64_t step_tokens = 0;  // of all sequences in one step: prompts are cut into chunks
  KeyLengths key_lengths = {};  // of the model
  int64_t attention_parts = 1;
  // Arithmetic with fewer digits: the reference's tokens are fed whatever was computed, and rows whose best logit leads by more than
  // this must agree on it.
  std::optional<double> forced_margin = {};
};

struct PromptResult {
  std::string name;
  double logit_error = 0;           // largest |difference|, prompt and greedy rows
  std::vector<double> logprob_errors;  // |difference| of each token's log-probability
  std::vector<int32_t> greedy_ids;  // as run freely, as many as the reference has (robust steps in the JSON form)
  int64_t first_difference = -1;    // of greedy_ids from the reference's
  int64_t clear_rows = 0, misled_rows = 0;  // with forced_margin: rows that lead by more than it, and those of them with another best
};

absl::StatusOr<std::vector<PromptResult>> RunReference(StepRunner& runner, const Reference& reference, const RunShape& shape);

double WorstLogitError(const std::vector<PromptResult>& results);

}  // namespace drover
