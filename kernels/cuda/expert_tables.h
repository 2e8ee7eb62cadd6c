// ExpertTables: what kernels know of the experts of each layer, made when a layer is first asked for and kept on the device.
#pragma once

#include <map>
#include <vector>

#include "kernels/ffn.h"

namespace drover::cuda {

enum ExpertRole { kUp, kGate, kDown, kExpertRoles };  // kUp: the pairs where they are instead of both

struct ExpertTable {
  AlignedBytes matrices[kExpertRoles];       // ExpertMatrix of each own expert, where the role exists
  std::vector<DType> dtypes[kExpertRoles];   // that occur
};

class ExpertTables {
 public:
  // Of a layer, known by where its experts' weights lie on the host.
  absl::StatusOr<const ExpertTable*> Of(const ExpertSet& set, Memory& memory);

 private:
  std::map<const FfnWeights*, ExpertTable> tables_;
};

}  // namespace drover::cuda
