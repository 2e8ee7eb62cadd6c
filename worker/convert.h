// Messages to plain values and back: the only place in worker/ that reads or writes protobuf fields. Reading validates: what comes
// out can be used without another check.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "common/plan.h"
#include "common/request.h"
#include "drover/v1/cluster.pb.h"
#include "drover/v1/steps.pb.h"
#include "worker/engine.h"
#include "worker/step_plan.h"

namespace drover {

// How a rank introduces itself.
struct RankHello {
  std::string group, launch;
  int64_t rank = 0, ranks = 1;
  std::string host;
  int64_t pid = 0, memory_bytes = 0, cores = 0;
  std::string steps_address;       // rank 0 only
  std::string loaded_fingerprint;  // empty: no weights in memory
  std::string version;
  int64_t threads = 0;             // 0: the planner chooses
  std::string meeting;             // rank 0 only, of this hello alone
};

// What the coordinator orders.
struct Assignment {
  GroupPlan plan;  // rank_bytes holds this rank's alone, or nothing
  std::string steps_address, steps_nonce;
  std::string meeting;  // of this epoch; empty where rank 0 gave none
};
struct RefusedRequest {  // a submit with a field out of range
  RequestId id{};
  std::string reason;
};
struct CancelRequest {
  RequestId id{};
};
struct DrainGroup {};
struct AbortEpoch {
  std::string reason;
};
struct CoordinatorAlive {};

using ControlOrder = std::variant<CoordinatorAlive, Assignment, Request, RefusedRequest, CancelRequest, DrainGroup, AbortEpoch>;

struct ControlMessage {
  Epoch epoch{};
  ControlOrder order;
};

absl::StatusOr<ControlMessage> ReadControl(const v1::CoordinatorMessage& in);

v1::WorkerMessage WriteHello(const RankHello& hello);
v1::WorkerMessage WriteProgress(Epoch epoch, int64_t bytes_done, int64_t bytes_total);
v1::WorkerMessage WriteLoaded(Epoch epoch, int64_t weight_bytes);
v1::WorkerMessage WriteReady(Epoch epoch, double warm_step_ms);
v1::WorkerMessage WriteDraining(Epoch epoch);
v1::WorkerMessage WriteHeartbeat(Epoch epoch, const EngineStats& stats, int64_t resident_bytes);
v1::WorkerMessage WriteFailure(Epoch epoch, const std::string& operation, const std::string& message);
// One message or more: rows of `vocab` logits are cut so that a message stays near 1 MiB, and holds one row at least.
std::vector<v1::WorkerMessage> WriteTokens(Epoch epoch, const std::vector<TokenEvent>& events, int64_t vocab);

// What a follower checks a step against: a wrong step would read or write outside the KV cache.
struct StepBounds {
  int64_t vocab = 0, kv_blocks = 0, block_tokens = 0, max_step_tokens = 0;
  int64_t attention_parts = 1;
};

// The message's memory is used again.
void WriteStep(const StepPlan& plan, v1::StepMessage& message);
absl::StatusOr<StepPlan> ReadStep(const v1::StepMessage& in, const StepBounds& bounds);

}  // namespace drover
