// The model that a rank serves: checkpoint, weights and forward pass behind RankModel.
#pragma once

#include "worker/comm/communicator.h"
#include "worker/rank_model.h"

namespace drover {

// A loader for this rank's share of whatever a plan names. The communicator outlives the loader and its models.
ModelLoader MakeModelLoader(Communicator& communicator);

}  // namespace drover
