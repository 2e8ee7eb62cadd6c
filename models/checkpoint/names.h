// Tensor names by role, as Hugging Face directories and GGUF files spell them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

enum class Role : uint8_t;
struct ModelSpec;

// layer -1: whole model; expert -1: not a routed expert.
std::string HfName(std::string_view family, Role role, int32_t layer, int32_t expert);

// The names of Mistral's own files, which have another for every tensor.
std::string NativeName(Role role, int32_t layer, int32_t expert);

// The tensor that holds all experts of a layer ([experts, ...]), where a file has fused them; gate and up share one.
std::string HfFusedName(std::string_view family, Role role, int32_t layer);

// How such a tensor lies: kRows [experts, out, in], kColumns [experts, in, out]; in gate_up all gates come before all ups, or gate
// and up alternate where the model keeps them in one matrix.
enum class FusedForm { kRows, kColumns };
FusedForm HfFusedForm(std::string_view family);

// llama.cpp's names; experts are stacked ([experts, rows, cols]).
std::string GgufName(Role role, int32_t layer);

// Files written before experts were stacked (early 2024): one matrix an expert.
std::string OldGgufExpertName(Role role, int32_t layer, int32_t expert);

// Tensors that a checkpoint may hold and a served model does not read.
bool IsIgnoredTensor(std::string_view name, const ModelSpec& spec);

}  // namespace drover
