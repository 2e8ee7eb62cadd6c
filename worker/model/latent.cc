// See latent.h.
#include "worker/model/latent.h"

namespace drover {
namespace {

struct Projected {
  Tensor q;    // own heads of [nope | rotated]
  Tensor row;  // [r | c] of each token, before the norm of c and the rotation of r
};

// q = W_up·norm(W_down h), or W h for a model whose queries pass no latent.
Projected Project(Step& step, const Layer& layer, Tensor h) {
  const LayerWeights& w = layer.weights;
  const LatentKv& latent = *layer.kind.attention.latent;
  const auto [down, first] = step.Linears(h, {{w.kv_down, w.kv_down_bias},  // [c | r]
                                              {latent.q_rank ? w.q_down : w.q, w.q_down_bias}});
  const Tensor row = step.Take(h.rows, layer.kv.head_dim);
  const int64_t rotated = layer.kv.head_dim - latent.kv_rank;
  step.CopyHeads(1, down, 0, row, rotated, latent.kv_rank);
  step.CopyHeads(1, down, latent.kv_rank, row, 0, rotated);
  if (!latent.q_rank) return {first, row};
  step.RmsNorm(first, w.q_down_norm, latent.norm_eps);
  return {step.Linear(first, w.q_up), row};
}

}  // namespace

Tensor LatentAttentionPart(Step& step, const Layer& layer, Tensor h) {
  const Attention& a = layer.kind.attention;
  const LatentKv& latent = *a.latent;
  const LayerWeights& w = layer.weights;
  AttentionShape shape = layer.cut.shape;
  shape.sinks = w.sinks;
  const int64_t heads = shape.heads, stride = latent.nope_dim + latent.value_dim, rotated = a.head_dim - latent.nope_dim;
  if (heads == 0) return step.PartialLinear(step.Take(h.rows, 0), w.o, w.o_bias, h.cols);
  const auto [q, row] = Project(step, layer, h);
  const Tensor query = step.Take(h.rows, heads * shape.head_dim);  // [q' | W_kᵀ q] of each head
  step.CopyHeads(heads, q, latent.nope_dim, query, 0, rotated);
  step.HeadLinearTransposed(q, w.kv_up, {heads, stride, 0, latent.nope_dim}, rotated, query);
  step.PlaceHeads({{}, w.kv_down_norm, static_cast<float>(latent.norm_eps), layer.positions.angles}, query, row, {}, layer.kv);
  if (a.temperature) step.ScaleRows(layer.positions.factors, query);
  const Tensor seen = step.Attend(query, layer.kv, shape);  // Σ_j p_j·c_j
  return step.PartialLinear(step.HeadLinear(seen, w.kv_up, {heads, stride, latent.nope_dim, latent.value_dim}), w.o, w.o_bias, h.cols);
}

}  // namespace drover
