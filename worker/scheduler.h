// Scheduler: who runs in the next step. Values in, values out: it knows no clock, thread, device or network.
// Continuous batching with chunked prefill; a sequence that finds no block is preempted and recomputed, youngest first. With several
// attention parts each has blocks of its own, and a running sequence stays in one.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "common/key_lengths.h"
#include "worker/kv/block_pool.h"
#include "worker/sequence.h"
#include "worker/step_plan.h"

namespace drover {

struct SchedulerLimits {
  int64_t block_tokens = 16;      // tokens per KV block
  int64_t kv_blocks = 0;          // of each attention part
  int64_t max_step_tokens = 512;  // of one forward pass; PartTokens of them in one attention part
  int64_t max_sequences = 32;     // running at once
  int64_t max_model_len = 0;      // tokens of prompt and output together
  int64_t max_requests = 4096;    // running and waiting
  KeyLengths key_lengths = {};    // at which lengths a sequence has to be run again from its start
  int64_t max_score_rows = 64;    // rows of prompts whose logits are wanted, in one step
  int64_t attention_parts = 1;
};

// Every limit positive; errors name the field.
absl::Status Validate(const SchedulerLimits& limits);

class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits);

  // Queues a request. kInvalidArgument: it can never run; kAlreadyExists: the id is in use; kResourceExhausted: full.
  absl::Status Admit(Request request);
  // Forgets a request and frees its blocks; false when it is unknown.
  bool Cancel(RequestId id);

  // The next step: one token for every decoding sequence, then prompt chunks, oldest first, under the token budget. `room` is a plan
  // that nobody needs any more: its memory is used again.
  StepPlan Plan(StepPlan room = {});
  // Ends the step that Plan() returned last for one of its sequences that was not cancelled since. `token` is there where one is
  // sampled. A sequence that ends is forgotten.
  FinishReason Commit(const StepSequence& planned, std::optional<int32_t> token);

  // A queued or running sequence, null when unknown; valid until the next call that is not const.
  const Sequence* Find(RequestId id) const;
  std::vector<RequestId> Requests() const;

  int64_t running() const { return static_cast<int64_t>(running_.size()); }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t blocks_used() const;
  int64_t blocks_used(int64_t part) const { return pools_[static_cast<size_t>(part)].used(); }
  int64_t preemptions() const { return preemptions_; }

 private:
  using Owned = std::unique_ptr<Sequence>;
  // A step in the making, and what is left of it: tokens to run, in all and in each attention part, and rows of prompts whose logits
  // are wanted.
  struct Draft {
    StepPlan plan;
    size_t planned = 0;  // leading sequences of the plan; the others are room
    int64_t tokens = 0, score_rows = 0;
    std::vector<int64_t> part_tokens;
    int64_t TokensOf(int64_t part) const { return std::min(tokens, part_tokens[static_cast<size_t>(part)]); }
  };

  // Forgets keys that hold no longer, now that the sequence is as long as it is.
  void RenewKeys(Sequence& sequence);
  // The same for all that run, with blocks for the tokens that are then to be run again.
  void RenewAllKeys();
  void PlanDecodes(Draft& draft);
  void PlanPrefills(Draft& draft);
  // The sequence that runs from now on, null when none may.
  const Sequence* StartOldestWaiting(const Draft& draft);
  // Where a sequence of `blocks` blocks is to run; nothing when no part has room.
  std::optional<int64_t> ChoosePart(int64_t blocks, const Draft& draft) const;
  // Makes room for one more token of running_[index], preempting from the youngest of its part; false when it lost its own place,
  // which the next one then has.
  bool MakeRoom(size_t index);
  void PreemptYoungest(int64_t part);
  BlockPool& PoolOf(const Sequence& sequence) { return pools_[static_cast<size_t>(sequence.part)]; }
  // Adds the next tokens of a sequence, as many as there is room for.
  void Add(const Sequence& sequence, Draft& draft) const;
  int64_t BlocksFor(int64_t tokens) const { return (tokens + limits_.block_tokens - 1) / limits_.block_tokens; }
  FinishReason FinishOf(const Sequence& sequence) const;

  SchedulerLimits limits_;
  std::vector<BlockPool> pools_;  // of each attention part
  std::vector<Owned> running_;  // oldest first
  std::deque<Owned> waiting_;   // oldest first; younger than the running ones of the part that they were preempted from
  std::unordered_map<RequestId, Sequence*> known_;  // all of them
  int64_t preemptions_ = 0;
  int64_t last_part_ = 0;       // where a sequence started last
  uint64_t arrivals_ = 0;
  uint64_t next_step_ = 1;
};

}  // namespace drover
