// See latent.h.
#include "worker/model/latent.h"

namespace drover {
namespace {

// W_up·norm(W_down h), or W h for a model whose queries pass no latent: own heads of [nope | rotated].
Tensor Queries(Step& step, const Layer& layer, Tensor h) {
  const LayerWeights& w = layer.weights;
  const LatentKv& latent = *layer.kind.attention.latent;
  if (!latent.q_rank) return step.Linear(h, w.q);
  const Tensor down = step.Linear(h, w.q_down, w.q_down_bias);
  step.RmsNorm(down, w.q_down_norm, latent.norm_eps);
  return step.Linear(down, w.q_up);
}

// [r | c] of each token, r not yet rotated.
Tensor Cached(Step& step, const Layer& layer, Tensor h) {
  const LayerWeights& w = layer.weights;
  const LatentKv& latent = *layer.kind.attention.latent;
  const int64_t rotated = layer.kv.head_dim - latent.kv_rank;
  const Tensor down = step.Linear(h, w.kv_down, w.kv_down_bias);  // [c | r]
  const Tensor c = step.Take(h.rows, latent.kv_rank), row = step.Take(h.rows, layer.kv.head_dim);
  step.CopyHeads(1, down, 0, c, 0, latent.kv_rank);
  step.RmsNorm(c, w.kv_down_norm, latent.norm_eps);
  step.CopyHeads(1, c, 0, row, rotated, latent.kv_rank);
  step.CopyHeads(1, down, latent.kv_rank, row, 0, rotated);
  return row;
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
  const Tensor row = Cached(step, layer, h), q = Queries(step, layer, h);
  const Tensor query = step.Take(h.rows, heads * shape.head_dim);  // [q' | W_kᵀ q] of each head
  step.CopyHeads(heads, q, latent.nope_dim, query, 0, rotated);
  step.HeadLinearTransposed(q, w.kv_up, {heads, stride, 0, latent.nope_dim}, rotated, query);
  step.Turn(layer.positions.angles, shape.head_dim, query);
  step.Turn(layer.positions.angles, shape.head_dim, row);
  if (a.temperature) step.ScaleRows(layer.positions.factors, query);
  step.Append(layer.kv, row, {});
  const Tensor seen = step.Attend(query, layer.kv, shape);  // Σ_j p_j·c_j
  return step.PartialLinear(step.HeadLinear(seen, w.kv_up, {heads, stride, latent.nope_dim, latent.value_dim}), w.o, w.o_bias, h.cols);
}

}  // namespace drover
