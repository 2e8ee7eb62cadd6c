// See reference_run.h.
#include "tests/support/reference_run.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "worker/scheduler.h"

namespace drover {
namespace {

struct Running {
  const ReferencePrompt* prompt;
  std::optional<double> forced_margin;
  PromptResult result;
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

int32_t Best(std::span<const float> row) { return static_cast<int32_t>(std::ranges::max_element(row) - row.begin()); }

// Whether the best of a row is the reference's, where that leads by more than the margin.
void CompareBest(Running& running, std::span<const float> expected, std::span<const float> found) {
  if (!running.forced_margin) return;
  const int32_t best = Best(expected);
  double second = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < expected.size(); ++i)
    if (static_cast<int32_t>(i) != best) second = std::max(second, static_cast<double>(expected[i]));
  if (expected[static_cast<size_t>(best)] - second <= *running.forced_margin) return;
  ++running.result.clear_rows;
  running.result.misled_rows += Best(found) != best;
}

// Row `row` of the prompt's logits against what the reference has for it.
void ComparePromptRow(Running& running, int64_t row, std::span<const float> logits) {
  const ReferencePrompt& prompt = *running.prompt;
  if (!prompt.logits.empty()) {
    const auto expected = std::span(prompt.logits).subspan(static_cast<size_t>(row) * logits.size(), logits.size());
    running.result.logit_error = std::max(running.result.logit_error, LargestDifference(logits, expected));
    CompareBest(running, expected, logits);
  }
  const auto next = static_cast<size_t>(row) + 1;
  if (prompt.token_logprobs.empty() || next >= prompt.ids.size()) return;
  running.result.logprob_errors.push_back(std::abs(LogProb(logits, prompt.ids[next]) - prompt.token_logprobs[next - 1]));
}

// The best id of a row that follows everything so far.
int32_t TakeGreedy(Running& running, std::span<const float> logits) {
  const ReferencePrompt& prompt = *running.prompt;
  const size_t step = running.result.greedy_ids.size();
  const int32_t id = running.forced_margin ? prompt.greedy_ids[step] : Best(logits);
  if (!prompt.greedy_logits.empty() && running.result.first_difference < 0) {
    const auto expected = std::span(prompt.greedy_logits).subspan(step * logits.size(), logits.size());
    running.result.logit_error = std::max(running.result.logit_error, LargestDifference(logits, expected));
    CompareBest(running, expected, logits);
  }
  if (id != prompt.greedy_ids[step] && running.result.first_difference < 0)
    running.result.first_difference = static_cast<int64_t>(step);
  running.result.greedy_ids.push_back(id);
  return id;
}

// The rows of one planned sequence; the token that follows them, if one is due.
std::optional<int32_t> TakeRows(Running& running, const StepSequence& planned, bool samples, std::span<const float> rows, size_t vocab) {
  const auto prompt_tokens = static_cast<int64_t>(running.prompt->ids.size());
  if (planned.logits == LogitsWanted::kAll)
    for (size_t i = 0; i < planned.tokens.size(); ++i) {
      const int64_t row = planned.position + static_cast<int64_t>(i);
      if (row < prompt_tokens) ComparePromptRow(running, row, rows.subspan(i * vocab, vocab));
    }
  if (!samples) return std::nullopt;
  return TakeGreedy(running, rows.last(vocab));
}

absl::Status AdmitAll(const std::vector<Running>& all, Scheduler& scheduler) {
  for (size_t i = 0; i < all.size(); ++i) {
    Request request{.id = RequestId{i}, .prompt = all[i].prompt->ids, .max_tokens = all[i].prompt->robust_steps, .logits = LogitsWanted::kAll};
    DROVER_RETURN_IF_ERROR(scheduler.Admit(std::move(request)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<PromptResult>> RunReference(StepRunner& runner, const Reference& reference, const RunShape& shape) {
  std::vector<Running> all;
  for (const ReferencePrompt& prompt : reference.prompts) all.push_back({&prompt, shape.forced_margin, {.name = prompt.name}});
  Scheduler scheduler({.block_tokens = shape.block_tokens,
                       .kv_blocks = shape.kv_blocks,
                       .max_step_tokens = shape.step_tokens,
                       .max_sequences = static_cast<int64_t>(all.size()),
                       .max_model_len = shape.kv_blocks * shape.block_tokens,
                       .key_lengths = shape.key_lengths,
                       .max_score_rows = shape.step_tokens,
                       .attention_parts = shape.attention_parts});
  DROVER_RETURN_IF_ERROR(AdmitAll(all, scheduler));
  for (StepPlan plan = scheduler.Plan(); !plan.empty(); plan = scheduler.Plan()) {
    DROVER_ASSIGN_OR_RETURN(const StepLogits logits, runner.Run(plan));
    if (logits.rows != plan.logit_rows()) return Internal("found ", logits.rows, " rows, expected ", plan.logit_rows());
    const auto vocab = static_cast<size_t>(logits.vocab);
    std::span<const float> rest(logits.values);
    for (const StepSequence& planned : plan.sequences) {
      const size_t rows = planned.logits == LogitsWanted::kAll ? planned.tokens.size() : planned.logits == LogitsWanted::kLast ? 1 : 0;
      const bool samples = scheduler.Find(RequestId{planned.id})->samples_after(planned.end());
      scheduler.Commit(planned, TakeRows(all[planned.id], planned, samples, rest.first(rows * vocab), vocab));
      rest = rest.subspan(rows * vocab);
    }
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
