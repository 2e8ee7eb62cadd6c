// Ops: every operation of the forward pass, with its equation. The class itself is the plain reference, readable and slow; a back
// end overrides operations to compute the same equation faster, so that none is ever incomplete. All activations are f32.
// One thread calls an Ops. No result depends on the number of threads, nor a row's result on the other rows of a call.
// All pointers but those of SequenceRows point into memory(); an operation may return before it is done: see Finish.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/draw.h"
#include "common/logprobs.h"
#include "common/status.h"
#include "kernels/attention_shape.h"
#include "kernels/ffn.h"
#include "kernels/memory.h"
#include "kernels/random_matrix.h"
#include "kernels/tensor.h"
#include "kernels/weight.h"

namespace drover {

// cos and sin of position·frequency, times the factor, for each token: [tokens, pairs].
struct RopeAngles {
  Tensor cos, sin;
  bool interleaved = false;  // pairs (x[2i], x[2i+1]); otherwise (x[i], x[i + pairs])
};

// s = softmax(logits) over all experts, or each logit's sigmoid; kSigmoidOfLogits chooses by the logits themselves.
enum class RouteScore { kSoftmax, kSigmoid, kSigmoidOfLogits };

struct RouteRule {
  int64_t active = 1;
  RouteScore score = RouteScore::kSoftmax;
  std::span<const float> choice_bias = {};  // of each expert; empty: none
  int64_t groups = 1, kept_groups = 1;
  bool best_two = false;     // a group's score is the sum of its best two, otherwise its best
  bool renormalise = false;  // weights are divided by their sum
  float scale = 1;
};

// One of several matrices that meet the same x: y = W·x + bias.
struct LinearPart {
  const PackedWeight& weight;
  std::span<const float> bias;
  Tensor y;
};

// A norm of whole rows: RmsNorm, or LayerNorm.
struct RowNorm {
  bool layer_norm = false;
  float eps = 0;
  std::span<const float> gain = {}, bias = {};
};

// What each head of queries and of keys goes through before attention, in this order.
struct HeadPlacing {
  std::span<const float> q_gain = {}, k_gain = {};  // RmsNorm of its last gain.size() values; empty: none
  float eps = 0;
  RopeAngles angles = {};  // then Rope; without pairs: none
};

// A matrix whose rows are cut into equal parts, `stride` rows a head; of each head's part the rows [first, first + rows).
struct HeadRows {
  int64_t heads = 0, stride = 0, first = 0, rows = 0;
};

class Ops {
 public:
  virtual ~Ops() = default;

  // Where tensors, weights and caches have to lie.
  virtual Memory& memory() { return host_; }
  // Whether that is the host's memory.
  bool on_host() const { return const_cast<Ops*>(this)->memory().on_host(); }
  // Names the sequences of the step that begins; AppendKv and Attend then get these and no others.
  virtual void Begin(std::span<const SequenceRows>) {}
  // Runs `work`: operations that are the same for equal keys and sequences of equal shape, but for the contents of memory that they read.
  // A back end may record them and, later, repeat what was recorded without calling `work`. What `work` returns counts when it is called.
  virtual absl::Status Replay(int64_t key, const std::function<absl::Status()>& work) { return (void)key, work(); }
  // What was recorded is void.
  virtual void Forget() {}
  // Waits end by then at the latest, with kDeadlineExceeded.
  virtual void SetDeadline(std::chrono::steady_clock::time_point) {}
  // Waits for what was asked. The first error since the last call names device and operation.
  virtual absl::Status Finish() { return absl::OkStatus(); }

  // y[t,r] = Σ_c W[r,c]·x[t,c] + bias[r]. `bias` may be empty; an empty W counts as zeros.
  virtual void Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y);
  // Linear of each part, the same bits.
  virtual void Linears(std::span<const LinearPart> parts, Tensor x);
  // gate.y ← act(W_gate x + bias) ⊙ (W_up x + bias). up.y is room, and is worth nothing afterwards.
  virtual void GatedLinear(GateKind kind, const LinearPart& gate, const LinearPart& up, Tensor x);
  // y[t] = E[ids[t] - first]; 0 for ids that other ranks hold.
  virtual void Embed(const PackedWeight& table, int64_t first, std::span<const int32_t> ids, Tensor y);

  // y[t,i] = gain[i]·x[t,i] / sqrt(mean_i x[t,i]² + eps), for each group of gain.size() columns alone. y may be x.
  virtual void RmsNorm(Tensor x, std::span<const float> gain, float eps, Tensor y);
  // y = gain ⊙ (x - mean x) / sqrt(mean (x - mean x)² + eps) + bias, for each group of `width` columns alone; gain and bias may be
  // empty. y may be x.
  virtual void LayerNorm(Tensor x, int64_t width, std::span<const float> gain, std::span<const float> bias, float eps, Tensor y);
  // x ← x + a, then y = norm(x). y may be a.
  virtual void AddNorm(Tensor a, const RowNorm& norm, Tensor x, Tensor y);
  // sums[t] = Σ_i x[t,i]² over the columns from `first` on.
  virtual void SumSquares(Tensor x, int64_t first, std::span<float> sums);
  // x[t,i] ← gain[i]·x[t,i] / sqrt(sums[t] / width + eps): the RMS norm of rows that lie on several ranks.
  virtual void ScaleBySquares(std::span<const float> sums, int64_t width, std::span<const float> gain, float eps, Tensor x);
  // x[t,i] ← x[t,i] / sqrt(mean_i x[t,i]² + eps), for each group of `width` columns alone.
  virtual void L2Norm(int64_t width, float eps, Tensor x);

  // (a, b) ← (a·cos - b·sin, b·cos + a·sin) for the rotated pairs of each head.
  virtual void Rope(const RopeAngles& angles, int64_t head_dim, Tensor x);
  // x[t] ← factors[t]·x[t].
  virtual void ScaleRows(std::span<const float> factors, Tensor x);

  // K[position of t] ← k[t], V likewise unless v is empty; to the nearest, ties to even, where the cache is bf16.
  virtual void AppendKv(Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv);
  // q and k go through what `how` says, in heads of kv.head_dim values, then AppendKv. k is worth nothing afterwards.
  virtual void PlaceHeads(const HeadPlacing& how, Tensor q, Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv);
  // y[t,h] = Σ_j softmax_j(cap(scale·q[t,h]·K[j]) + bias(h, j)) · V[j] over the keys j that the shape lets t see; max subtracted first.
  // A sink joins the softmax's sum as one more score and has no value.
  virtual void Attend(Tensor q, std::span<const SequenceRows> sequences, const KvLayer& kv, const AttentionShape& shape, Tensor y);

  // x ← min(max(x, -limit), limit).
  virtual void Clamp(float limit, Tensor x);
  // x ← factor·x.
  virtual void Scale(float factor, Tensor x);
  // x ← cap·tanh(x / cap).
  virtual void SoftCap(float cap, Tensor x);

  // x ← act(x): silu(g) = g / (1 + exp(-g)); gelu(g) = g/2·(1 + erf(g/√2)), its tanh form g/2·(1 + tanh(√(2/π)·(g + 0.044715·g³)));
  // relu(g) = max(g, 0).
  virtual void Activate(GateKind kind, Tensor x);
  // y = act(gate) ⊙ up. y may be gate.
  virtual void GatedProduct(GateKind kind, Tensor gate, Tensor up, Tensor y);
  // x ← x + a.
  virtual void Add(Tensor a, Tensor x);

  // x ← 1 / (1 + exp(-x)).
  virtual void Sigmoid(Tensor x);
  // y[t,i] = (u + 1)·g·sigmoid(alpha·g), g = min(x[t,2i], limit), u = x[t,2i+1] clamped to [-limit, limit].
  virtual void ClampedPairs(float alpha, float limit, Tensor x, Tensor y);

  // y[t,h,i] = Σ_c W[h·stride + first + i, c]·x[t,h,c].
  virtual void HeadLinear(const PackedWeight& weight, const HeadRows& part, Tensor x, Tensor y);
  // y[t,h,column + c] = Σ_i W[h·stride + first + i, c]·x[t,h,i]; heads of x and y may be wider than what is read and written.
  virtual void HeadLinearTransposed(const PackedWeight& weight, const HeadRows& part, Tensor x, int64_t column, Tensor y);
  // y[t,h,to + i] = x[t,h,from + i] for i < count.
  virtual void CopyHeads(int64_t heads, Tensor x, int64_t from, Tensor y, int64_t to, int64_t count);

  // The `active` best experts of each token, best first, ties to the lowest index: experts and weights are [tokens, active]. Of the
  // scores plus choice_bias the best groups stay, and of these the best experts; weights are scores without that bias, times scale.
  virtual void Route(const RouteRule& rule, Tensor logits, std::span<int32_t> experts, std::span<float> weights);
  // y[i] = x[rows[i]].
  virtual void Gather(Tensor x, std::span<const int32_t> rows, Tensor y);
  // out[rows[i]] ← out[rows[i]] + weights[i]·x[i]. No two rows are the same.
  virtual void ScatterAdd(Tensor x, std::span<const int32_t> rows, std::span<const float> weights, Tensor out);

  // out[t] ← out[t] + Σ_j weights[t,j]·FFN_e(x[t]), e = experts[t,j], for the experts in `set`, added in the order of experts. Both lists
  // are [tokens, active]. Uses `room`, at least ExpertRoom floats.
  virtual void Experts(const ExpertSet& set, std::span<const int32_t> experts, std::span<const float> weights, Tensor x,
                       std::span<float> room, Tensor out);
  // For at most `tokens` tokens of `hidden` values with `active` experts each.
  virtual int64_t ExpertRoom(int64_t tokens, int64_t active, int64_t hidden, int64_t columns) const;

  // Fills a weight's rows: see RandomMatrix.
  virtual void Randomise(const RandomMatrix& values, PackedWeight& weight);

  // ids[r]: drawn from row r as draws[r] says, kNothingToDraw or kNotFinite. Edits and masks, which lie in memory() too, change the
  // logits themselves.
  virtual void Draw(Tensor logits, std::span<const TokenDraw> draws, std::span<int32_t> ids);
  // scores[r]: of the row as it was before the draw, what draws[r].scores asks for, and of ids[r]; nothing where it asks for nothing, or
  // no id was drawn. The sum is made in one order whatever the rows.
  virtual void ScoreDrawn(Tensor logits, std::span<const TokenDraw> draws, std::span<const int32_t> ids, std::span<RowScores> scores);

 private:
  void SortByExpert(const ExpertSet& set, std::span<const int32_t> experts, std::span<const float> weights, size_t active);

  HostMemory host_;
  // Of Experts: where each own expert's tokens begin, the tokens, and the router's weights.
  std::vector<size_t> expert_begins_;
  std::vector<int32_t> expert_rows_;
  std::vector<float> expert_weights_;
};

}  // namespace drover
