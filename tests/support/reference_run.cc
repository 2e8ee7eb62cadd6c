// See reference_run.h.
#include "tests/support/reference_run.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "worker/kv/block_pool.h"

namespace drover {
namespace {

struct Running {
  const ReferencePrompt* prompt;
  PromptResult result;
  StepSequence sequence;
  int64_t steps = 0;  // greedy ids wanted

  int64_t prompt_tokens() const { return static_cast<int64_t>(prompt->ids.size()); }
  bool prefilled() const { return sequence.position >= prompt_tokens(); }
  bool done() const { return static_cast<int64_t>(result.greedy_ids.size()) >= steps; }
};

double LogProb(std::span<const float> logits, int32_t id) {
  const double max = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float value : logits) sum += std::exp(value - max);
  return logits[static_cast<size_t>(id)] - max - std::log(sum);
}

double LargestDifference(std::span<const float> a, std::span<const float> b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
    if (!(difference <= worst)) worst = difference;  // NaN counts as worst
  }
  return worst;
}

// Row `row` of the prompt's logits against what the reference has for it.
void ComparePromptRow(Running& running, int64_t row, std::span<const float> logits) {
  const ReferencePrompt& prompt = *running.prompt;
  if (!prompt.logits.empty()) {
    const auto expected = std::span(prompt.logits).subspan(static_cast<size_t>(row) * logits.size(), logits.size());
    running.result.logit_error = std::max(running.result.logit_error, LargestDifference(logits, expected));
  }
  const auto next = static_cast<size_t>(row) + 1;
  if (prompt.token_logprobs.empty() || next >= prompt.ids.size()) return;
  running.result.logprob_errors.push_back(std::abs(LogProb(logits, prompt.ids[next]) - prompt.token_logprobs[next - 1]));
}

// The best id of a row that follows everything so far; ends are for the caller.
void TakeGreedy(Running& running, std::span<const float> logits) {
  if (running.done()) return;
  const ReferencePrompt& prompt = *running.prompt;
  const size_t step = running.result.greedy_ids.size();
  const auto id = static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
  if (!prompt.greedy_logits.empty() && running.result.first_difference < 0) {
    const auto expected = std::span(prompt.greedy_logits).subspan(step * logits.size(), logits.size());
    running.result.logit_error = std::max(running.result.logit_error, LargestDifference(logits, expected));
  }
  if (id != prompt.greedy_ids[step] && running.result.first_difference < 0)
    running.result.first_difference = static_cast<int64_t>(step);
  running.result.greedy_ids.push_back(id);
}

absl::Status PlanNext(Running& running, const RunShape& shape, BlockPool& pool) {
  StepSequence& sequence = running.sequence;
  if (running.prefilled()) {
    sequence.tokens = {running.result.greedy_ids.back()};
    sequence.logits = LogitsWanted::kLast;
  } else {
    const int64_t end = std::min(sequence.position + shape.chunk_tokens, running.prompt_tokens());
    sequence.tokens.assign(running.prompt->ids.begin() + sequence.position, running.prompt->ids.begin() + end);
    sequence.logits = LogitsWanted::kAll;
  }
  const int64_t end = sequence.position + static_cast<int64_t>(sequence.tokens.size());
  if (!pool.GrowTo(sequence.blocks, (end + shape.block_tokens - 1) / shape.block_tokens)) return ResourceExhausted("no free block");
  return absl::OkStatus();
}

// Returns the rows it used.
int64_t Commit(Running& running, const float* rows, int64_t vocab) {
  StepSequence& sequence = running.sequence;
  const bool prefill = !running.prefilled();
  const auto count = static_cast<int64_t>(sequence.tokens.size());
  for (int64_t i = 0; prefill && i < count; ++i)
    ComparePromptRow(running, sequence.position + i, {rows + i * vocab, static_cast<size_t>(vocab)});
  sequence.position += count;
  const int64_t used = prefill ? count : 1;
  if (running.prefilled()) TakeGreedy(running, {rows + (used - 1) * vocab, static_cast<size_t>(vocab)});
  return used;
}

}  // namespace

absl::StatusOr<std::vector<PromptResult>> RunReference(StepRunner& runner, const Reference& reference, const RunShape& shape) {
  BlockPool pool(shape.kv_blocks);
  std::vector<Running> all;
  for (const ReferencePrompt& prompt : reference.prompts) {
    Running running{&prompt, {}, {}, prompt.robust_steps};
    running.result.name = prompt.name;
    running.sequence.id = all.size();
    all.push_back(std::move(running));
  }
  for (uint64_t step = 0;; ++step) {
    StepPlan plan{step, {}};
    std::vector<Running*> members;
    for (Running& running : all) {
      if (running.prefilled() && running.done()) continue;
      DROVER_RETURN_IF_ERROR(PlanNext(running, shape, pool));
      plan.sequences.push_back(running.sequence);
      members.push_back(&running);
    }
    if (plan.empty()) break;
    DROVER_ASSIGN_OR_RETURN(const StepLogits logits, runner.Run(plan));
    if (logits.rows != plan.logit_rows()) return Internal("found ", logits.rows, " rows, expected ", plan.logit_rows());
    const float* rows = logits.values.data();
    for (Running* running : members) rows += Commit(*running, rows, logits.vocab) * logits.vocab;
  }
  std::vector<PromptResult> results;
  for (Running& running : all) results.push_back(std::move(running.result));
  return results;
}

double WorstLogitError(const std::vector<PromptResult>& results) {
  double worst = 0;
  for (const PromptResult& result : results) worst = std::max(worst, result.logit_error);
  return worst;
}

}  // namespace drover
