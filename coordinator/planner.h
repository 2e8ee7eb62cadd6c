// The planner: how a group of ranks serves a model. Pure: checkpoint, wishes and machines in, plan or the reason against it out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/plan.h"
#include "models/checkpoint/checkpoint.h"
#include "models/shard.h"

namespace drover {

// The upper bound of a rank count, of one group.
inline constexpr int64_t kMaxRanks = 1024;

struct RankResources {
  std::string host;          // ranks of one host share its memory and cores; empty: a machine of its own
  int64_t memory_bytes = 0;  // of the host; 0: not known, nothing is refused for it
  int64_t cores = 0;         // of the host; 0: not known
};

struct Inventory {
  std::vector<RankResources> ranks;  // in rank order; empty: nothing is known
};

// 0 means that the planner chooses.
struct PlanOptions {
  std::string model;               // name shown to clients; empty: the checkpoint's
  int64_t ranks = 1;
  int64_t stages = 1;              // of a pipeline; must divide ranks, and no more than layers
  int64_t expert_parts = 0;        // must divide ranks / stages
  int64_t attention_parts = 1;     // data-parallel attention; must divide ranks / stages
  int64_t max_model_len = 0;       // tokens of prompt and output together
  int64_t kv_tokens = 0;           // room of the KV cache, of all attention parts together
  int64_t max_sequences = 0;       // running at once
  int64_t max_step_tokens = 0;     // of one forward pass
  int64_t threads = 0;             // of each rank
  int64_t memory_limit = 0;        // bytes a rank may use, weights, KV and runtime together
  int64_t step_timeout_ms = 0;
  std::string compute = "f32";     // of matrix products; or bf16, on devices that have it
  std::string kv = "f32";          // of the cache; or bf16
};

// kInvalidArgument: a wish out of range, naming it. kResourceExhausted: it does not fit; the message says what is needed, what
// there is, and how many ranks would do.
absl::StatusOr<GroupPlan> MakePlan(const Checkpoint& checkpoint, const PlanOptions& options, const Inventory& inventory);

// 1.42 GiB, 755 MiB, 12 KiB.
std::string FormatBytes(int64_t bytes);

}  // namespace drover
