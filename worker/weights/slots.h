// Where each weight of the table lives in RankWeights.
#pragma once

#include <vector>

#include "models/shard.h"
#include "models/weights.h"
#include "worker/model/rank_weights.h"

namespace drover {

// Exactly one of the two is set.
struct Slot {
  PackedWeight* matrix = nullptr;
  FloatVector* vector = nullptr;
};

// `weights` must have been shaped by Shape() for the same spec and cut, and the rank must own the weight's expert, if it has one.
Slot SlotOf(RankWeights& weights, const Weight& weight, const ModelSpec& spec, const RankCut& cut);

// Layers and experts, all of them empty.
RankWeights Shape(const ModelSpec& spec, const RankCut& cut);

// A matrix with the fields of `part` set and its memory, that of its groups included, not yet filled.
PackedWeight MakePacked(const Weight& weight, const Part& part, const StorageForm& form);

}  // namespace drover
