// Loading one rank's weights: only its byte ranges are read, each once, and packed in their stored form.
#pragma once

#include <cstdint>
#include <functional>

#include "models/checkpoint/checkpoint.h"
#include "models/shard.h"
#include "worker/model/rank_weights.h"

namespace drover {

struct LoadOptions {
  int64_t threads = 1;                                        // that read, a layer each
  Memory* memory = nullptr;                                   // where the weights go; null: the host's
  std::function<bool()> cancelled;                            // asked between reads of at most 4 MiB, by one thread at a time like all of these
  std::function<void(int64_t done, int64_t total)> progress;  // bytes read from files
  int64_t* bytes_read = nullptr;                              // set at the end: what was read from files
  std::function<void(const TensorInfo&, int64_t offset, int64_t bytes)> on_read;  // each range, from the tensor's first byte
};

// Matrices keep their dtype, vectors become f32. Where two ranks share a border block of a quantised row both keep it.
// Errors name file and tensor; kCancelled when `cancelled` says so.
absl::StatusOr<RankWeights> LoadRankWeights(const Checkpoint& checkpoint, const RankCut& cut, const LoadOptions& options);

// Bytes that LoadRankWeights reads from files for this rank.
int64_t BytesToRead(const Checkpoint& checkpoint, const RankCut& cut);

// Bytes of border blocks that this rank shares with the rank below it: the replication in the sum over ranks, apart from
// KV heads that live on two ranks.
int64_t SharedBlockBytes(const Checkpoint& checkpoint, const RankCut& cut);

}  // namespace drover
