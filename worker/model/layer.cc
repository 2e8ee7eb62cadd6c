// See layer.h.
#include "worker/model/layer.h"

#include "worker/model/latent.h"

namespace drover {
namespace {

// Where the position enters q and k: before the scores, in the order of the reference.
void Place(Step& step, const Layer& layer, Tensor q, Tensor k) {
  const Attention& a = layer.kind.attention;
  if (a.qk_norm == QkNorm::kRmsBeforeRope) {
    step.NormHeads(q, layer.weights.q_norm, layer.norm_eps);
    step.NormHeads(k, layer.weights.k_norm, layer.norm_eps);
  }
  if (a.rope) {
    step.Turn(layer.angles, a.head_dim, q);  // q ← R(position)·q
    step.Turn(layer.angles, a.head_dim, k);
  }
  if (a.qk_norm == QkNorm::kL2AfterRope) {
    step.L2NormHeads(q, a.head_dim, layer.norm_eps);
    step.L2NormHeads(k, a.head_dim, layer.norm_eps);
  }
  if (a.temperature) step.Temper(q, *a.temperature);
}

// This rank's part of W_o·softmax(q·Kᵀ·scale)·V.
Tensor AttentionPart(Step& step, const Layer& layer, Tensor h) {
  const LayerWeights& w = layer.weights;
  if (layer.kind.attention.latent) return LatentAttentionPart(step, layer, h);
  const Tensor q = step.Linear(h, w.q, w.q_bias);
  const Tensor k = step.Linear(h, w.k, w.k_bias);
  const Tensor v = step.Linear(h, w.v, w.v_bias);
  Place(step, layer, q, k);
  step.Append(layer.kv, k, v);
  AttentionShape shape = layer.cut.shape;
  shape.sinks = w.sinks;
  return step.PartialLinear(step.Attend(q, layer.kv, shape), w.o, w.o_bias, h.cols);
}

// This rank's part of W↓(act(W_gate h) ⊙ W_up h).
Tensor GatedPart(Step& step, Activation activation, const FfnWeights& w, Tensor h) {
  const Tensor gate = step.Linear(h, w.gate, w.gate_bias);
  const Tensor up = step.Linear(h, w.up, w.up_bias);
  return step.PartialLinear(step.Gate(activation, gate, up), w.down, w.down_bias, h.cols);
}

// This rank's part of one expert.
Tensor ExpertPart(Step& step, const Ffn& ffn, const FfnWeights& w, Tensor h) {
  if (!ffn.experts->pairs) return GatedPart(step, ffn.activation, w, h);
  const Tensor gated = step.GatePairs(*ffn.experts->pairs, step.Linear(h, w.pairs, w.pairs_bias));
  return step.PartialLinear(gated, w.down, w.down_bias, h.cols);
}

// This rank's part of the shared expert, zeros when there is none.
Tensor SharedPart(Step& step, const Layer& layer, Tensor h) {
  const Experts& experts = *layer.kind.ffn.experts;
  if (experts.shared_hidden == 0) return step.Zeros(h.rows, h.cols);
  const Tensor out = GatedPart(step, layer.kind.ffn.activation, layer.weights.shared, h);
  if (experts.shared_gate) step.Switch(step.Linear(h, layer.weights.shared_switch), out);
  return out;
}

// Own experts' part of Σ_e weight_e·FFN_e(h), or Σ_e FFN_e(weight_e·h) with the sigmoid router, plus the shared expert's.
Tensor ExpertsPart(Step& step, const Layer& layer, Tensor h) {
  const Ffn& ffn = layer.kind.ffn;
  const LayerWeights& w = layer.weights;
  const bool scale_input = ffn.experts->router.score == RouterScore::kSigmoidInput;
  const Tensor out = SharedPart(step, layer, h);
  const Step::Routes& routes = step.Route(*ffn.experts, w.choice_bias, step.Linear(h, w.router, w.router_bias));
  const std::vector<float> ones(static_cast<size_t>(h.rows), 1.0f);
  for (int64_t own = 0; own < layer.cut.experts.size(); ++own) {
    const auto expert = static_cast<size_t>(layer.cut.experts.begin + own);
    const std::span<const int32_t> rows = routes.rows[expert];
    const std::span<const float> weights = routes.weights[expert];
    if (rows.empty()) continue;
    Arena::Scope scope(step.arena());
    const Tensor input = step.Gather(h, rows);
    if (scale_input) step.ScaleRows(weights, input);
    const Tensor y = ExpertPart(step, ffn, w.experts[static_cast<size_t>(own)], input);
    step.ScatterAdd(y, rows, scale_input ? std::span(ones).first(rows.size()) : weights, out);
  }
  return out;
}

Tensor FeedForwardPart(Step& step, const Layer& layer, Tensor h) {
  if (layer.kind.ffn.experts) return ExpertsPart(step, layer, h);
  return GatedPart(step, layer.kind.ffn.activation, layer.weights.ffn, h);
}

}  // namespace

KindCut CutKind(const LayerKind& kind, const RankCut& cut) {
  const Attention& a = kind.attention;
  const Range heads = cut.Heads(a), kv_heads = cut.KvHeads(a);
  KindCut result;
  result.shape = {.heads = heads.size(),
                  .first_head = heads.begin,
                  .kv_heads = kv_heads.size(),
                  .first_kv_head = kv_heads.begin,
                  .group = a.heads / a.kv_heads,
                  .head_dim = a.head_dim,
                  .scale = static_cast<float>(a.scale),
                  .window = a.window.value_or(0),
                  .chunk = a.chunk.value_or(0)};
  if (a.latent) {
    result.shape.head_dim = a.latent->kv_rank + a.head_dim - a.latent->nope_dim;
    result.shape.value_dim = a.latent->kv_rank;
  }
  if (a.rope) result.rope = MakeRopeTable(*a.rope);
  if (kind.ffn.experts) result.experts = cut.Experts(*kind.ffn.experts);
  return result;
}

void DecoderLayer(Step& step, const Layer& layer, Tensor x) {
  Arena::Scope scope(step.arena());
  const LayerWeights& w = layer.weights;
  step.Add(step.Reduce(AttentionPart(step, layer, step.Norm(x, w.attn_norm, layer.norm_eps))), x);
  step.Add(step.Reduce(FeedForwardPart(step, layer, step.Norm(x, w.ffn_norm, layer.norm_eps))), x);
}

}  // namespace drover
