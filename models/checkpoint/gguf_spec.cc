// See gguf_spec.h.
#include "models/checkpoint/gguf_spec.h"

#include <algorithm>

#include "models/checkpoint/gguf_architecture.h"
#include "models/registry.h"

namespace drover {
namespace {

Json ToJson(const GgufValue& value) {
  return std::visit([](const auto& v) { return Json(v); }, value);
}

// rope.scaling.* in the config's words; a scaling by factors has these in tensors.
struct ScalingKey {
  std::string_view gguf, hf;
};
constexpr ScalingKey kScalingKeys[] = {{"rope.scaling.type", "rope_type"},
                                       {"rope.scaling.factor", "factor"},
                                       {"rope.scaling.original_context_length", "original_max_position_embeddings"},
                                       {"rope.scaling.yarn_beta_fast", "beta_fast"},
                                       {"rope.scaling.yarn_beta_slow", "beta_slow"},
                                       {"rope.scaling.yarn_attn_factor", "attention_factor"}};

void AddRopeScaling(const GgufHeader& header, const std::string& architecture, const RopeVectors& vectors, Json& config) {
  if (!vectors.long_factors.empty()) {
    config["rope_scaling"] = {{"rope_type", "longrope"}, {"short_factor", vectors.short_factors}, {"long_factor", vectors.long_factors}};
    return;
  }
  const std::string type = TextOf(header, Cat(architecture, ".rope.scaling.type"));
  if (type.empty() || type == "none") return;
  Json scaling = Json::object();
  for (const ScalingKey& key : kScalingKeys)
    if (const GgufValue* value = FindValue(header, Cat(architecture, ".", key.gguf))) scaling[std::string(key.hf)] = ToJson(*value);
  config["rope_scaling"] = scaling;
}

// Keys with one permitted value, given the others.
absl::Status CheckFixed(const GgufHeader& header, const std::string& prefix, const Attention& attention) {
  const int64_t rotated = attention.rope ? attention.rope->dims : attention.head_dim;
  const std::pair<std::string_view, int64_t> fixed[] = {{"rope.dimension_count", rotated}, {"attention.value_length", attention.head_dim}};
  for (const auto& [key, expected] : fixed) {
    const GgufValue* value = FindValue(header, Cat(prefix, key));
    if (value == nullptr || (attention.latent && key == "attention.value_length")) continue;
    const auto* number = std::get_if<int64_t>(value);
    if (number == nullptr || *number != expected)
      return InvalidArgument("metadata ", prefix, key, ": found ", number == nullptr ? std::string("no integer") : Cat(*number),
                             ", expected ", expected);
  }
  return absl::OkStatus();
}

bool IsHandled(std::string_view key) {
  return key == "rope.dimension_count" || key == "attention.value_length" || std::ranges::find(kScalingKeys, key, &ScalingKey::gguf) != std::end(kScalingKeys);
}

// Every ARCHITECTURE.* key under its config name; unknown ones keep their own, so that the reader refuses them by name.
Json Rewrite(const GgufHeader& header, const GgufArchitecture& architecture) {
  const std::string prefix = Cat(architecture.name, ".");
  Json config = {{"architectures", {std::string(architecture.hf)}}};
  for (const auto& [key, value] : header.metadata) {
    if (!key.starts_with(prefix)) continue;
    const std::string_view own = std::string_view(key).substr(prefix.size());
    const GgufKey* known = FindGgufKey(architecture, own);
    if (known != nullptr ? known->hf.empty() : IsHandled(own)) continue;
    config[known != nullptr ? std::string(known->hf) : key] = ToJson(value);
  }
  return config;
}

// The config's name at the start of a message, back in the file's words.
absl::Status InFileWords(const absl::Status& status, const GgufHeader& header, const GgufArchitecture& architecture) {
  const std::string text = Message(status), prefix = Cat(architecture.name, ".");
  for (const auto& [key, value] : header.metadata) {
    const GgufKey* known = key.starts_with(prefix) ? FindGgufKey(architecture, std::string_view(key).substr(prefix.size())) : nullptr;
    if (known == nullptr || known->hf.empty() || !text.starts_with(Cat(known->hf, ": "))) continue;
    return absl::Status(status.code(), Cat("metadata ", key, text.substr(known->hf.size())));
  }
  return status;
}

void AddBiases(const GgufHeader& header, ModelSpec& spec) {
  const auto has = [&header](std::string_view name) { return TensorNamed(header, Cat("blk.0.", name, ".bias")) != nullptr; };
  for (LayerKind& kind : spec.kinds) {
    kind.attention.qkv_bias = has("attn_q") || has("attn_qkv");
    kind.attention.out_bias = has("attn_output");
    kind.ffn.bias = has("ffn_up");
  }
}

absl::Status AddDivisors(const std::vector<float>& divisors, ModelSpec& spec) {
  if (divisors.empty()) return absl::OkStatus();
  for (LayerKind& kind : spec.kinds) {
    if (!kind.attention.rope || kind.attention.rope->scaling.kind != RopeScalingKind::kNone)
      return InvalidArgument("tensor rope_freqs.weight: found beside rope.scaling.type, expected one of the two");
    kind.attention.rope->scaling.kind = RopeScalingKind::kDivisors;
    kind.attention.rope->scaling.divisors = divisors;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelSpec> SpecFromGguf(const GgufHeader& header, const RopeVectors& vectors) {
  DROVER_ASSIGN_OR_RETURN(const GgufArchitecture* architecture, FindGgufArchitecture(header));
  Json config = Rewrite(header, *architecture);
  AddRopeScaling(header, std::string(architecture->name), vectors, config);
  const TensorInfo* embedding = TensorNamed(header, "token_embd.weight");
  if (embedding != nullptr && !config.contains("vocab_size")) config["vocab_size"] = embedding->shape[0];
  config["tie_word_embeddings"] = TensorNamed(header, "output.weight") == nullptr;
  if (architecture->complete != nullptr) DROVER_RETURN_IF_ERROR(architecture->complete(header, config));
  if (const int64_t* eos = FindInt(header, "tokenizer.ggml.eos_token_id")) {
    config["eos_token_id"] = Json::array({*eos});
    if (const int64_t* eot = FindInt(header, "tokenizer.ggml.eot_token_id"); eot != nullptr && *eot != *eos)
      config["eos_token_id"].push_back(*eot);
  }
  if (const int64_t* bos = FindInt(header, "tokenizer.ggml.bos_token_id")) config["bos_token_id"] = *bos;
  absl::StatusOr<ModelSpec> spec = SpecFromConfig(config);
  if (!spec.ok()) return InFileWords(spec.status(), header, *architecture);
  AddBiases(header, *spec);
  if (spec->norm == NormKind::kRmsPlusOne) spec->norm = NormKind::kRms;  // the file holds 1 + w
  DROVER_RETURN_IF_ERROR(AddDivisors(vectors.divisors, *spec));
  DROVER_RETURN_IF_ERROR(CheckFixed(header, Cat(architecture->name, "."), spec->kinds[0].attention));
  DROVER_RETURN_IF_ERROR(Validate(*spec));
  return spec;
}

}  // namespace drover
