// ExpertTables: what kernels know of the experts of each layer, made when a layer is first asked for and kept on the device.
#pragma once

#include <map>
#include <vector>

#include "kernels/ffn.h"

namespace drover::cuda {

// Matrices of one shape that are multiplied together: one of each own expert for each side.
struct ExpertMatrices {
  // A storage form that occurs, and how many blocks take the rows of a matrix.
  struct Form {
    DType dtype;
    unsigned blocks;
  };
  AlignedBytes near;  // ExpertMatrix [sides, own experts]
  std::vector<Form> forms;
  int32_t sides = 0, experts = 0, rows = 0;
};
// inner: up and gate, or the pairs.
struct ExpertTable {
  ExpertMatrices inner, down;
};

class ExpertTables {
 public:
  // bf16: how their products are computed.
  explicit ExpertTables(bool bf16) : bf16_(bf16) {}
  // Of a layer with `hidden` values a token, known by where its experts' weights lie on the host.
  absl::StatusOr<const ExpertTable*> Of(const ExpertSet& set, int64_t hidden, Memory& memory);

 private:
  const bool bf16_;
  std::map<const FfnWeights*, ExpertTable> tables_;
};

}  // namespace drover::cuda
