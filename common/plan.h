// GroupPlan: how one group serves one model, as plain values (drover.v1.Plan on the wire). Made by the coordinator's planner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace drover {

struct RankBytes {
  int64_t weights = 0, kv = 0, runtime = 0;
  int64_t total() const { return weights + kv + runtime; }
  bool operator==(const RankBytes&) const = default;
};

struct GroupPlan {
  std::string model, model_path, fingerprint;
  int64_t ranks = 1;
  int64_t stages = 1;                // runs of ranks with a run of layers each (pipeline); divides ranks
  int64_t expert_parts = 1;          // sets of a stage's ranks that experts are spread over; divides ranks / stages
  int64_t attention_parts = 1;       // runs of a stage's ranks with sequences and a KV cache of their own; divides ranks / stages
  std::string compute = "f32", kv = "f32";
  int64_t block_tokens = 16;         // tokens per KV block
  int64_t kv_blocks = 0;             // of each attention part: the same on every rank
  int64_t max_step_tokens = 512;     // of one forward pass
  int64_t max_sequences = 32;        // running at once
  int64_t max_model_len = 0;         // tokens of prompt and output together
  int64_t threads = 1;               // of each rank
  int64_t step_timeout_ms = 60'000;
  std::vector<RankBytes> rank_bytes; // one per rank; a rank receives only its own
  bool operator==(const GroupPlan&) const = default;
};

// Bytes, at most, by which the devices of a group's ranks find each other: rank 0 makes them, the coordinator hands them on.
inline constexpr size_t kMeetingBytesMax = 1024;
// Bytes of a cached value.
inline int64_t KvValueBytes(const std::string& kv) { return kv == "bf16" ? 2 : 4; }

// Rows of logits that a rank computes and gathers from its stage at a time.
inline constexpr int64_t kLogitRowsAtOnce = 16;

// Of `total` tokens, in a step or in the cache, the most that one attention part has.
inline int64_t PartTokens(int64_t total, int64_t attention_parts) { return (total + attention_parts - 1) / attention_parts; }

}  // namespace drover
