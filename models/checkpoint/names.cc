// See names.h. {e} stands for the expert.
#include "models/checkpoint/names.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/check.h"

namespace drover {
namespace {

// Biases belong to the module of their matrix or norm. A name of llama.cpp's with a dot is whole.
struct RoleName {
  Role role;
  Role module_of;
  std::string_view module, gguf;
  std::string_view suffix = ".weight";
};
constexpr std::string_view kBias = ".bias";

constexpr std::array<RoleName, 54> kNames = {{
    {Role::kEmbedding, Role::kEmbedding, "embed_tokens", "token_embd"},
    {Role::kPositionTable, Role::kPositionTable, "embed_positions", "position_embd"},
    {Role::kEmbeddingNorm, Role::kEmbeddingNorm, "embed_norm", "token_embd_norm"},
    {Role::kEmbeddingNormBias, Role::kEmbeddingNorm, "", "token_embd_norm", kBias},
    {Role::kFinalNorm, Role::kFinalNorm, "norm", "output_norm"},
    {Role::kFinalNormBias, Role::kFinalNorm, "", "output_norm", kBias},
    {Role::kOutput, Role::kOutput, "lm_head", "output"},
    {Role::kOutputBias, Role::kOutput, "", "output", kBias},
    {Role::kAttnNorm, Role::kAttnNorm, "input_layernorm", "attn_norm"},
    {Role::kAttnNormBias, Role::kAttnNorm, "", "attn_norm", kBias},
    {Role::kAttnPostNorm, Role::kAttnPostNorm, "post_attention_layernorm", "post_attention_norm"},
    {Role::kQ, Role::kQ, "self_attn.q_proj", "attn_q"},
    {Role::kK, Role::kK, "self_attn.k_proj", "attn_k"},
    {Role::kV, Role::kV, "self_attn.v_proj", "attn_v"},
    {Role::kO, Role::kO, "self_attn.o_proj", "attn_output"},
    {Role::kQBias, Role::kQ, "", "attn_q", kBias},
    {Role::kKBias, Role::kK, "", "attn_k", kBias},
    {Role::kVBias, Role::kV, "", "attn_v", kBias},
    {Role::kOBias, Role::kO, "", "attn_output", kBias},
    {Role::kQNorm, Role::kQNorm, "self_attn.q_norm", "attn_q_norm"},
    {Role::kQNormBias, Role::kQNorm, "", "attn_q_norm", kBias},
    {Role::kKNorm, Role::kKNorm, "self_attn.k_norm", "attn_k_norm"},
    {Role::kKNormBias, Role::kKNorm, "", "attn_k_norm", kBias},
    {Role::kSinks, Role::kSinks, "self_attn.sinks", "attn_sinks.weight", ""},
    {Role::kQDown, Role::kQDown, "self_attn.q_a_proj", "attn_q_a"},
    {Role::kQDownBias, Role::kQDown, "", "attn_q_a", kBias},
    {Role::kQDownNorm, Role::kQDownNorm, "self_attn.q_a_layernorm", "attn_q_a_norm"},
    {Role::kQUp, Role::kQUp, "self_attn.q_b_proj", "attn_q_b"},
    {Role::kKvDown, Role::kKvDown, "self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    {Role::kKvDownBias, Role::kKvDown, "", "attn_kv_a_mqa", kBias},
    {Role::kKvDownNorm, Role::kKvDownNorm, "self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    {Role::kKvUp, Role::kKvUp, "self_attn.kv_b_proj", "attn_kv_b"},
    {Role::kFfnNorm, Role::kFfnNorm, "post_attention_layernorm", "ffn_norm"},
    {Role::kFfnNormBias, Role::kFfnNorm, "", "ffn_norm", kBias},
    {Role::kFfnPostNorm, Role::kFfnPostNorm, "post_feedforward_layernorm", "post_ffw_norm"},
    {Role::kGate, Role::kGate, "mlp.gate_proj", "ffn_gate"},
    {Role::kUp, Role::kUp, "mlp.up_proj", "ffn_up"},
    {Role::kDown, Role::kDown, "mlp.down_proj", "ffn_down"},
    {Role::kGateBias, Role::kGate, "", "ffn_gate", kBias},
    {Role::kUpBias, Role::kUp, "", "ffn_up", kBias},
    {Role::kDownBias, Role::kDown, "", "ffn_down", kBias},
    {Role::kRouter, Role::kRouter, "mlp.gate", "ffn_gate_inp"},
    {Role::kRouterBias, Role::kRouter, "", "ffn_gate_inp", kBias},
    {Role::kChoiceBias, Role::kRouter, "", "exp_probs_b.bias", ".e_score_correction_bias"},
    {Role::kExpertGate, Role::kExpertGate, "mlp.experts.{e}.gate_proj", "ffn_gate_exps"},
    {Role::kExpertUp, Role::kExpertUp, "mlp.experts.{e}.up_proj", "ffn_up_exps"},
    {Role::kExpertDown, Role::kExpertDown, "mlp.experts.{e}.down_proj", "ffn_down_exps"},
    {Role::kExpertPairs, Role::kExpertPairs, "mlp.experts.{e}.gate_up_proj", "ffn_gate_up_exps"},
    {Role::kExpertPairsBias, Role::kExpertPairs, "", "ffn_gate_up_exps", kBias},
    {Role::kExpertDownBias, Role::kExpertDown, "", "ffn_down_exps", kBias},
    {Role::kSharedGate, Role::kSharedGate, "mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    {Role::kSharedUp, Role::kSharedUp, "mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {Role::kSharedDown, Role::kSharedDown, "mlp.shared_experts.down_proj", "ffn_down_shexp"},
    {Role::kSharedSwitch, Role::kSharedSwitch, "mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
}};

constexpr Naming kLlama;

const RoleName& NameOf(Role role) {
  const RoleName& name = kNames[static_cast<size_t>(role)];
  DROVER_CHECK(name.role == role);
  return name;
}

std::string_view ModuleOf(const Naming& naming, Role role) {
  const auto row = std::ranges::find(naming.modules, role, &ModuleName::role);
  return row == naming.modules.end() ? NameOf(role).module : row->module;
}

void Replace(std::string& text, std::string_view what, std::string_view with) {
  if (const size_t at = text.find(what); at != std::string::npos) text.replace(at, what.size(), with);
}

std::string InLayer(const Naming& naming, int32_t layer, std::string_view name) {
  return Cat(naming.base, naming.layer, layer, ".", name);
}

// Masks and frequencies that old versions of the reference library saved with the weights.
constexpr std::array<std::string_view, 8> kBuffers = {
    ".rotary_emb.inv_freq",   ".attn.bias",        ".attn.masked_bias",         ".attention.bias",
    ".attention.masked_bias", "rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"};

constexpr std::array<std::string_view, 6> kVisionParts = {"vision_model.", "vision_tower.", "multi_modal_projector.", "vision_encoder.",
                                                          "vision_language_adapter.", "patch_merger."};

// "model.layers.N." or the like with N among the draft layers behind the last served one.
bool IsDraftLayer(std::string_view name, const ModelSpec& spec) {
  const std::string prefix = name.starts_with("blk.") ? "blk." : Cat(NamingOf(spec).base, NamingOf(spec).layer);
  if (spec.draft_layers == 0 || !name.starts_with(prefix)) return false;
  int64_t layer = -1;
  const auto [end, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), layer);
  const bool whole = error == std::errc() && end != name.data() + name.size() && *end == '.';
  return whole && layer >= spec.layers() && layer < spec.layers() + spec.draft_layers;
}

}  // namespace

const Naming& NamingOf(const ModelSpec& spec) { return spec.naming == nullptr ? kLlama : *spec.naming; }

std::string HfName(const Naming& naming, Role role, int32_t layer, int32_t expert) {
  const RoleName& name = NameOf(role);
  std::string out = Cat(ModuleOf(naming, name.module_of), name.suffix);
  Replace(out, "{e}", Cat(expert));
  if (layer >= 0) return InLayer(naming, layer, out);
  return name.module_of == Role::kOutput ? out : Cat(naming.base, out);
}

std::string HfFusedName(const Naming& naming, Role role, int32_t layer) {
  const auto named = [&](std::string_view module) { return module.empty() ? "" : InLayer(naming, layer, Cat(module, NameOf(role).suffix)); };
  const bool bias = NameOf(role).module_of != role;
  switch (NameOf(role).module_of) {
    case Role::kQ:
    case Role::kK:
    case Role::kV: return named(naming.qkv_module);
    case Role::kGate:
    case Role::kUp: return named(naming.gate_up_module);
    case Role::kExpertGate:
    case Role::kExpertUp:
    case Role::kExpertPairs: return InLayer(naming, layer, Cat(naming.experts_module, ".gate_up_proj", bias ? "_bias" : ""));
    case Role::kExpertDown: return InLayer(naming, layer, Cat(naming.experts_module, ".down_proj", bias ? "_bias" : ""));
    default: return "";
  }
}

std::string GgufName(Role role, int32_t layer, std::string_view module) {
  const std::string_view usual = NameOf(role).gguf;
  const std::string name = usual.find('.') != usual.npos ? std::string(usual) : Cat(module.empty() ? usual : module, NameOf(role).suffix);
  return layer < 0 ? name : Cat("blk.", layer, ".", name);
}

std::string OldGgufExpertName(Role role, int32_t layer, int32_t expert) {
  std::string name = GgufName(role, layer);
  Replace(name, "_exps", Cat(".", expert));
  return name;
}

Role ModuleRole(Role role) { return NameOf(role).module_of; }

bool IsIgnoredTensor(std::string_view name, const ModelSpec& spec) {
  if (IsDraftLayer(name, spec)) return true;
  if (std::ranges::any_of(kBuffers, [&](std::string_view buffer) { return name.ends_with(buffer); })) return true;
  const bool vision = !spec.not_served.empty();
  const std::string output = HfName(NamingOf(spec), Role::kOutput, -1, -1);
  if (spec.tied_embeddings && (name == output || (vision && name == "language_model." + output))) return true;
  if (name.starts_with("model.")) name.remove_prefix(6);
  return vision && std::ranges::any_of(kVisionParts, [&](std::string_view part) { return name.starts_with(part); });
}

}  // namespace drover
