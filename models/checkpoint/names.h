// Tensor names by role, as Hugging Face directories and GGUF files spell them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "models/naming.h"

namespace drover {

// The names of a spec: its family's, else Llama's.
const Naming& NamingOf(const ModelSpec& spec);

// layer -1: whole model; expert -1: not a routed expert.
std::string HfName(const Naming& naming, Role role, int32_t layer, int32_t expert);

// The tensor that holds this weight among others, where a file has fused them: q, k and v or their biases, gate and up, all experts
// of a layer. Empty when the family fuses none.
std::string HfFusedName(const Naming& naming, Role role, int32_t layer);

// llama.cpp's names; experts are stacked ([experts, rows, cols]). `module`: in place of the usual one.
std::string GgufName(Role role, int32_t layer, std::string_view module = {});

// The role of the matrix or norm that a bias belongs to; other roles are their own.
Role ModuleRole(Role role);

// Files written before experts were stacked (early 2024): one matrix an expert.
std::string OldGgufExpertName(Role role, int32_t layer, int32_t expert);

// Tensors that a checkpoint may hold and a served model does not read.
bool IsIgnoredTensor(std::string_view name, const ModelSpec& spec);

}  // namespace drover
