// drover plan: how a model would lie on N ranks, from its config, directory or GGUF header alone.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "common/status.h"

namespace drover {

// 0 and empty: the planner chooses.
struct PlanArguments {
  std::string model;            // directory, config.json or .gguf file
  int64_t ranks = 1;            // --ranks
  std::string memory;           // --memory, of one rank: "80GiB", "512MiB", "64000000"; empty: not limited
  int64_t pipeline = 1;         // --pipeline
  int64_t expert_parts = 0;     // --expert-parts
  int64_t attention_parts = 1;  // --data-parallel-attention
  int64_t max_model_len = 0;    // --max-model-len
  int64_t kv_tokens = 0;        // --kv-tokens
  int64_t max_sequences = 0;    // --max-sequences
  int64_t threads = 0;          // --threads
  std::string kv = "f32";       // --kv
  std::string compute = "f32";  // --compute
  int64_t max_step_tokens = 0;  // --max-step-tokens
  bool json = false;            // --json
};

// "80GiB", "80G", "1.5TiB", "100" (bytes); GB and its like count in thousands.
absl::StatusOr<int64_t> ParseBytes(const std::string& text);

// 0: it fits. 1: it does not, or the model cannot be read; the reason is one line on `err`, the table is printed all the same.
// 2: the arguments cannot be used.
int RunPlan(const PlanArguments& arguments, std::ostream& out, std::ostream& err);

}  // namespace drover
