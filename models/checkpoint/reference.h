// Reference: what a reference implementation computed from a model, to compare with. Two file forms: safetensors with tensors
// prompt.I.ids, prompt.I.logits, greedy.I.ids, greedy.I.logits (shared golden corpus, tools/make_reference.py), and JSON with
// per-token log-probabilities instead of logits.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/status.h"

namespace drover {

struct ReferencePrompt {
  std::string name;
  std::vector<int32_t> ids;            // at least one
  std::vector<float> logits;           // [ids, vocab] after each id; empty in the JSON form
  std::vector<int32_t> greedy_ids;     // the continuation
  std::vector<float> greedy_logits;    // [greedy_ids, vocab], row k chose id k; empty in the JSON form
  int64_t robust_steps = 0;            // leading greedy ids that rounding cannot change; all of them in the safetensors form
  std::vector<float> token_logprobs;   // log p(ids[i] | ids before), i >= 1; empty in the safetensors form
};

struct Reference {
  int64_t vocab = 0;  // 0 in the JSON form
  std::vector<ReferencePrompt> prompts;
};

// Chooses the form by the file's name (.safetensors or .json). Shapes and ids are checked against each other; errors name the file
// and the tensor or key.
absl::StatusOr<Reference> ReadReference(const std::string& path);

}  // namespace drover
