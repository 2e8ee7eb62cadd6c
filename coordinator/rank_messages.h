// What ranks and the coordinator tell each other, as plain values (drover.v1.Cluster on the wire; convert.h reads and writes it).
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/host_gaps.h"
#include "common/ids.h"
#include "common/plan.h"
#include "common/request.h"

namespace drover {

// One rank's connection; never reused while the coordinator lives.
enum class StreamId : uint64_t {};

struct Hello {
  std::string group, launch;  // `launch` is the nonce that ranks of one mpirun share
  int64_t rank = 0, ranks = 1;
  std::string host;
  int64_t pid = 0, memory_bytes = 0, cores = 0;
  std::string steps_address;       // rank 0 only
  std::string loaded_fingerprint;  // of the plan whose weights are in memory
  std::string version;
  int64_t threads = 0;             // 0: the planner chooses
  std::string meeting;             // rank 0 only: by which the ranks' devices find each other in one epoch
};

struct LoadProgress {
  int64_t bytes_done = 0, bytes_total = 0;
};
struct Loaded {
  int64_t weight_bytes = 0;
};
struct WarmedUp {
  double warm_step_ms = 0;
};
struct Heartbeat {
  uint64_t steps_done = 0;
  int64_t resident_bytes = 0;
  int64_t running = 0, waiting = 0, kv_blocks_used = 0;  // rank 0 only, as the rest
  int64_t prompt_tokens_done = 0, output_tokens_done = 0, preemptions = 0;
  HostGaps gaps;
};
struct Draining {};
struct RankFailure {
  std::string message, operation;
};

using RankNews = std::variant<Hello, LoadProgress, Loaded, WarmedUp, Heartbeat, std::vector<TokenEvent>, Draining, RankFailure>;

struct RankMessage {
  Epoch epoch{};
  RankNews body;
};

struct AssignOrder {
  GroupPlan plan;  // with the bytes of this rank alone
  int64_t rank = 0;
  std::string steps_address, steps_nonce;
  std::string meeting;  // rank 0's of this epoch
};
struct CancelOrder {
  RequestId id{};
};
struct DrainOrder {};
struct AbortOrder {
  std::string reason;
};
struct PingOrder {};

using Order = std::variant<AssignOrder, Request, CancelOrder, DrainOrder, AbortOrder, PingOrder>;

struct OrderMessage {
  Epoch epoch{};
  Order body;
};

}  // namespace drover
