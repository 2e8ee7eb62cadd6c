// See spec.h.
#include "models/spec.h"

#include <algorithm>
#include <cmath>

namespace drover {
namespace {

constexpr int64_t kMaxWidth = 1 << 24;

absl::Status CheckCount(std::string_view field, int64_t value, int64_t highest = kMaxWidth) {
  if (value >= 1 && value <= highest) return absl::OkStatus();
  return InvalidArgument(field, ": found ", value, ", expected 1 to ", highest);
}

absl::Status CheckPositive(std::string_view field, double value) {
  if (std::isfinite(value) && value > 0) return absl::OkStatus();
  return InvalidArgument(field, ": found ", value, ", expected a finite number above 0");
}

absl::Status CheckRope(const Rope& rope, int64_t head_dim) {
  if (rope.dims < 2 || 2 * rope.pairs() > head_dim)
    return InvalidArgument("rotated dimensions: found ", rope.dims, ", expected whole pairs within the head size ", head_dim);
  DROVER_RETURN_IF_ERROR(CheckPositive("rope theta", rope.theta));
  if (rope.theta <= 1) return InvalidArgument("rope theta: found ", rope.theta, ", expected a number above 1");
  const RopeScaling& scaling = rope.scaling;
  if (scaling.kind == RopeScalingKind::kDivisors) {
    if (static_cast<int64_t>(scaling.divisors.size()) != rope.pairs())
      return InvalidArgument("rope divisors: found ", scaling.divisors.size(), ", expected ", rope.pairs());
    for (const float divisor : scaling.divisors) DROVER_RETURN_IF_ERROR(CheckPositive("rope divisor", divisor));
    return absl::OkStatus();
  }
  if (scaling.kind == RopeScalingKind::kNone) return absl::OkStatus();
  if (scaling.kind == RopeScalingKind::kDynamic && rope.dims <= 2)
    return InvalidArgument("rotated dimensions: found ", rope.dims, " with dynamic scaling, expected more than 2");
  for (const auto& factors : {scaling.short_factors, scaling.long_factors}) {
    const int64_t expected = scaling.kind == RopeScalingKind::kLongrope ? rope.pairs() : 0;
    if (static_cast<int64_t>(factors.size()) != expected)
      return InvalidArgument("longrope factors: found ", factors.size(), ", expected ", expected);
    for (const float factor : factors) DROVER_RETURN_IF_ERROR(CheckPositive("longrope factor", factor));
  }
  DROVER_RETURN_IF_ERROR(CheckPositive("rope factor", scaling.factor));
  if (scaling.kind == RopeScalingKind::kLinear) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(CheckPositive("rope original_max_position_embeddings", scaling.original_positions));
  DROVER_RETURN_IF_ERROR(CheckPositive("rope low_freq_factor", scaling.low_freq_factor));
  DROVER_RETURN_IF_ERROR(CheckPositive("rope high_freq_factor", scaling.high_freq_factor));
  DROVER_RETURN_IF_ERROR(CheckPositive("rope beta_fast", scaling.beta_fast));
  DROVER_RETURN_IF_ERROR(CheckPositive("rope beta_slow", scaling.beta_slow));
  return CheckPositive("rope attention_factor", scaling.attention_factor.value_or(1));
}

absl::Status CheckLatent(const LatentKv& latent, const Attention& a) {
  DROVER_RETURN_IF_ERROR(CheckCount("query latent", latent.q_rank.value_or(1), 1 << 20));
  DROVER_RETURN_IF_ERROR(CheckCount("key-value latent", latent.kv_rank, 1 << 20));
  DROVER_RETURN_IF_ERROR(CheckCount("value size of a head", latent.value_dim, 1 << 16));
  DROVER_RETURN_IF_ERROR(CheckCount("unrotated size of a head", latent.nope_dim, a.head_dim - 1));
  if (a.kv_heads != 1) return InvalidArgument("KV heads: found ", a.kv_heads, " beside a latent, expected 1");
  if (!a.rope || a.rope->dims != a.head_dim - latent.nope_dim)
    return InvalidArgument("rotated dimensions: found ", a.rope ? a.rope->dims : 0, ", expected the head's last ", a.head_dim - latent.nope_dim);
  return CheckPositive("norm epsilon of the latents", latent.norm_eps);
}

absl::Status CheckAttention(const Attention& a) {
  DROVER_RETURN_IF_ERROR(CheckCount("attention heads", a.heads, 1 << 16));
  DROVER_RETURN_IF_ERROR(CheckCount("KV heads", a.kv_heads, 1 << 16));
  DROVER_RETURN_IF_ERROR(CheckCount("head size", a.head_dim, 1 << 16));
  if (a.heads % a.kv_heads != 0)
    return InvalidArgument("KV heads: found ", a.kv_heads, ", expected a divisor of the ", a.heads, " attention heads");
  DROVER_RETURN_IF_ERROR(CheckPositive("attention scale", a.scale));
  if (a.clip) DROVER_RETURN_IF_ERROR(CheckPositive("clip of q, k and v", *a.clip));
  if (a.softcap) DROVER_RETURN_IF_ERROR(CheckPositive("attention softcap", *a.softcap));
  if (a.alibi) DROVER_RETURN_IF_ERROR(CheckPositive("alibi factor", a.alibi->factor));
  if (a.window) DROVER_RETURN_IF_ERROR(CheckCount("attention window", *a.window, int64_t{1} << 28));
  if (a.chunk) DROVER_RETURN_IF_ERROR(CheckCount("attention chunk", *a.chunk, int64_t{1} << 28));
  if (a.temperature) {
    DROVER_RETURN_IF_ERROR(CheckPositive("attention temperature scale", a.temperature->scale));
    DROVER_RETURN_IF_ERROR(CheckPositive("attention temperature floor", a.temperature->floor_positions));
  }
  if (a.latent) DROVER_RETURN_IF_ERROR(CheckLatent(*a.latent, a));
  return a.rope ? CheckRope(*a.rope, a.head_dim) : absl::OkStatus();
}

absl::Status CheckRouter(const Router& router, const Experts& experts) {
  DROVER_RETURN_IF_ERROR(CheckPositive("router scale", router.scale));
  DROVER_RETURN_IF_ERROR(CheckCount("expert groups", router.groups, experts.count));
  DROVER_RETURN_IF_ERROR(CheckCount("kept expert groups", router.kept_groups, router.groups));
  const int64_t size = experts.count / router.groups;
  if (experts.count % router.groups != 0)
    return InvalidArgument("expert groups: found ", router.groups, ", expected a divisor of the ", experts.count, " experts");
  if (router.group_score == GroupScore::kBestTwo && router.groups > 1 && size < 2)
    return InvalidArgument("expert groups: found ", router.groups, " of one expert, expected at least two in each");
  if (experts.active > router.kept_groups * size)
    return InvalidArgument("experts of a token: found ", experts.active, ", expected at most ", router.kept_groups * size, " of the kept groups");
  return absl::OkStatus();
}

absl::Status CheckFfn(const Ffn& ffn) {
  if (!ffn.experts) return CheckCount("feed-forward width", ffn.hidden);
  const Experts& experts = *ffn.experts;
  if (ffn.hidden != 0) return InvalidArgument("feed-forward width: found ", ffn.hidden, " beside experts, expected 0");
  DROVER_RETURN_IF_ERROR(CheckCount("experts", experts.count, 1 << 16));
  DROVER_RETURN_IF_ERROR(CheckCount("experts of a token", experts.active, experts.count));
  DROVER_RETURN_IF_ERROR(CheckCount("expert width", experts.hidden));
  DROVER_RETURN_IF_ERROR(CheckRouter(experts.router, experts));
  if (experts.pairs) {
    DROVER_RETURN_IF_ERROR(CheckPositive("gate alpha", experts.pairs->alpha));
    DROVER_RETURN_IF_ERROR(CheckPositive("gate limit", experts.pairs->limit));
  }
  if (experts.shared_hidden != 0) return CheckCount("shared expert width", experts.shared_hidden);
  return absl::OkStatus();
}

std::string ToString(const RopeScaling& s) {
  switch (s.kind) {
    case RopeScalingKind::kNone: return "";
    case RopeScalingKind::kLinear: return Cat(" linear/", s.factor);
    case RopeScalingKind::kLlama3:
      return Cat(" llama3(factor ", s.factor, ", low ", s.low_freq_factor, ", high ", s.high_freq_factor, ", original ",
                 s.original_positions, ")");
    case RopeScalingKind::kYarn:
      return Cat(" yarn(factor ", s.factor, ", fast ", s.beta_fast, ", slow ", s.beta_slow, ", original ", s.original_positions,
                 s.truncate ? "" : ", not truncated",
                 s.attention_factor ? Cat(", attention ", *s.attention_factor) : std::string(), ")");
    case RopeScalingKind::kDynamic: return Cat(" dynamic(factor ", s.factor, ", original ", s.original_positions, ")");
    case RopeScalingKind::kLongrope:
      return Cat(" longrope(factor ", s.factor, ", original ", s.original_positions,
                 s.attention_factor ? Cat(", attention ", *s.attention_factor) : std::string(), ")");
    case RopeScalingKind::kDivisors: return Cat(" divisors[", s.divisors.size(), "]");
  }
  return "";
}

std::string ToString(const Attention& a) {
  std::string out = Cat("heads ", a.heads, "/", a.kv_heads, " of ", a.head_dim);
  if (a.latent) {
    out = Cat("heads ", a.heads, " of ", a.latent->nope_dim, "+", a.head_dim - a.latent->nope_dim, "/", a.latent->value_dim, ", latent ", a.latent->kv_rank);
    if (a.latent->q_rank) out += Cat(", q latent ", *a.latent->q_rank);
    if (a.latent->down_bias) out += ", latent bias";
  }
  if (a.qkv_bias) out += ", qkv bias";
  if (a.out_bias) out += ", out bias";
  if (a.clip) out += Cat(", q/k/v clipped to ", *a.clip);
  if (a.qk_norm == QkNorm::kEachHead) out += ", q/k norm";
  if (a.qk_norm == QkNorm::kWholeWidth) out += ", q/k norm over all heads";
  if (a.qk_norm == QkNorm::kL2AfterRope) out += ", q/k L2 norm";
  if (a.rope)
    out += Cat(", rope ", a.rope->pairing == RopePairing::kHalf ? "half" : "interleaved", " ", a.rope->dims, " theta ",
               a.rope->theta, ToString(a.rope->scaling));
  else
    out += ", no rope";
  if (a.alibi)
    out += Cat(", alibi ", a.alibi->slopes == AlibiSlopes::kInterleaved ? "interleaved" : "every second", a.alibi->rounded ? " in bf16" : "",
               a.alibi->factor != 1 ? Cat(" times ", a.alibi->factor) : std::string());
  if (a.softcap) out += Cat(", softcap ", *a.softcap);
  if (a.window) out += Cat(", window ", *a.window);
  if (a.chunk) out += Cat(", chunk ", *a.chunk);
  if (a.temperature)
    out += Cat(", temperature ", a.temperature->scale, " per ", a.temperature->floor_positions, a.temperature->first == 0 ? " from 0" : "");
  if (a.sinks) out += ", sinks";
  if (std::abs(a.scale * std::sqrt(static_cast<double>(a.head_dim)) - 1) > 1e-9) out += Cat(", scale ", a.scale);
  return out;
}

std::string ToString(const Router& r) {
  std::string out = r.score == RouterScore::kSoftmax ? "softmax" : r.score == RouterScore::kSigmoid ? "sigmoid" : "sigmoid on input";
  if (r.logit_bias) out += ", biased";
  if (r.choice_bias) out += ", choice bias";
  if (r.groups > 1) out += Cat(", ", r.kept_groups, " of ", r.groups, " groups by ", r.group_score == GroupScore::kBest ? "best" : "best two");
  if (r.renormalise && r.score != RouterScore::kSigmoidInput) out += " renormalised";
  if (r.scale != 1) out += Cat(" times ", r.scale);
  return out;
}

std::string ToString(const Ffn& f) {
  constexpr std::string_view kActivations[] = {"silu", "gelu_tanh", "gelu", "relu"};
  const std::string act(kActivations[static_cast<size_t>(f.activation)]);
  if (!f.experts) return Cat("dense ", f.hidden, " ", act, f.gated ? "" : " ungated", f.bias ? ", bias" : "");
  const Experts& e = *f.experts;
  const std::string gate = e.pairs ? Cat("clamped pairs ", e.pairs->alpha, " ", e.pairs->limit, ", bias") : act;
  std::string out = Cat(e.count, " experts of ", e.hidden, " ", gate, ", top ", e.active, ", ", ToString(e.router));
  if (e.shared_hidden != 0) out += Cat(", shared ", e.shared_hidden, e.shared_gate ? " gated" : "");
  return out;
}

// What differs from Llama in the stream that the layers share.
std::string StreamText(const ModelSpec& spec) {
  constexpr std::string_view kNorms[] = {"", ", RMS norm 1+w", ", LayerNorm", ", LayerNorm without bias", ", LayerNorm without weights"};
  constexpr std::string_view kResiduals[] = {"", ", pre and post norms", ", post norms", ", parallel", ", parallel with two norms", ", normed residual"};
  std::string out = Cat(kNorms[static_cast<size_t>(spec.norm)], kResiduals[static_cast<size_t>(spec.residual)]);
  if (spec.learned_positions) out += ", learned positions";
  if (spec.embedding_norm) out += ", embedding norm";
  if (spec.embedding_scale != 1) out += Cat(", embedding times ", spec.embedding_scale);
  if (spec.residual_scale != 1) out += Cat(", residual times ", spec.residual_scale);
  if (spec.logit_divisor != 1) out += Cat(", logits over ", spec.logit_divisor);
  if (spec.logit_softcap) out += Cat(", logit softcap ", *spec.logit_softcap);
  if (spec.output_bias) out += ", output bias";
  return out;
}

// Rough, in floating point, so that sums over tensors cannot overflow later.
double ApproximateParameters(const ModelSpec& spec) {
  const auto hidden = static_cast<double>(spec.hidden);
  double total = 2 * hidden * static_cast<double>(spec.vocab);
  for (int64_t i = 0; i < spec.layers(); ++i) {
    const LayerKind& kind = spec.layer(i);
    const auto heads = static_cast<double>(2 * (kind.attention.heads + kind.attention.kv_heads));
    if (const auto& latent = kind.attention.latent)
      total += static_cast<double>(latent->kv_rank + latent->q_rank.value_or(0)) *
                   (hidden + heads * static_cast<double>(kind.attention.head_dim + latent->value_dim)) +
               hidden * heads * static_cast<double>(latent->value_dim);
    double width = heads * static_cast<double>(kind.attention.head_dim) + 3 * static_cast<double>(kind.ffn.hidden);
    if (const auto& experts = kind.ffn.experts)
      width += static_cast<double>(experts->count) * (3 * static_cast<double>(experts->hidden) + 1) + 3 * static_cast<double>(experts->shared_hidden);
    total += hidden * width;
  }
  return total;
}

absl::Status CheckSize(const ModelSpec& spec) {
  constexpr int64_t kMaxExperts = 1 << 18;
  constexpr double kMaxParameters = 1e15;
  int64_t experts = 0;
  for (int64_t i = 0; i < spec.layers(); ++i) experts += spec.layer(i).ffn.experts ? spec.layer(i).ffn.experts->count : 0;
  if (experts > kMaxExperts) return InvalidArgument("experts of all layers: found ", experts, ", expected at most ", kMaxExperts);
  if (const double parameters = ApproximateParameters(spec); parameters > kMaxParameters)
    return InvalidArgument("parameters: found about ", parameters, ", expected at most ", kMaxParameters);
  return absl::OkStatus();
}

}  // namespace

bool ModelSpec::has_experts() const {
  return std::any_of(kinds.begin(), kinds.end(), [](const LayerKind& kind) { return kind.ffn.experts.has_value(); });
}

absl::Status Validate(const ModelSpec& spec) {
  DROVER_RETURN_IF_ERROR(CheckCount("hidden width", spec.hidden));
  DROVER_RETURN_IF_ERROR(CheckCount("vocabulary", spec.vocab));
  DROVER_RETURN_IF_ERROR(CheckCount("context length", spec.max_positions, int64_t{1} << 28));
  DROVER_RETURN_IF_ERROR(CheckPositive("norm epsilon", spec.norm_eps));
  DROVER_RETURN_IF_ERROR(CheckPositive("embedding scale", spec.embedding_scale));
  DROVER_RETURN_IF_ERROR(CheckPositive("residual scale", spec.residual_scale));
  DROVER_RETURN_IF_ERROR(CheckPositive("logit divisor", spec.logit_divisor));
  DROVER_RETURN_IF_ERROR(CheckPositive("logit softcap", spec.logit_softcap.value_or(1)));
  if (spec.norm_eps > 1) return InvalidArgument("norm epsilon: found ", spec.norm_eps, ", expected at most 1");
  DROVER_RETURN_IF_ERROR(CheckCount("layers", spec.layers(), 4096));
  for (const int32_t index : spec.layer_kind)
    if (index < 0 || static_cast<size_t>(index) >= spec.kinds.size())
      return InvalidArgument("layer kind: found ", index, ", expected 0 to ", spec.kinds.size() - 1);
  for (const LayerKind& kind : spec.kinds) {
    DROVER_RETURN_IF_ERROR(CheckAttention(kind.attention));
    DROVER_RETURN_IF_ERROR(CheckFfn(kind.ffn));
  }
  DROVER_RETURN_IF_ERROR(CheckSize(spec));
  for (const int32_t id : spec.end_ids)
    if (id < 0 || id >= spec.vocab) return InvalidArgument("eos_token_id: found ", id, ", expected 0 to ", spec.vocab - 1);
  if (spec.bos_id && (*spec.bos_id < 0 || *spec.bos_id >= spec.vocab))
    return InvalidArgument("bos_token_id: found ", *spec.bos_id, ", expected 0 to ", spec.vocab - 1);
  return absl::OkStatus();
}

std::string ToString(const ModelSpec& spec) {
  std::string out = Cat(spec.family, ": ", spec.layers(), " layers, hidden ", spec.hidden, ", vocab ", spec.vocab,
                        ", context ", spec.max_positions, ", eps ", spec.norm_eps, StreamText(spec), spec.tied_embeddings ? ", tied" : "", "\n");
  for (size_t k = 0; k < spec.kinds.size(); ++k) {
    std::string where;
    for (int64_t i = 0; i < spec.layers(); ++i) {
      if (spec.layer_kind[static_cast<size_t>(i)] != static_cast<int32_t>(k)) continue;
      int64_t last = i;
      while (last + 1 < spec.layers() && spec.layer_kind[static_cast<size_t>(last + 1)] == static_cast<int32_t>(k)) ++last;
      where += Cat(where.empty() ? "" : ",", i, last > i ? Cat("-", last) : std::string());
      i = last;
    }
    out += Cat("  layers ", where, ": ", ToString(spec.kinds[k].attention), "; ", ToString(spec.kinds[k].ffn), "\n");
  }
  std::string ends;
  for (const int32_t id : spec.end_ids) ends += Cat(ends.empty() ? "" : ",", id);
  out += Cat("  bos ", spec.bos_id ? Cat(*spec.bos_id) : std::string("none"), ", end ", ends.empty() ? "none" : ends, "\n");
  for (const std::string& part : spec.not_served) out += Cat("  not served: ", part, "\n");
  return out;
}

int32_t KindIndex(ModelSpec& spec, const LayerKind& kind) {
  const auto it = std::find(spec.kinds.begin(), spec.kinds.end(), kind);
  if (it != spec.kinds.end()) return static_cast<int32_t>(it - spec.kinds.begin());
  spec.kinds.push_back(kind);
  return static_cast<int32_t>(spec.kinds.size()) - 1;
}

}  // namespace drover
