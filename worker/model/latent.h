// Latent attention of one layer, in absorbed form: scores and values are taken from the cached latent itself, so that the keys and
// values of single heads never exist.
#pragma once

#include "worker/model/layer.h"

namespace drover {

// This rank's part of W_o·[softmax(scale·(q_hᵀ·W_k,h·c + q'_h·r))·c·W_v,hᵀ]_h, where c is the normed latent of a token, r its rotated
// key part, and q_h, q'_h the two parts of a head's query. Appends [r | c] of this step's tokens to the cache.
Tensor LatentAttentionPart(Step& step, const Layer& layer, Tensor h);

}  // namespace drover
