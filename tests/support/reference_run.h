// Runs the prompts of a Reference through a StepRunner as a server would: paged blocks, prompts in chunks, several sequences a
// step, one token a step afterwards; and says how far the result is from the reference.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/checkpoint/reference.h"
#include "worker/step_runner.h"

namespace drover {

struct RunShape {
  int64_t kv_blocks = 0, block_tokens = 0;
  int64_t chunk_tokens = 0;  // of one prompt in one step
};

struct PromptResult {
  std::string name;
  double logit_error = 0;           // largest |difference|, prompt and greedy rows
  std::vector<double> logprob_errors;  // |difference| of each token's log-probability
  std::vector<int32_t> greedy_ids;  // as run freely, as many as the reference has (robust steps in the JSON form)
  int64_t first_difference = -1;    // of greedy_ids from the reference's
};

absl::StatusOr<std::vector<PromptResult>> RunReference(StepRunner& runner, const Reference& reference, const RunShape& shape);

double WorstLogitError(const std::vector<PromptResult>& results);

}  // namespace drover
