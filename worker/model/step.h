// Step: one forward pass. Each method takes arena memory for its result and calls one operation or one collective. The first error
// is kept; after it collectives are skipped and Finish returns it.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "models/spec.h"
#include "worker/comm/communicator.h"
#include "worker/model/arena.h"
#include "worker/model/batch.h"
#include "worker/model/step_inputs.h"

namespace drover {

// The model's norm: which equation, and its epsilon.
struct NormRule {
  bool layer_norm = false;  // else RMS
  float eps = 0;
};

// Whom a rank meets in a step.
struct StepRanks {
  Communicator& stage;
  Communicator& part;  // its attention part: the stage itself when there is one part
};

class Step {
 public:
  Step(const Batch& batch, const NormRule& norm, Ops& ops, const StepRanks& ranks, Arena& arena)
      : batch_(batch), norm_(norm), ops_(ops), ranks_(ranks.stage), part_(ranks.part), arena_(arena) {}

  const Batch& batch() const { return batch_; }
  Arena& arena() { return arena_; }
  Communicator& ranks() { return ranks_; }

  Tensor Take(int64_t rows, int64_t cols) { return arena_.Take(rows, cols); }
  std::span<int32_t> TakeInts(int64_t count);
  std::span<RowScores> TakeScores(int64_t count);
  Tensor Zeros(int64_t rows, int64_t cols);
  // Rows of the embedding, with those of the learned positions, if any: each rank holds a part of both tables; summed over ranks.
  struct Table {
    const PackedWeight& rows;
    int64_t first = 0;
  };
  Tensor Embed(const Table& vocabulary, const Table& positions, const StepInputs& inputs, int64_t hidden);
  Tensor Norm(Tensor x, std::span<const float> gain, std::span<const float> bias = {});
  void NormInto(Tensor x, std::span<const float> gain, std::span<const float> bias, Tensor y);
  // x ← x + a, then y ← the model's norm of x.
  void AddNorm(Tensor a, std::span<const float> gain, std::span<const float> bias, Tensor x, Tensor y) {
    ops_.AddNorm(a, {norm_.layer_norm, norm_.eps, gain, bias}, x, y);
  }
  // The same with Σ_ranks a; a is worth nothing afterwards.
  void SumAddNorm(Tensor a, std::span<const float> gain, std::span<const float> bias, Tensor x, Tensor y) {
    if (status_.ok()) status_ = ranks_.SumAddNorm(ops_, a, {norm_.layer_norm, norm_.eps, gain, bias}, x, y);
  }
  // An RMS norm in place, whatever the model's norm is.
  void RmsNorm(Tensor x, std::span<const float> gain, double eps) { ops_.RmsNorm(x, gain, static_cast<float>(eps), x); }
  const NormRule& norm() const { return norm_; }
  // The model's norm in place, for each group of `width` columns alone.
  void NormInPlace(Tensor x, int64_t width, std::span<const float> gain, std::span<const float> bias);
  // W x + b. The outputs of a row-cut matrix stay on this rank.
  Tensor Linear(Tensor x, const PackedWeight& weight, std::span<const float> bias = {});
  // The same of several matrices.
  struct Weighted {
    const PackedWeight& weight;
    std::span<const float> bias = {};
  };
  template <size_t n>
  std::array<Tensor, n> Linears(Tensor x, const Weighted (&all)[n]) {
    std::array<Tensor, n> results;
    std::vector<LinearPart> parts;
    for (size_t i = 0; i < n; ++i) {
      results[i] = Take(x.rows, all[i].weight.rows);
      parts.push_back({all[i].weight, all[i].bias, results[i]});
    }
    ops_.Linears(parts, x);
    return results;
  }
  // act(W_gate x + b) ⊙ (W_up x + b).
  Tensor GatedLinear(Activation activation, Tensor x, const Weighted& gate, const Weighted& up);
  // W x + b of a column-cut matrix: a part of the sum over ranks. A rank without columns contributes its bias alone.
  Tensor PartialLinear(Tensor x, const PackedWeight& weight, std::span<const float> bias, int64_t outputs);
  // x ← Σ_ranks x.
  Tensor Reduce(Tensor x);
  // The rows of this rank's attention part.
  Tensor OwnRows(Tensor x) const;
  // Whether attention has several parts, which know some of the rows each.
  bool has_parts() const { return batch_.part_rows.size() > 1; }
  // Then, Σ own over the ranks of each part: the rows of all parts, on every rank of the stage.
  Tensor JoinParts(Tensor own);
  void Add(Tensor a, Tensor x) { ops_.Add(a, x); }
  void Scale(double factor, Tensor x);  // nothing for a factor of 1
  void SoftCap(double cap, Tensor x) { ops_.SoftCap(static_cast<float>(cap), x); }
  void Clamp(double limit, Tensor x) { ops_.Clamp(static_cast<float>(limit), x); }

  void Turn(const RopeAngles& angles, int64_t head_dim, Tensor x) { ops_.Rope(angles, head_dim, x); }
  // RMS norm of rows whose columns lie on several ranks. Columns before `first` are counted by a lower rank, which has them too;
  // `width` counts them all.
  struct Spread {
    Tensor x;
    std::span<const float> gain;
    int64_t first = 0, width = 0;
  };
  void NormSpread(const Spread& q, const Spread& k);
  void L2NormHeads(Tensor x, int64_t head_dim) { ops_.L2Norm(head_dim, norm_.eps, x); }
  // What comes before attention: see Ops.
  void PlaceHeads(const HeadPlacing& how, Tensor q, Tensor k, Tensor v, const KvLayer& kv) {
    ops_.PlaceHeads(how, q, k, v, batch_.sequences, kv);
  }
  Tensor Attend(Tensor q, const KvLayer& kv, const AttentionShape& shape);
  // Matrices of single heads and the columns that move between them: see Ops.
  Tensor HeadLinear(Tensor x, const PackedWeight& weight, const HeadRows& part);
  void HeadLinearTransposed(Tensor x, const PackedWeight& weight, const HeadRows& part, int64_t column, Tensor y) {
    ops_.HeadLinearTransposed(weight, part, x, column, y);
  }
  void CopyHeads(int64_t heads, Tensor x, int64_t from, Tensor y, int64_t to, int64_t count) {
    ops_.CopyHeads(heads, x, from, y, to, count);
  }

  // act(x), in its memory.
  Tensor Activate(Activation activation, Tensor x);

  // x[t] ← sigmoid(switches[t])·x[t].
  void Switch(Tensor switches, Tensor x);

  // The experts of each token and the router's weights: [tokens, active] both.
  struct Routes {
    std::span<const int32_t> experts;
    std::span<const float> weights;
  };
  Routes Route(const Experts& experts, std::span<const float> choice_bias, Tensor logits);
  // out ← out + what own experts add.
  void AddExperts(const ExpertSet& set, const Routes& routes, Tensor x, Tensor out);
  // The rows of x that `rows` name.
  Tensor Gather(Tensor x, std::span<const int32_t> rows);
  void ScaleRows(std::span<const float> factors, Tensor x) { ops_.ScaleRows(factors, x); }
  void Copy(Tensor from, Tensor to);
  // To the host, once everything before is done; an error is kept like a collective's.
  void Download(Tensor from, std::span<float> to);
  void Download(std::span<const std::byte> from, std::span<std::byte> to);
  void Draw(Tensor logits, std::span<const TokenDraw> draws, std::span<int32_t> ids) { ops_.Draw(logits, draws, ids); }
  void ScoreDrawn(Tensor logits, std::span<const TokenDraw> draws, std::span<const int32_t> ids, std::span<RowScores> scores) {
    ops_.ScoreDrawn(logits, draws, ids, scores);
  }

  void Record(const absl::Status& status) { status_.Update(status); }
  absl::Status Finish() const { return status_; }

 private:
  const Batch& batch_;
  const NormRule norm_;
  Ops& ops_;
  Communicator& ranks_;
  Communicator& part_;
  Arena& arena_;
  absl::Status status_;
};

// The operations' view of a model's words.
GateKind KindOf(Activation activation);

}  // namespace drover
