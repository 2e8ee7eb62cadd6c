// ModelSpec: what a decoder computes, as named orthogonal axes. Each axis is read in one place of the forward pass; absence is
// std::optional; a value is the number the paper prints. Layers that differ share a short list of kinds, with one index a layer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"
#include "models/rope.h"

namespace drover {

// Normalisation of q and k before RoPE with the model's norm, over each head (weight of head_dim) or over the whole projection
// (weight of heads·head_dim, OLMo 2); or after RoPE by the L2 norm of each head without a weight (Llama 4).
enum class QkNorm { kNone, kEachHead, kWholeWidth, kL2AfterRope };

// A bias on the scores that grows with the key's position: factor·slope(head)·key. Slopes belong to the head's number in the whole
// model. kInterleaved: powers of the next lower power of two of heads, then every second power of the next higher (BLOOM).
// kEverySecond: the next higher power of two, every second slope first (MPT).
enum class AlibiSlopes { kInterleaved, kEverySecond };
struct Alibi {
  AlibiSlopes slopes = AlibiSlopes::kInterleaved;
  double factor = 1;
  bool rounded = false;  // slope, key and their product are rounded to bf16, as Falcon's reference does
  bool operator==(const Alibi&) const = default;
};

// q is multiplied by 1 + scale·ln(1 + floor((position + first) / floor_positions)); Llama 4 counts positions from 1.
struct QueryTemperature {
  double scale = 0.1;
  double floor_positions = 8192;
  int64_t first = 1;
  bool operator==(const QueryTemperature&) const = default;
};

// Latent attention: one latent c of kv_rank values a token stands for the keys and values of all heads. A head's key is
// [W_k c | r] with r, the rotated part, shared by all heads; its value is W_v c. Only c and r are cached.
struct LatentKv {
  std::optional<int64_t> q_rank;  // queries come from a normed latent too
  int64_t kv_rank = 0;
  int64_t nope_dim = 0;           // of a head: the part that is not rotated, before the rotated rest
  int64_t value_dim = 0;          // of a head
  bool down_bias = false;         // on the projections to the latents
  double norm_eps = 1e-6;         // of the latents' norms
  bool operator==(const LatentKv&) const = default;
};

struct Attention {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  bool qkv_bias = false, out_bias = false;
  QkNorm qk_norm = QkNorm::kNone;
  std::optional<Rope> rope;                       // absent: no positional encoding
  std::optional<Alibi> alibi;                     // absent: no bias
  std::optional<double> clip;                     // q, k and v are clamped to [-clip, clip] after the projection
  std::optional<double> softcap;                  // scores s become cap·tanh(s / cap) before the mask
  std::optional<int64_t> window;                  // a query at p sees keys in (p - window, p]
  std::optional<int64_t> chunk;                   // a query at p sees keys k <= p with k/chunk == p/chunk
  std::optional<QueryTemperature> temperature;
  bool sinks = false;                             // one logit a head joins the softmax's sum
  std::optional<LatentKv> latent;                 // kv_heads is 1 then
  double scale = 0;                               // of the scores; head_dim^-0.5 unless the family differs
  bool operator==(const Attention&) const = default;
};

enum class Activation { kSilu, kGeluTanh, kGelu, kRelu };  // kGelu: the exact form with erf

// What a router makes of its logits. kSigmoidInput: experts are chosen by their logits; the sigmoid scales the expert's input and
// outputs are added unscaled (Llama 4).
enum class RouterScore { kSoftmax, kSigmoid, kSigmoidInput };
// The score of a group of experts: its best expert's, or the sum of its best two.
enum class GroupScore { kBest, kBestTwo };

// The best `kept_groups` of the groups stay, and of their experts the best k. These are weighed by their scores, made to sum to 1
// when `renormalise`, times `scale`.
struct Router {
  RouterScore score = RouterScore::kSoftmax;
  bool logit_bias = false;   // W x + b
  bool choice_bias = false;  // added to the scores for the choice of groups and experts, not for their weights
  int64_t groups = 1, kept_groups = 1;
  GroupScore group_score = GroupScore::kBest;
  bool renormalise = true;
  double scale = 1;
  bool operator==(const Router&) const = default;
};

// Experts whose gate and up rows alternate in one matrix: (u + 1)·g·sigmoid(alpha·g) with g ≤ limit and |u| ≤ limit (gpt-oss).
struct ClampedPairs {
  double alpha = 1.702, limit = 7;
  bool operator==(const ClampedPairs&) const = default;
};

struct Experts {
  int64_t count = 0, active = 0;  // active: experts a token uses (top-k)
  int64_t hidden = 0;             // width of one routed expert
  Router router;
  std::optional<ClampedPairs> pairs;  // with biases in each expert
  int64_t shared_hidden = 0;      // width of the shared expert, 0 when there is none
  bool shared_gate = false;       // the shared expert's output is multiplied by sigmoid(w·x)
  bool operator==(const Experts&) const = default;
};

// Feed-forward W↓(act(W_gate x) ⊙ W_up x), or W↓ act(W_up x) without a gate; either dense (hidden > 0) or routed.
struct Ffn {
  Activation activation = Activation::kSilu;
  int64_t hidden = 0;  // width of the dense form; 0 when routed
  bool gated = true;
  bool bias = false;   // dense form only
  std::optional<Experts> experts;
  bool operator==(const Ffn&) const = default;
};

struct LayerKind {
  Attention attention;
  Ffn ffn;
  bool operator==(const LayerKind&) const = default;
};

// Norm of the residual stream: w ⊙ x / rms(x), the same with 1 + w, LayerNorm with weight and bias, with weight alone, with neither.
enum class NormKind { kRms, kRmsPlusOne, kLayer, kLayerNoBias, kLayerPlain };

// How attention A and feed-forward F join the residual stream x; N and P are norms.
enum class Residual {
  kSequential,        // x += A(N1 x); x += F(N2 x)
  kSandwich,          // x += P1 A(N1 x); x += P2 F(N2 x)
  kPostNorm,          // x += P1 A(x); x += P2 F(x)
  kParallel,          // x += A(N1 x) + F(N1 x)
  kParallelTwoNorms,  // x += A(N1 x) + F(N2 x)
  kNormed,            // x ← N1 x; x += A(x); x ← N2 x; x += F(x)
};

struct Naming;  // models/naming.h

struct ModelSpec {
  std::string family;             // row of the registry, e.g. "llama"
  const Naming* naming = nullptr; // tensor names of Hugging Face files; null: Llama's
  int64_t hidden = 0, vocab = 0;
  int64_t max_positions = 0;      // context length in tokens
  double norm_eps = 1e-5;
  NormKind norm = NormKind::kRms;
  Residual residual = Residual::kSequential;
  double embedding_scale = 1, residual_scale = 1, logit_divisor = 1;  // residual_scale: of what is added to the stream
  std::optional<double> logit_softcap;
  bool learned_positions = false; // a vector for each position is added to the embedding
  bool embedding_norm = false;
  bool output_bias = false;
  bool tied_embeddings = false;   // the output matrix is the embedding
  std::vector<LayerKind> kinds;   // the distinct layers
  std::vector<int32_t> layer_kind;  // one index into kinds per layer
  std::vector<int32_t> end_ids;   // ids that end a sequence, from the config (generation_config.json overrides)
  std::optional<int32_t> bos_id;
  int64_t draft_layers = 0;       // layers of the file after the last one, which predict further tokens: not read
  std::vector<std::string> not_served;  // parts of the checkpoint that are left out, e.g. "vision tower"

  int64_t layers() const { return static_cast<int64_t>(layer_kind.size()); }
  const LayerKind& layer(int64_t i) const { return kinds[static_cast<size_t>(layer_kind[static_cast<size_t>(i)])]; }
  bool has_experts() const;
  bool operator==(const ModelSpec&) const = default;
};

// The lengths at which keys of this model change.
KeyLengths KeyLengthsOf(const ModelSpec& spec);

// Slopes of all heads of the model.
std::vector<float> MakeAlibiSlopes(const Alibi& alibi, int64_t heads);

// Finite positive numbers, heads that fit, experts that exist: everything a forward pass relies on. Errors name the field.
absl::Status Validate(const ModelSpec& spec);

// A few lines of text; equal specs print equally.
std::string ToString(const ModelSpec& spec);

// Adds `kind` unless an equal one is there already; returns its index. Used by families to build layer_kind.
int32_t KindIndex(ModelSpec& spec, const LayerKind& kind);

}  // namespace drover
