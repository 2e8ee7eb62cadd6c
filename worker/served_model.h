// The model that a rank serves: checkpoint, weights and forward pass behind RankModel.
#pragma once

#include "worker/devices.h"
#include "worker/rank_model.h"

namespace drover {

// A loader for this rank's share of whatever a plan names. `host` connects the ranks as processes and outlives the loader and its
// models; null where they meet by themselves.
ModelLoader MakeModelLoader(const DevicePlace& place, Communicator* host);

}  // namespace drover
