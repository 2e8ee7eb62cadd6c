// See names.h. {} stands for the layer, {e} for the expert.
#include "models/checkpoint/names.h"

#include <array>

#include "common/check.h"
#include "models/weights.h"

namespace drover {
namespace {

struct RoleName {
  Role role;
  std::string_view hf, gguf;
};

// Feed-forward names are relative to the family's module (see FamilyNames).
constexpr std::array<RoleName, 28> kNames = {{
    {Role::kEmbedding, "model.embed_tokens.weight", "token_embd.weight"},
    {Role::kFinalNorm, "model.norm.weight", "output_norm.weight"},
    {Role::kOutput, "lm_head.weight", "output.weight"},
    {Role::kAttnNorm, "input_layernorm.weight", "attn_norm.weight"},
    {Role::kQ, "self_attn.q_proj.weight", "attn_q.weight"},
    {Role::kK, "self_attn.k_proj.weight", "attn_k.weight"},
    {Role::kV, "self_attn.v_proj.weight", "attn_v.weight"},
    {Role::kO, "self_attn.o_proj.weight", "attn_output.weight"},
    {Role::kQBias, "self_attn.q_proj.bias", "attn_q.bias"},
    {Role::kKBias, "self_attn.k_proj.bias", "attn_k.bias"},
    {Role::kVBias, "self_attn.v_proj.bias", "attn_v.bias"},
    {Role::kOBias, "self_attn.o_proj.bias", "attn_output.bias"},
    {Role::kQNorm, "self_attn.q_norm.weight", "attn_q_norm.weight"},
    {Role::kKNorm, "self_attn.k_norm.weight", "attn_k_norm.weight"},
    {Role::kFfnNorm, "post_attention_layernorm.weight", "ffn_norm.weight"},
    {Role::kGate, "{ffn}.gate_proj.weight", "ffn_gate.weight"},
    {Role::kUp, "{ffn}.up_proj.weight", "ffn_up.weight"},
    {Role::kDown, "{ffn}.down_proj.weight", "ffn_down.weight"},
    {Role::kGateBias, "{ffn}.gate_proj.bias", "ffn_gate.bias"},
    {Role::kUpBias, "{ffn}.up_proj.bias", "ffn_up.bias"},
    {Role::kDownBias, "{ffn}.down_proj.bias", "ffn_down.bias"},
    {Role::kRouter, "{ffn}.{router}.weight", "ffn_gate_inp.weight"},
    {Role::kExpertGate, "{ffn}.experts.{e}.{gate}.weight", "ffn_gate_exps.weight"},
    {Role::kExpertUp, "{ffn}.experts.{e}.{up}.weight", "ffn_up_exps.weight"},
    {Role::kExpertDown, "{ffn}.experts.{e}.{down}.weight", "ffn_down_exps.weight"},
    {Role::kSharedGate, "{ffn}.shared_expert.gate_proj.weight", "ffn_gate_shexp.weight"},
    {Role::kSharedUp, "{ffn}.shared_expert.up_proj.weight", "ffn_up_shexp.weight"},
    {Role::kSharedDown, "{ffn}.shared_expert.down_proj.weight", "ffn_down_shexp.weight"},
}};

struct FamilyNames {
  std::string_view family, ffn, router, gate, up, down, fused;
};
// The last row is the common case.
constexpr std::array<FamilyNames, 3> kFamilies = {{
    {"mixtral", "block_sparse_moe", "gate", "w1", "w3", "w2", "mlp"},
    {"llama4", "feed_forward", "router", "gate_proj", "up_proj", "down_proj", "feed_forward"},
    {"", "mlp", "gate", "gate_proj", "up_proj", "down_proj", "mlp"},
}};

const FamilyNames& NamesOf(std::string_view family) {
  for (const FamilyNames& names : kFamilies)
    if (names.family == family) return names;
  return kFamilies.back();
}

const RoleName& NameOf(Role role) {
  const RoleName& name = kNames[static_cast<size_t>(role)];
  DROVER_CHECK(name.role == role);
  return name;
}

void Replace(std::string& text, std::string_view what, std::string_view with) {
  if (const size_t at = text.find(what); at != std::string::npos) text.replace(at, what.size(), with);
}

}  // namespace

std::string HfName(std::string_view family, Role role, int32_t layer, int32_t expert) {
  const FamilyNames& names = NamesOf(family);
  std::string out(NameOf(role).hf);
  Replace(out, "{ffn}", names.ffn);
  Replace(out, "{router}", names.router);
  Replace(out, "{gate}", names.gate);
  Replace(out, "{up}", names.up);
  Replace(out, "{down}", names.down);
  Replace(out, "{e}", Cat(expert));
  return layer < 0 ? out : Cat("model.layers.", layer, ".", out);
}

std::string HfFusedName(std::string_view family, Role role, int32_t layer) {
  return Cat("model.layers.", layer, ".", NamesOf(family).fused,
             role == Role::kExpertDown ? ".experts.down_proj" : ".experts.gate_up_proj");
}

std::string GgufName(Role role, int32_t layer) {
  const std::string_view name = NameOf(role).gguf;
  return layer < 0 ? std::string(name) : Cat("blk.", layer, ".", name);
}

std::string OldGgufExpertName(Role role, int32_t layer, int32_t expert) {
  std::string name = GgufName(role, layer);
  Replace(name, "_exps", Cat(".", expert));
  return name;
}

bool IsIgnoredTensor(std::string_view name, bool tied_embeddings, bool has_vision) {
  if (name.ends_with(".rotary_emb.inv_freq") || name == "rope_freqs.weight") return true;
  if (tied_embeddings && (name == "lm_head.weight" || name == "language_model.lm_head.weight")) return true;
  return has_vision && (name.starts_with("vision_model.") || name.starts_with("multi_modal_projector."));
}

}  // namespace drover
