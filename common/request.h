// A generation request and what comes back, as plain values that every process speaks of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/grammar.h"
#include "common/ids.h"
#include "common/logprobs.h"
#include "common/status.h"

namespace drover {

// Order of application: penalties, temperature, top-k, top-p, min-p. temperature 0 means greedy.
struct Sampling {
  double temperature = 1;        // [0, 100]
  int64_t top_k = 0;             // 0: off
  double top_p = 1;              // (0, 1]
  double min_p = 0;              // [0, 1]
  double repetition_penalty = 1;  // (0, 10]; over prompt and output
  double presence_penalty = 0, frequency_penalty = 0;  // [-2, 2]; over output
  uint64_t seed = 0;             // resolved by the coordinator: never absent
  std::vector<std::pair<int32_t, float>> logit_bias;
  bool operator==(const Sampling&) const = default;
};

// Errors name the field, what was found and what was expected.
absl::Status Validate(const Sampling& sampling);

// Raw logits are for `drover verify` and tests only.
enum class LogitsWanted : uint8_t { kNone, kLast, kAll };

struct Request {
  RequestId id{};
  std::vector<int32_t> prompt;      // at least one id
  Sampling sampling;
  int64_t max_tokens = 16;          // >= 0; 0 scores the prompt only
  int64_t min_tokens = 0;           // end ids are held back before
  std::vector<int32_t> end_ids;     // empty: never stops early
  int32_t logprobs = -1;            // -1: none; n >= 0: the token's own and the best n
  bool prompt_logprobs = false;     // log-probabilities of prompt ids 1..n-1
  LogitsWanted logits = LogitsWanted::kNone;
  std::optional<GrammarText> grammar;  // what the output must keep to
};

enum class FinishReason : uint8_t { kNone, kStop, kLength, kCancelled, kError };

// One step's news of one request. Position counts output tokens from 0; events of a request arrive in order.
struct TokenEvent {
  RequestId id{};
  int64_t position = 0;             // output position of `token`
  std::optional<int32_t> token;     // absent on pure notices (error, prompt scores, cancelled)
  std::optional<TokenLogprob> logprob;
  std::vector<TokenLogprob> top;    // best first
  std::vector<float> prompt_logprobs;  // with the first token when asked for
  std::vector<float> logits;        // [rows, vocab] row-major when asked for
  int64_t logits_first_row = 0;     // prompt position (or prompt + output) of the first row
  FinishReason finish = FinishReason::kNone;
  std::string error;                // with kError
  bool not_taken = false;           // with kError: the group never had the request, another may
  bool bad_request = false;         // with kError: the request itself is at fault
};

}  // namespace drover
