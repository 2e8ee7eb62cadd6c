// See layer.h.
#include "worker/model/layer.h"

#include "worker/model/latent.h"

namespace drover {
namespace {

// What q and k go through before the scores, in the order of the reference; keys and values enter the cache.
void Place(Step& step, const Layer& layer, Tensor q, Tensor k, Tensor v) {
  const Attention& a = layer.kind.attention;
  const LayerWeights& w = layer.weights;
  HeadPlacing how;
  if (a.qk_norm == QkNorm::kEachHead && step.norm().layer_norm) {
    step.NormInPlace(q, a.head_dim, w.q_norm, w.q_norm_bias);
    step.NormInPlace(k, a.head_dim, w.k_norm, w.k_norm_bias);
  } else if (a.qk_norm == QkNorm::kEachHead) {
    how = {w.q_norm, w.k_norm, step.norm().eps};
  }
  if (a.qk_norm == QkNorm::kWholeWidth)
    step.NormSpread({q, w.q_norm, 0, a.heads * a.head_dim}, {k, w.k_norm, layer.cut.repeated_kv_columns, a.kv_heads * a.head_dim});
  if (a.qk_norm == QkNorm::kL2AfterRope) {
    for (const Tensor& x : {q, k}) {
      if (a.rope) step.Turn(layer.positions.angles, a.head_dim, x);  // x ← R(position)·x
      step.L2NormHeads(x, a.head_dim);
    }
  } else if (a.rope) {
    how.angles = layer.positions.angles;
  }
  step.PlaceHeads(how, q, k, v, layer.kv);
  if (a.temperature) step.ScaleRows(layer.positions.factors, q);
}

// This rank's part of W_o·softmax(q·Kᵀ·scale)·V, for own rows; nothing for none, as on every rank of the attention part.
Tensor AttentionPart(Step& step, const Layer& layer, Tensor h) {
  const LayerWeights& w = layer.weights;
  if (h.rows == 0) return step.Take(0, h.cols);
  if (layer.kind.attention.latent) return LatentAttentionPart(step, layer, h);
  const auto [q, k, v] = step.Linears(h, {{w.q, w.q_bias}, {w.k, w.k_bias}, {w.v, w.v_bias}});
  if (const std::optional<double>& clip = layer.kind.attention.clip)
    for (const Tensor& projected : {q, k, v}) step.Clamp(*clip, projected);
  Place(step, layer, q, k, v);
  AttentionShape shape = layer.cut.Shape();
  shape.sinks = w.sinks;
  return step.PartialLinear(step.Attend(q, layer.kv, shape), w.o, w.o_bias, h.cols);
}

// This rank's part of W↓(act(W_gate h) ⊙ W_up h), or of W↓ act(W_up h).
Tensor FfnPart(Step& step, const Ffn& ffn, const FfnWeights& w, Tensor h) {
  const Tensor inner = ffn.gated ? step.GatedLinear(ffn.activation, h, {w.gate, w.gate_bias}, {w.up, w.up_bias})
                                 : step.Activate(ffn.activation, step.Linear(h, w.up, w.up_bias));
  return step.PartialLinear(inner, w.down, w.down_bias, h.cols);
}

// This rank's part of the shared expert, zeros when there is none.
Tensor SharedPart(Step& step, const Layer& layer, Tensor h) {
  const Experts& experts = *layer.kind.ffn.experts;
  if (experts.shared_hidden == 0) return step.Zeros(h.rows, h.cols);
  const Tensor out = FfnPart(step, layer.kind.ffn, layer.weights.shared, h);
  if (experts.shared_gate) step.Switch(step.Linear(h, layer.weights.shared_switch), out);
  return out;
}

// Own experts' part of Σ_e weight_e·FFN_e(h), or Σ_e FFN_e(weight_e·h) with the sigmoid router, plus the shared expert's.
Tensor ExpertsPart(Step& step, const Layer& layer, Tensor h) {
  const LayerWeights& w = layer.weights;
  const Tensor out = SharedPart(step, layer, h);
  ExpertSet set = layer.cut.experts;
  set.own = w.experts;
  step.AddExperts(set, step.Route(*layer.kind.ffn.experts, w.choice_bias, step.Linear(h, w.router, w.router_bias)), h, out);
  return out;
}

Tensor FeedForwardPart(Step& step, const Layer& layer, Tensor h) {
  if (layer.kind.ffn.experts) return ExpertsPart(step, layer, h);
  return FfnPart(step, layer.kind.ffn, layer.weights.ffn, h);
}

// The norm through which a block reads the stream.
struct Entry {
  std::span<const float> gain, bias;
};
Entry EntryOf(const LayerWeights& w) { return {w.attn_norm, w.attn_norm_bias}; }

// What a block gave, a part of the sum over ranks or the sum itself, and where the stream goes from there.
struct Joint {
  Tensor y;
  bool summed = false;
  std::span<const float> post_norm;
  std::optional<Entry> next;  // of the block after it on this rank
};

// x ← x + scale·P(Σ_ranks y), with the norm P where the residual form has one; h ← what the next block reads through its norm.
void Join(Step& step, const Layer& layer, const Joint& joint, Tensor x, Tensor h) {
  const Residual form = layer.stream.residual;
  const bool post = form == Residual::kSandwich || form == Residual::kPostNorm;
  const bool norms_next = joint.next && form != Residual::kPostNorm;
  if (norms_next && !joint.summed && !post && layer.stream.residual_scale == 1) {
    step.SumAddNorm(joint.y, joint.next->gain, joint.next->bias, x, h);
  } else {
    Tensor y = joint.summed ? joint.y : step.Reduce(joint.y);
    if (post) y = step.Norm(y, joint.post_norm);
    step.Scale(layer.stream.residual_scale, y);
    if (!norms_next) return step.Add(y, x);
    step.AddNorm(y, joint.next->gain, joint.next->bias, x, h);
  }
  if (form == Residual::kNormed) step.Copy(h, x);
}

}  // namespace

absl::StatusOr<KindCut> CutKind(const LayerKind& kind, const RankCut& cut, Memory& memory) {
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
                  .softcap = static_cast<float>(a.softcap.value_or(0)),
                  .window = a.window.value_or(0),
                  .chunk = a.chunk.value_or(0)};
  if (a.latent) {
    result.shape.head_dim = a.latent->kv_rank + a.head_dim - a.latent->nope_dim;
    result.shape.value_dim = a.latent->kv_rank;
  }
  if (a.alibi) {
    const std::vector<float> slopes = MakeAlibiSlopes(*a.alibi, a.heads);
    const std::span<const float> own = std::span(slopes).subspan(static_cast<size_t>(heads.begin), static_cast<size_t>(heads.size()));
    DROVER_ASSIGN_OR_RETURN(result.slopes, FloatVector::Make(own, memory));
    result.shape.bias_factor = static_cast<float>(a.alibi->factor);
    result.shape.bias_rounded = a.alibi->rounded;
  }
  result.repeated_kv_columns = (cut.FirstKvHeads(a).begin - kv_heads.begin) * a.head_dim;
  if (a.rope) result.rope = MakeRopeTable(*a.rope);
  if (const std::optional<Experts>& experts = kind.ffn.experts) {
    result.experts = {.first = cut.Experts(*experts).begin,
                      .columns = cut.ExpertColumns(*experts).size(),
                      .kind = KindOf(kind.ffn.activation),
                      .gated = kind.ffn.gated,
                      .scale_input = experts->router.score == RouterScore::kSigmoidInput};
    if (experts->pairs)
      result.experts.pairs = {static_cast<float>(experts->pairs->alpha), static_cast<float>(experts->pairs->limit)};
  }
  return result;
}

void EnterLayers(Step& step, const ModelSpec& stream, const LayerWeights& first, Tensor x, Tensor h) {
  if (stream.residual == Residual::kPostNorm) return;
  step.NormInto(x, first.attn_norm, first.attn_norm_bias, h);
  if (stream.residual == Residual::kNormed) step.Copy(h, x);
}

void DecoderLayer(Step& step, const Layer& layer, Tensor x, Tensor h) {
  Arena::Scope scope(step.arena());
  const LayerWeights& w = layer.weights;
  const Residual form = layer.stream.residual;
  const Tensor read = form == Residual::kPostNorm ? x : h;
  std::optional<Entry> next;
  if (layer.next != nullptr) next = EntryOf(*layer.next);
  const Tensor attention = AttentionPart(step, layer, step.OwnRows(read));
  if (form == Residual::kParallel || form == Residual::kParallelTwoNorms) {
    const Tensor m = form == Residual::kParallel ? h : step.Norm(x, w.ffn_norm, w.ffn_norm_bias);
    const Tensor part = FeedForwardPart(step, layer, m);
    step.Add(attention, step.OwnRows(part));  // one sum over the stage is that over an attention part too
    return Join(step, layer, {part, false, {}, next}, x, h);
  }
  const bool parts = step.has_parts();
  Join(step, layer, {parts ? step.JoinParts(attention) : attention, parts, w.attn_post_norm, Entry{w.ffn_norm, w.ffn_norm_bias}}, x, h);
  Join(step, layer, {FeedForwardPart(step, layer, read), false, w.ffn_post_norm, next}, x, h);
}

}  // namespace drover
