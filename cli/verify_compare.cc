// See verify_compare.h.
#include "cli/verify_compare.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>

namespace drover {
namespace {

// NaN on either side is the largest error there is.
double Difference(double a, double b) {
  const double difference = std::abs(a - b);
  return std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
}

// log p(id) = x[id] - max - ln Σ exp(x - max)
double LogProb(std::span<const float> row, int32_t id) {
  const double top = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (float x : row) sum += std::exp(x - top);
  return row[static_cast<size_t>(id)] - top - std::log(sum);
}

void AddLogProb(double difference, PromptResult& result) {
  result.logprob_error = std::max(result.logprob_error.value_or(0), difference);
  result.logprob_error_sum += difference;
  ++result.logprobs;
}

absl::Status CompareLogits(const ReferencePrompt& reference, int64_t vocab, const Observation& seen, PromptResult& result) {
  const size_t width = static_cast<size_t>(vocab), prompt = reference.ids.size();
  const size_t rows = prompt + reference.greedy_ids.size() - (reference.greedy_ids.empty() ? 0 : 1);
  if (seen.logits.size() != rows * width)
    return Internal(reference.name, ": found ", seen.logits.size() / width, " rows of logits, expected ", rows);
  std::vector<int32_t> ids = reference.ids;
  ids.insert(ids.end(), reference.greedy_ids.begin(), reference.greedy_ids.end());
  result.logit_error = 0;
  for (size_t row = 0; row < rows; ++row) {
    const bool in_prompt = row < prompt;
    const std::span<const float> all = in_prompt ? reference.logits : reference.greedy_logits;
    const std::span<const float> want = all.subspan((in_prompt ? row : row - prompt + 1) * width, width);
    const std::span<const float> got = std::span(seen.logits).subspan(row * width, width);
    for (size_t i = 0; i < width; ++i) result.logit_error = std::max(*result.logit_error, Difference(got[i], want[i]));
    if (row + 1 < ids.size()) AddLogProb(Difference(LogProb(got, ids[row + 1]), LogProb(want, ids[row + 1])), result);
  }
  return absl::OkStatus();
}

absl::Status CompareLogProbs(const ReferencePrompt& reference, const Observation& seen, PromptResult& result) {
  if (seen.token_logprobs.size() != reference.token_logprobs.size())
    return Internal(reference.name, ": found ", seen.token_logprobs.size(), " log-probabilities, expected ", reference.token_logprobs.size());
  for (size_t i = 0; i < seen.token_logprobs.size(); ++i)
    AddLogProb(Difference(seen.token_logprobs[i], reference.token_logprobs[i]), result);
  return absl::OkStatus();
}

void CompareGreedy(const ReferencePrompt& reference, const Observation& seen, PromptResult& result) {
  result.greedy_steps = std::min(reference.robust_steps, static_cast<int64_t>(reference.greedy_ids.size()));
  for (int64_t step = 0; step < result.greedy_steps; ++step) {
    const size_t i = static_cast<size_t>(step);
    const int32_t found = i < seen.greedy_ids.size() ? seen.greedy_ids[i] : -1;
    if (found == reference.greedy_ids[i]) continue;
    result.first_difference = step;
    result.expected_id = reference.greedy_ids[i];
    result.found_id = found;
    return;
  }
}

std::string Scientific(const std::optional<double>& value) {
  if (!value) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.1e", *value);
  return text;
}

}  // namespace

absl::StatusOr<PromptResult> Compare(const ReferencePrompt& reference, int64_t vocab, const Observation& seen) {
  PromptResult result{.name = reference.name, .prompt_tokens = static_cast<int64_t>(reference.ids.size()), .logit_error = {},
                      .logprob_error = {}, .first_difference = {}};
  const bool has_logits = !reference.logits.empty();
  DROVER_RETURN_IF_ERROR(has_logits ? CompareLogits(reference, vocab, seen, result) : CompareLogProbs(reference, seen, result));
  CompareGreedy(reference, seen, result);
  return result;
}

Verdict Judge(const std::vector<PromptResult>& results, const Tolerances& tolerances) {
  Verdict verdict;
  double sum = 0;
  int64_t count = 0;
  const auto exceed = [&verdict](const std::string& reason) {
    if (verdict.reason.empty()) verdict.reason = reason;
  };
  for (const PromptResult& result : results) {
    if (result.logit_error && !(*result.logit_error <= tolerances.logit))
      exceed(Cat(result.name, ": logit error ", Scientific(result.logit_error), ", tolerance ", Scientific(tolerances.logit)));
    if (!result.logit_error && result.logprob_error && !(*result.logprob_error <= tolerances.logprob))
      exceed(Cat(result.name, ": log-probability error ", Scientific(result.logprob_error), ", tolerance ", Scientific(tolerances.logprob)));
    if (result.first_difference)
      exceed(Cat(result.name, ": greedy step ", *result.first_difference, " gave id ", result.found_id, ", expected ", result.expected_id));
    if (result.logit_error) continue;
    sum += result.logprob_error_sum;
    count += result.logprobs;
  }
  verdict.logprob_mean = count > 0 ? sum / static_cast<double>(count) : 0;
  if (!(verdict.logprob_mean <= tolerances.logprob_mean))
    exceed(Cat("mean log-probability error ", Scientific(verdict.logprob_mean), ", tolerance ", Scientific(tolerances.logprob_mean)));
  if (results.empty()) exceed("the reference holds no prompt");
  verdict.passed = verdict.reason.empty();
  return verdict;
}

std::string ResultHeader() { return "prompt                tokens  logit error  log-prob error  greedy"; }

std::string ResultLine(const PromptResult& result) {
  const std::string greedy = result.first_difference ? Cat("differs at ", *result.first_difference, " of ", result.greedy_steps)
                                                     : Cat("same ", result.greedy_steps, " ids");
  char line[160];
  std::snprintf(line, sizeof line, "%-20.20s  %6ld  %11s  %14s  %s", result.name.c_str(), static_cast<long>(result.prompt_tokens),
                Scientific(result.logit_error).c_str(), Scientific(result.logprob_error).c_str(), greedy.c_str());
  return line;
}

}  // namespace drover
