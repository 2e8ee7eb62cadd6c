// ModelSpec: what a decoder computes, as named orthogonal axes. Each axis is read in one place of the forward pass; absence is
// std::optional; a value is the number the paper prints. Layers that differ share a short list of kinds, with one index a layer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"

namespace drover {

// How the two members of a rotated pair lie in a head: (x[i], x[i+d/2]) or (x[2i], x[2i+1]).
enum class RopePairing { kHalf, kInterleaved };

enum class RopeScalingKind { kNone, kLinear, kLlama3, kYarn, kDivisors };

struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::kNone;
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 1;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  bool truncate = true;                              // yarn: round the correction range to whole dimensions
  std::optional<double> attention_factor;            // yarn: multiplies cos and sin
  double original_positions = 0;                     // llama3, yarn
  std::vector<float> divisors;                       // GGUF rope_freqs: each frequency is divided by its entry
  bool operator==(const RopeScaling&) const = default;
};

struct Rope {
  RopePairing pairing = RopePairing::kHalf;
  int64_t dims = 0;  // leading dimensions of the head that are rotated
  double theta = 10000;
  RopeScaling scaling;
  bool operator==(const Rope&) const = default;
};

// Normalisation of q and k heads. kRmsBeforeRope has a weight of head_dim; kL2AfterRope has none (Llama 4).
enum class QkNorm { kNone, kRmsBeforeRope, kL2AfterRope };

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
  std::optional<int64_t> window;                  // a query at p sees keys in (p - window, p]
  std::optional<int64_t> chunk;                   // a query at p sees keys k <= p with k/chunk == p/chunk
  std::optional<QueryTemperature> temperature;
  bool sinks = false;                             // one logit a head joins the softmax's sum
  std::optional<LatentKv> latent;                 // kv_heads is 1 then
  double scale = 0;                               // of the scores; head_dim^-0.5 unless the family differs
  bool operator==(const Attention&) const = default;
};

enum class Activation { kSilu, kGeluTanh };

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

// Gated feed-forward W↓(act(W_gate x) ⊙ W_up x); either dense (hidden > 0) or routed.
struct Ffn {
  Activation activation = Activation::kSilu;
  int64_t hidden = 0;  // width of the dense form; 0 when routed
  bool bias = false;   // dense form only
  std::optional<Experts> experts;
  bool operator==(const Ffn&) const = default;
};

struct LayerKind {
  Attention attention;
  Ffn ffn;
  bool operator==(const LayerKind&) const = default;
};

struct ModelSpec {
  std::string family;             // row of the registry, e.g. "llama"
  int64_t hidden = 0, vocab = 0;
  int64_t max_positions = 0;      // context length in tokens
  double norm_eps = 1e-5;         // RMSNorm
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

// Frequencies of the rotated pairs (dims / 2 values, radians per position), computed as the reference does (f32), and the
// factor on cos and sin.
struct RopeTable {
  std::vector<float> inverse_frequency;
  float factor = 1;
};
RopeTable MakeRopeTable(const Rope& rope);

// Finite positive numbers, heads that fit, experts that exist: everything a forward pass relies on. Errors name the field.
absl::Status Validate(const ModelSpec& spec);

// A few lines of text; equal specs print equally.
std::string ToString(const ModelSpec& spec);

// Adds `kind` unless an equal one is there already; returns its index. Used by families to build layer_kind.
int32_t KindIndex(ModelSpec& spec, const LayerKind& kind);

}  // namespace drover
