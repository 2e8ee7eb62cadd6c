// Sequence: one request's progress through the scheduler.
#pragma once

#include <cstdint>
#include <vector>

#include "common/request.h"
#include "worker/logit_edits.h"

namespace drover {

struct Sequence {
  Request request;
  std::vector<int32_t> tokens;  // prompt, then output
  LogitEdits edits;             // of the next token's logits, while it runs
  std::vector<int32_t> blocks;  // KV blocks held, of its attention part
  int64_t part = 0;             // attention part; chosen anew whenever it starts to run
  uint64_t arrival = 0;         // older ones have smaller numbers
  int64_t cached = 0;           // leading tokens whose keys and values are in the blocks
  int64_t key_set = 0;          // which frequencies their keys have: KeyLengths::SetOf
  int64_t scored = 0;           // leading rows whose logits were taken; they are not asked for again after a preemption
  int64_t output_limit = 0;     // tokens that may be sampled: max_tokens, cut by the context

  void Append(int32_t token) {
    tokens.push_back(token);
    edits.Append(token);
  }
  // Those after all tokens so far.
  void MakeEdits() {
    edits = LogitEdits(request);
    for (size_t i = request.prompt.size(); i < tokens.size(); ++i) edits.Append(tokens[i]);
  }
  int64_t prompt_tokens() const { return static_cast<int64_t>(request.prompt.size()); }
  int64_t output_tokens() const { return length() - prompt_tokens(); }
  int64_t length() const { return static_cast<int64_t>(tokens.size()); }
  int64_t left_to_run() const { return length() - cached; }
  // Decoding: everything but the newest token is cached.
  bool decoding() const { return output_tokens() > 0 && left_to_run() == 1; }
  // Whether a token is to be sampled after the first `end` ones.
  bool samples_after(int64_t end) const { return output_limit > 0 && end == length(); }
  bool wants_prompt_rows() const { return request.prompt_logprobs || request.logits == LogitsWanted::kAll; }
};

}  // namespace drover
