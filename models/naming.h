// How a family's files name its tensors and which of them they fuse: a table beside the family's description. What a table leaves
// out is Llama's. See checkpoint/names.h for the names themselves.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "models/weights.h"

namespace drover {

// Module of a matrix or norm, without ".weight" and ".bias"; {e} stands for the expert.
struct ModuleName {
  Role role;
  std::string_view module;
};

// q, k and v in one tensor. kStacked: all of q, all of k, all of v. kGrouped: for each KV head its query heads, its k, its v.
enum class FusedQkv { kNone, kStacked, kGrouped };

struct Naming {
  std::string_view base = "model.";     // in front of everything but the output matrix; a file may leave it out
  std::string_view layer = "layers.";   // followed by the layer's number and a dot
  std::span<const ModuleName> modules = {};
  FusedQkv qkv = FusedQkv::kNone;
  std::string_view qkv_module = {};
  std::string_view gate_up_module = {};           // rows of gate, then of up
  std::string_view experts_module = "mlp.experts";  // + ".gate_up_proj" and ".down_proj": all experts of a layer in one tensor
  bool input_major = false;             // matrices of a layer are stored [inputs, outputs]
  bool experts_input_major = false;     // fused experts are
};

}  // namespace drover
