// Decoder: one rank's model. Runs the forward pass of a step plan; every rank of the group runs the same plans in the same order.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/make_ops.h"
#include "worker/comm/communicator.h"
#include "worker/kv/kv_store.h"
#include "worker/model/layer.h"
#include "worker/model/rank_weights.h"
#include "worker/model/step_memory.h"
#include "worker/step_runner.h"

namespace drover {

struct DecoderSettings {
  int64_t max_step_tokens = 512;  // of one plan, over all sequences
  int64_t max_sequences = 64;     // of one plan
  int64_t kv_blocks = 256;        // of each attention part
  int64_t block_tokens = 16;
  DType kv_type = DType::kF32;    // or bf16
};

// Bounds of what this rank's decoder will ask of its Ops.
OpsBounds BoundsOf(const ModelSpec& spec, const DecoderSettings& settings);

// The runs that a rank belongs to, with a communicator where a run is not the whole above it: a stage of several, an attention part
// of several.
struct RankRuns {
  std::unique_ptr<Communicator> stage, part;
};

// Whom a rank meets.
struct RankPeers {
  // All ranks of the group. What stands on the decoder's Ops is owned; otherwise it outlives the decoder.
  Communicator* ranks = nullptr;
  std::unique_ptr<Communicator> owned;
  RankRuns runs;  // split off from `ranks`

  // Ends them, the youngest first.
  void Leave();
};
// Every rank calls one of them, with the communicator of all: splits off the runs of the grid.
absl::StatusOr<RankPeers> MeetPeers(const Grid& grid, Communicator& ranks);
absl::StatusOr<RankPeers> MeetPeers(const Grid& grid, std::unique_ptr<Communicator> ranks);

// What a rank computes with and whom it meets. Weights lie in the memory of `ops`, and the communicators take its pointers.
struct RankParts {
  std::unique_ptr<Ops> ops;
  RankPeers peers;
};

class Decoder {
 public:
  // Takes all memory that steps will need, where `computes.ops` computes.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(const ModelSpec& spec, const RankCut& cut, const DecoderSettings& settings,
                                                         RankWeights weights, RankParts parts);

  ~Decoder() { LeavePeers(); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // One thread at a time; fails by the deadline. kInvalidArgument: the plan is wrong, found on every rank alike
  // before any collective, and the decoder can go on. Other errors end the group: the KV cache is no longer sound.
  absl::StatusOr<StepLogits> Run(const StepPlan& plan, std::chrono::steady_clock::time_point deadline, const Meanwhile& meanwhile = [] {});

  // Ends the communicators, then goes on with others of the same ranks. Between the two nothing runs.
  void LeavePeers();
  absl::Status Rejoin(RankPeers peers);

  const ModelSpec& spec() const { return spec_; }
  // Logits lie in a device's memory: better drawn from there.
  bool on_device() const { return !ops_->on_host(); }
  int64_t weight_bytes() const { return weights_.bytes; }
  int64_t kv_bytes() const { return kv_.bytes(); }
  int64_t activation_bytes() const { return arena_.floats() * static_cast<int64_t>(sizeof(float)); }

 private:
  bool draws() const { return cut_.rank == 0 && on_device(); }
  Communicator& ranks() const { return *peers_.ranks; }
  Communicator& stage() const { return peers_.runs.stage != nullptr ? *peers_.runs.stage : ranks(); }
  Communicator& part() const { return peers_.runs.part != nullptr ? *peers_.runs.part : stage(); }

  // What Create makes in the memory of the operations.
  struct Made {
    KvStore kv;
    Arena arena;
    std::vector<KindCut> kinds;
    StepSize size;
  };
  Decoder(const ModelSpec& spec, const RankCut& cut, const DecoderSettings& settings, RankWeights weights, RankParts parts, Made made);
  // The rows that a batch is padded to so that its step can be replayed; 0: it cannot.
  int64_t ReplayRows(const Batch& batch) const;
  struct Way {
    int64_t asked = 0;     // leading rows of logits that count; the others are padding
    bool replays = false;  // the step has a shape that may have been recorded
    const Meanwhile& meanwhile;
  };
  // The logits that were asked for, on rank 0.
  absl::StatusOr<StepLogits> Forward(Step& step, const StepInputs& inputs, const Way& way);
  // The layers and the logits of a recorded step, where they lie.
  Tensor Replay(Step& step, const StepInputs& inputs);
  // Of the next step, what does not depend on the tokens of this one.
  void LookAhead(const Batch& batch);
  // What leaves the last of this rank's layers.
  Tensor Layers(Step& step, const StepInputs& inputs);
  Tensor Embed(Step& step, const StepInputs& inputs);
  // What enters this stage: embeddings, or the rows of the stage before.
  Tensor Enter(Step& step, const StepInputs& inputs);
  // The rows go on to the next stage, or logits are made of them; the leader, which is in the first stage, gets those.
  void Leave(Step& step, Tensor x, std::span<const int32_t> rows, StepLogits& logits);
  // Logits of some rows, complete on every rank of the last stage, in the order of its ranks: [places, rows, own vocabulary].
  Tensor GatherLogits(Step& step, Tensor x, std::span<const int32_t> rows);
  // Some rows of logits on rank 0: `count` of those gathered are rows `first` on of the step's.
  struct LogitPiece {
    Tensor gathered;
    int64_t first = 0, count = 0;
  };
  // Draws from those rows that are drawn from, and brings the others to the host.
  void TakeLogits(Step& step, const LogitPiece& piece, StepLogits& logits);
  void Spread(Step& step, const LogitPiece& piece, std::span<float> rows);
  void Draw(Step& step, const LogitPiece& piece, StepLogits& logits);
  // The rows as they were made, in the room that is drawn from.
  Tensor PlaceRows(Step& step, const LogitPiece& piece);
  // Where rank 0 draws: taken before the layers, so that nothing of a replayed step lies there.
  struct DrawRoom {
    std::span<const TokenDraw> draws;
    std::span<int32_t> ids;
    std::span<RowScores> scores;
    Tensor rows;
  };
  absl::Status CheckFinite(const Batch& batch, const StepLogits& logits) const;

  const ModelSpec spec_;
  const RankCut cut_;
  const std::unique_ptr<Ops> ops_;  // outlives what stands on it
  const RankWeights weights_;
  const BatchLimits limits_;
  RankPeers peers_;
  KvStore kv_;
  Arena arena_;
  std::vector<Angles> angles_;                 // of each kind
  std::vector<float> staging_, gathered_;      // inputs and logits on their way
  std::optional<std::chrono::steady_clock::time_point> idle_since_;  // the results of the last step are on the host
  DrawRoom draw_room_;
  std::map<int64_t, Tensor> replayed_;         // where the logits of a step of so many rows lie
  const std::vector<KindCut> kinds_;
  const StepSize step_size_;
  const std::vector<int32_t> spare_blocks_;    // that padding writes
};

}  // namespace drover
