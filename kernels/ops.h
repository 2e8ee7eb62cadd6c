// Ops: every operation of the forward pass, with its equation. The class itself is the plain reference, readable and slow; a back
// end overrides operations to compute the same equation faster, so that none is ever incomplete. All activations are f32.
// One thread calls an Ops. No result depends on the number of threads, nor a row's result on the other rows of a call.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/tensor.h"
#include "kernels/weight.h"

namespace drover {

enum class GateKind { kSilu, kGeluTanh };

// cos and sin of position·frequency, times the factor, for each token: [tokens, dims / 2].
struct RopeAngles {
  Tensor cos, sin;
  bool interleaved = false;  // pairs (x[2i], x[2i+1]); otherwise (x[i], x[i + dims/2])
};

// One layer's keys and values: [blocks, block_tokens, kv_heads, head_dim].
struct KvLayer {
  float* keys = nullptr;
  float* values = nullptr;
  int64_t block_tokens = 0, kv_heads = 0, head_dim = 0;

  int64_t token_stride() const { return kv_heads * head_dim; }
  // Offset of the heads of `position` in a sequence with these blocks.
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
  int64_t window = 0;  // > 0: keys in (p - window, p]
  int64_t chunk = 0;   // > 0: keys k with k / chunk == p / chunk

  int64_t FirstKey(int64_t position) const {
    int64_t first = 0;
    if (window > 0 && position - window + 1 > first) first = position - window + 1;
    if (chunk > 0 && position / chunk * chunk > first) first = position / chunk * chunk;
    return first;
  }
};

struct RouteRule {
  int64_t active = 1;
  bool sigmoid = false;      // weight = sigmoid(logit); otherwise softmax over all experts
  bool renormalise = false;  // softmax weights of the chosen sum to 1
};

class Ops {
 public:
  virtual ~Ops() = default;

  // y[t,r] = Σ_c W[r,c]·x[t,c] + bias[r]. `bias` may be empty; an empty W counts as zeros.
  virtual void Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y);
  // y[t] = E[ids[t] - first]; 0 for ids that other ranks hold.
  virtual void Embed(const PackedWeight& table, int64_t first, std::span<const int32_t> ids, Tensor y);

  // y[t,i] = gain[i]·x[t,i] / sqrt(mean_i x[t,i]² + eps), for each group of gain.size() columns alone. y may be x.
  virtual void RmsNorm(Tensor x, std::span<const float> gain, float eps, Tensor y);
  // x[t,i] ← x[t,i] / sqrt(mean_i x[t,i]² + eps), for each group of `width` columns alone.
  virtual void L2Norm(int64_t width, float eps, Tensor x);

  // (a, b) ← (a·cos - b·sin, b·cos + a·sin) for the rotated pairs of each head.
  virtual void Rope(const RopeAngles& angles, int64_t head_dim, Tensor x);
  // x[t] ← factors[t]·x[t].
  virtual void ScaleRows(std::span<const float> factors, Tensor x);

  // K[position of t] ← k[t], V likewise.
  virtual void AppendKv(Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv);
  // y[t,h] = Σ_j softmax_j(scale·q[t,h]·K[j]) · V[j] over the keys j that the shape lets t see; max subtracted first.
  virtual void Attend(Tensor q, std::span<const SequenceRows> sequences, const KvLayer& kv, const AttentionShape& shape, Tensor y);

  // y = act(gate) ⊙ up. silu(g) = g / (1 + exp(-g)); gelu(g) = g/2·(1 + tanh(√(2/π)·(g + 0.044715·g³))). y may be gate.
  virtual void GatedProduct(GateKind kind, Tensor gate, Tensor up, Tensor y);
  // x ← x + a.
  virtual void Add(Tensor a, Tensor x);

  // The `active` best experts of each token, best first, ties to the lowest index: experts and weights are [tokens, active].
  virtual void Route(const RouteRule& rule, Tensor logits, std::span<int32_t> experts, std::span<float> weights);
  // y[i] = x[rows[i]].
  virtual void Gather(Tensor x, std::span<const int32_t> rows, Tensor y);
  // out[rows[i]] ← out[rows[i]] + weights[i]·x[i].
  virtual void ScatterAdd(Tensor x, std::span<const int32_t> rows, std::span<const float> weights, Tensor out);
};

}  // namespace drover
