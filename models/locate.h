// What the two halves of Locate share: looking tensors up and checking them. Internal to models/.
#pragma once

#include <string>
#include <vector>

#include "models/naming.h"
#include "models/weights.h"

namespace drover {

// By its name in the file; null when it is not there.
const TensorInfo* FindStored(const Checkpoint& checkpoint, const std::string& name);

std::vector<int64_t> ShapeOf(const Weight& weight);
absl::Status MissingTensor(const std::string& name, const std::vector<int64_t>& shape);
absl::Status CheckTensor(const Weight& weight, const TensorInfo& tensor, const std::vector<int64_t>& shape);

// One row-major matrix or vector of the weight's own shape.
absl::StatusOr<Source> PlainSource(const Weight& weight, const TensorInfo& tensor);

// Which rows of a larger tensor a weight is: runs of `run` rows, the first at `first`, one every `stride`.
struct Rows {
  int64_t total = 0, first = 0, run = 0, stride = 0;
};
// Rows of q, k, v or of gate, up in their fused tensor.
Rows FusedRows(const Weight& weight, const ModelSpec& spec, FusedQkv qkv);

absl::StatusOr<Source> LocateGguf(const Weight& weight, const Checkpoint& checkpoint);

}  // namespace drover
