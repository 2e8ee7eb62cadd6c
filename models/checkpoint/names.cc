// See names.h. {} stands for the layer, {e} for the expert.
#include "models/checkpoint/names.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/check.h"
#include "models/weights.h"

namespace drover {
namespace {

struct RoleName {
  Role role;
  std::string_view hf, gguf;
};

// Feed-forward names are relative to the family's module (see FamilyNames).
constexpr std::array<RoleName, 43> kNames = {{
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
    {Role::kSinks, "self_attn.sinks", ""},
    {Role::kQDown, "self_attn.q_a_proj.weight", ""},
    {Role::kQDownBias, "self_attn.q_a_proj.bias", ""},
    {Role::kQDownNorm, "self_attn.q_a_layernorm.weight", ""},
    {Role::kQUp, "self_attn.q_b_proj.weight", ""},
    {Role::kKvDown, "self_attn.kv_a_proj_with_mqa.weight", ""},
    {Role::kKvDownBias, "self_attn.kv_a_proj_with_mqa.bias", ""},
    {Role::kKvDownNorm, "self_attn.kv_a_layernorm.weight", ""},
    {Role::kKvUp, "self_attn.kv_b_proj.weight", ""},
    {Role::kFfnNorm, "post_attention_layernorm.weight", "ffn_norm.weight"},
    {Role::kGate, "{ffn}.gate_proj.weight", "ffn_gate.weight"},
    {Role::kUp, "{ffn}.up_proj.weight", "ffn_up.weight"},
    {Role::kDown, "{ffn}.down_proj.weight", "ffn_down.weight"},
    {Role::kGateBias, "{ffn}.gate_proj.bias", "ffn_gate.bias"},
    {Role::kUpBias, "{ffn}.up_proj.bias", "ffn_up.bias"},
    {Role::kDownBias, "{ffn}.down_proj.bias", "ffn_down.bias"},
    {Role::kRouter, "{ffn}.{router}.weight", "ffn_gate_inp.weight"},
    {Role::kRouterBias, "{ffn}.{router}.bias", ""},
    {Role::kChoiceBias, "{ffn}.{router}.e_score_correction_bias", ""},
    {Role::kExpertGate, "{ffn}.experts.{e}.{gate}.weight", "ffn_gate_exps.weight"},
    {Role::kExpertUp, "{ffn}.experts.{e}.{up}.weight", "ffn_up_exps.weight"},
    {Role::kExpertDown, "{ffn}.experts.{e}.{down}.weight", "ffn_down_exps.weight"},
    {Role::kExpertPairs, "{ffn}.experts.{e}.gate_up_proj.weight", ""},
    {Role::kExpertPairsBias, "{ffn}.experts.{e}.gate_up_proj.bias", ""},
    {Role::kExpertDownBias, "{ffn}.experts.{e}.{down}.bias", ""},
    {Role::kSharedGate, "{ffn}.{shared}.gate_proj.weight", "ffn_gate_shexp.weight"},
    {Role::kSharedUp, "{ffn}.{shared}.up_proj.weight", "ffn_up_shexp.weight"},
    {Role::kSharedDown, "{ffn}.{shared}.down_proj.weight", "ffn_down_shexp.weight"},
    {Role::kSharedSwitch, "{ffn}.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight"},
}};

struct FamilyNames {
  std::string_view family, ffn, router, gate, up, down, shared, fused;
  FusedForm form;
};
constexpr FamilyNames kCommon = {"", "mlp", "gate", "gate_proj", "up_proj", "down_proj", "shared_experts", "mlp", FusedForm::kRows};
constexpr std::array<FamilyNames, 4> kFamilies = {{
    {"mixtral", "block_sparse_moe", "gate", "w1", "w3", "w2", "", "mlp", FusedForm::kRows},
    {"llama4", "feed_forward", "router", "gate_proj", "up_proj", "down_proj", "shared_expert", "feed_forward", FusedForm::kColumns},
    {"qwen2_moe", "mlp", "gate", "gate_proj", "up_proj", "down_proj", "shared_expert", "mlp", FusedForm::kRows},
    {"gpt_oss", "mlp", "router", "gate_proj", "up_proj", "down_proj", "", "mlp", FusedForm::kColumns},
}};

const FamilyNames& NamesOf(std::string_view family) {
  for (const FamilyNames& names : kFamilies)
    if (names.family == family) return names;
  return kCommon;
}

const RoleName& NameOf(Role role) {
  const RoleName& name = kNames[static_cast<size_t>(role)];
  DROVER_CHECK(name.role == role);
  return name;
}

void Replace(std::string& text, std::string_view what, std::string_view with) {
  if (const size_t at = text.find(what); at != std::string::npos) text.replace(at, what.size(), with);
}

constexpr std::array<std::string_view, 5> kVisionParts = {"vision_model.", "multi_modal_projector.", "vision_encoder.",
                                                          "vision_language_adapter.", "patch_merger."};

// "model.layers.N." with N among the draft layers behind the last served one.
bool IsDraftLayer(std::string_view name, const ModelSpec& spec) {
  constexpr std::string_view kPrefix = "model.layers.";
  if (spec.draft_layers == 0 || !name.starts_with(kPrefix)) return false;
  int64_t layer = -1;
  const auto [end, error] = std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
  const bool whole = error == std::errc() && end != name.data() + name.size() && *end == '.';
  return whole && layer >= spec.layers() && layer < spec.layers() + spec.draft_layers;
}

}  // namespace

std::string HfName(std::string_view family, Role role, int32_t layer, int32_t expert) {
  if (family == "mistral_native") return NativeName(role, layer, expert);
  const FamilyNames& names = NamesOf(family);
  std::string out(NameOf(role).hf);
  Replace(out, "{ffn}", names.ffn);
  Replace(out, "{router}", names.router);
  Replace(out, "{gate}", names.gate);
  Replace(out, "{up}", names.up);
  Replace(out, "{down}", names.down);
  Replace(out, "{shared}", names.shared);
  Replace(out, "{e}", Cat(expert));
  return layer < 0 ? out : Cat("model.layers.", layer, ".", out);
}

std::string HfFusedName(std::string_view family, Role role, int32_t layer) {
  const bool down = role == Role::kExpertDown || role == Role::kExpertDownBias;
  const bool bias = role == Role::kExpertDownBias || role == Role::kExpertPairsBias;
  return Cat("model.layers.", layer, ".", NamesOf(family).fused, down ? ".experts.down_proj" : ".experts.gate_up_proj", bias ? "_bias" : "");
}

FusedForm HfFusedForm(std::string_view family) { return NamesOf(family).form; }

std::string GgufName(Role role, int32_t layer) {
  const std::string_view name = NameOf(role).gguf;
  return layer < 0 ? std::string(name) : Cat("blk.", layer, ".", name);
}

std::string OldGgufExpertName(Role role, int32_t layer, int32_t expert) {
  std::string name = GgufName(role, layer);
  Replace(name, "_exps", Cat(".", expert));
  return name;
}

bool IsIgnoredTensor(std::string_view name, const ModelSpec& spec) {
  const bool has_vision = !spec.not_served.empty();
  if (IsDraftLayer(name, spec)) return true;
  if (name.ends_with(".rotary_emb.inv_freq") || name == "rope_freqs.weight") return true;
  if (spec.tied_embeddings && (name == "lm_head.weight" || name == "language_model.lm_head.weight")) return true;
  if (!has_vision) return false;
  return std::ranges::any_of(kVisionParts, [&](std::string_view part) { return name.starts_with(part); });
}

}  // namespace drover
