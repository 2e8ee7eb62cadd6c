// See names.h: the names of Mistral's own files (consolidated.safetensors). {e} stands for the expert.
#include <algorithm>
#include <array>

#include "common/check.h"
#include "models/checkpoint/names.h"
#include "models/weights.h"

namespace drover {
namespace {

struct ModuleName {
  Role role;
  std::string_view module;
};
constexpr std::array<ModuleName, 25> kModules = {{
    {Role::kEmbedding, "tok_embeddings"},
    {Role::kFinalNorm, "norm"},
    {Role::kOutput, "output"},
    {Role::kAttnNorm, "attention_norm"},
    {Role::kQ, "attention.wq"},
    {Role::kK, "attention.wk"},
    {Role::kV, "attention.wv"},
    {Role::kO, "attention.wo"},
    {Role::kQDown, "attention.wq_a"},
    {Role::kQDownNorm, "attention.q_a_norm"},
    {Role::kQUp, "attention.wq_b"},
    {Role::kKvDown, "attention.wkv_a_with_mqa"},
    {Role::kKvDownNorm, "attention.kv_a_norm"},
    {Role::kKvUp, "attention.wkv_b"},
    {Role::kFfnNorm, "ffn_norm"},
    {Role::kGate, "feed_forward.w1"},
    {Role::kUp, "feed_forward.w3"},
    {Role::kDown, "feed_forward.w2"},
    {Role::kRouter, "gate"},
    {Role::kExpertGate, "experts.{e}.w1"},
    {Role::kExpertUp, "experts.{e}.w3"},
    {Role::kExpertDown, "experts.{e}.w2"},
    {Role::kSharedGate, "shared_experts.w1"},
    {Role::kSharedUp, "shared_experts.w3"},
    {Role::kSharedDown, "shared_experts.w2"},
}};

}  // namespace

std::string NativeName(Role role, int32_t layer, int32_t expert) {
  const auto* row = std::ranges::find(kModules, role, &ModuleName::role);
  DROVER_CHECK(row != kModules.end());
  std::string name = Cat(row->module, ".weight");
  if (const size_t at = name.find("{e}"); at != std::string::npos) name.replace(at, 3, Cat(expert));
  return layer < 0 ? name : Cat("layers.", layer, ".", name);
}

}  // namespace drover
