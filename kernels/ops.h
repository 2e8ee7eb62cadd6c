// Ops: every operation of the forward pass, with its equation. The class itself is the plain reference, readable and slow; a back
// end overrides operations to compute the same equation faster, so that none is ever incomplete. All activations are f32.
// One thread calls an Ops. No result depends on the number of threads, nor a row's result on the other rows of a call.
// All pointers but those of SequenceRows point into memory(); an operation may return before it is done: see Finish.
#pragma once

#include <cstdint>
#include <span>

#include "common/status.h"
#include "kernels/memory.h"
#include "kernels/tensor.h"
#include "kernels/weight.h"

namespace drover {

enum class GateKind { kSilu, kGeluTanh, kGelu, kRelu };

// cos and sin of position·frequency, times the factor, for each token: [tokens, pairs].
struct RopeAngles {
  Tensor cos, sin;
  bool interleaved = false;  // pairs (x[2i], x[2i+1]); otherwise (x[i], x[i + pairs])
};

// One layer's keys and values, f32 or bf16: [blocks, block_tokens, kv_heads, head_dim]. Values may be a part of the keys: then
// `values` points into them and only keys are appended.
struct KvLayer {
  std::byte* keys = nullptr;
  std::byte* values = nullptr;
  int64_t block_tokens = 0, kv_heads = 0, head_dim = 0;
  DType type = DType::kF32;

  constexpr int64_t element_bytes() const { return type == DType::kBF16 ? 2 : 4; }
  constexpr int64_t token_stride() const { return kv_heads * head_dim; }  // in elements
  // Offset, in elements, of the heads of `position` in a sequence with these blocks.
  int64_t Offset(std::span<const int32_t> blocks, int64_t position) const {
    const int64_t block = blocks[static_cast<size_t>(position / block_tokens)];
    return (block * block_tokens + position % block_tokens) * token_stride();
  }
};

// Consecutive rows of a step's tensors that belong to one sequence.
struct SequenceRows {
  int64_t first_row = 0, rows = 0;
  int64_t position = 0;  // of the first row
  std::span<const int32_t> blocks;
};

// Which own query head uses which own KV head, and what a query sees. Heads are numbered over the whole model:
// own head h = first_head + column block; its KV head is h / group.
struct AttentionShape {
  int64_t heads = 0, first_head = 0;        // own
  int64_t kv_heads = 0, first_kv_head = 0;  // own
  int64_t group = 1;                        // query heads of one KV head
  int64_t head_dim = 0;
  float scale = 1;
  float softcap = 0;   // > 0: scores s become softcap·tanh(s / softcap)
  std::span<const float> slopes = {};  // of own heads, when keys carry a bias: see Bias
  float bias_factor = 1;
  bool bias_rounded = false;
  int64_t window = 0;  // > 0: keys in (p - window, p]
  int64_t chunk = 0;   // > 0: keys k with k / chunk == p / chunk
  int64_t value_dim = 0;          // > 0: the leading values of a V row that count; else head_dim
  std::span<const float> sinks = {};  // of own heads; empty: none

  constexpr int64_t ValueDim() const { return value_dim > 0 ? value_dim : head_dim; }
  // ALiBi: the bias of a key on the scores of an own head. The softmax does not see what all keys share, so that the distance to
  // the query does as well as the key's position; the rounded form has to start from the position.
  static float Bias(float slope, float factor, bool rounded, int64_t key, int64_t position);
  constexpr int64_t FirstKey(int64_t position) const {
    int64_t first = 0;
    if (window > 0 && position - window + 1 > first) first = position - window + 1;
    if (chunk > 0 && position / chunk * chunk > first) first = position / chunk * chunk;
    return first;
  }
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

// A matrix whose rows are cut into equal parts, `stride` rows a head; of each head's part the rows [first, first + rows).
struct HeadRows {
  int64_t heads = 0, stride = 0, first = 0, rows = 0;
};

class Ops {
 public:
  virtual ~Ops() = default;

  // Where tensors, weights and caches have to lie.
  virtual Memory& memory() { return host_; }
  // Names the sequences of the step that begins; AppendKv and Attend then get these and no others.
  virtual void Begin(std::span<const SequenceRows>) {}
  // Waits for what was asked. The first error since the last call names device and operation.
  virtual absl::Status Finish() { return absl::OkStatus(); }

  // y[t,r] = Σ_c W[r,c]·x[t,c] + bias[r]. `bias` may be empty; an empty W counts as zeros.
  virtual void Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y);
  // y[t] = E[ids[t] - first]; 0 for ids that other ranks hold.
  virtual void Embed(const PackedWeight& table, int64_t first, std::span<const int32_t> ids, Tensor y);

  // y[t,i] = gain[i]·x[t,i] / sqrt(mean_i x[t,i]² + eps), for each group of gain.size() columns alone. y may be x.
  virtual void RmsNorm(Tensor x, std::span<const float> gain, float eps, Tensor y);
  // y = gain ⊙ (x - mean x) / sqrt(mean (x - mean x)² + eps) + bias, for each group of `width` columns alone; gain and bias may be
  // empty. y may be x.
  virtual void LayerNorm(Tensor x, int64_t width, std::span<const float> gain, std::span<const float> bias, float eps, Tensor y);
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

 private:
  HostMemory host_;
};

}  // namespace drover
