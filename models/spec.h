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

// q is multiplied by 1 + scale·ln(1 + floor((position + 1) / floor_positions)) (Llama 4, layers without RoPE).
struct QueryTemperature {
  double scale = 0.1;
  double floor_positions = 8192;
  bool operator==(const QueryTemperature&) const = default;
};

struct Attention {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  bool qkv_bias = false, out_bias = false;
  QkNorm qk_norm = QkNorm::kNone;
  std::optional<Rope> rope;                       // absent: no positional encoding
  std::optional<int64_t> window;                  // a query at p sees keys in (p - window, p]
  std::optional<int64_t> chunk;                   // a query at p sees keys k <= p with k/chunk == p/chunk
  std::optional<QueryTemperature> temperature;
  double scale = 0;                               // of the scores; head_dim^-0.5 unless the family differs
  bool operator==(const Attention&) const = default;
};

enum class Activation { kSilu, kGeluTanh };

// kSoftmaxTopK: probabilities over all experts, then the best k, renormalised when `renormalise`.
// kSigmoidInput: best k logits; the expert's input is scaled by sigmoid(logit) and outputs are added unscaled (Llama 4).
enum class RouterKind { kSoftmaxTopK, kSigmoidInput };

struct Experts {
  int64_t count = 0, active = 0;  // active: experts a token uses (top-k)
  int64_t hidden = 0;             // width of one routed expert
  RouterKind router = RouterKind::kSoftmaxTopK;
  bool renormalise = true;
  int64_t shared_hidden = 0;      // width of the shared expert, 0 when there is none
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
