// See gguf_spec.h.
#include "models/checkpoint/gguf_spec.h"

#include <algorithm>
#include <array>

#include "models/checkpoint/text.h"
#include "models/registry.h"

namespace drover {
namespace {

struct KeyName {
  std::string_view gguf, hf;  // behind "ARCHITECTURE."; an empty hf name has no effect on a served model
};
constexpr std::array<KeyName, 16> kKeys = {{
    {"block_count", "num_hidden_layers"},
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"feed_forward_length", "intermediate_size"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads"},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {"attention.key_length", "head_dim"},
    {"rope.freq_base", "rope_theta"},
    {"vocab_size", "vocab_size"},
    {"expert_count", "{experts}"},
    {"expert_used_count", "num_experts_per_tok"},
    {"expert_feed_forward_length", "moe_intermediate_size"},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
    {"rope.scaling.finetuned", ""},
    {"attention.causal", ""},
}};

struct GgufArchitecture {
  std::string_view name;
  bool experts;
  std::string_view hf, experts_key;
};
constexpr std::array<GgufArchitecture, 8> kArchitectures = {{
    {"llama", false, "LlamaForCausalLM", ""},
    {"llama", true, "MixtralForCausalLM", "num_local_experts"},
    {"qwen2", false, "Qwen2ForCausalLM", ""},
    {"qwen2moe", true, "Qwen2MoeForCausalLM", "num_experts"},
    {"qwen3", false, "Qwen3ForCausalLM", ""},
    {"qwen3moe", true, "Qwen3MoeForCausalLM", "num_experts"},
    {"gemma", false, "GemmaForCausalLM", ""},
    {"olmo2", false, "Olmo2ForCausalLM", ""},
}};

const GgufValue* Find(const GgufHeader& header, const std::string& key) {
  const auto it = header.metadata.find(key);
  return it == header.metadata.end() ? nullptr : &it->second;
}

const int64_t* FindInt(const GgufHeader& header, const std::string& key) {
  const GgufValue* value = Find(header, key);
  return value == nullptr ? nullptr : std::get_if<int64_t>(value);
}

std::string Text(const GgufHeader& header, const std::string& key) {
  const GgufValue* value = Find(header, key);
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string>(value);
  return text == nullptr ? std::string() : *text;
}

const TensorInfo* FindTensor(const GgufHeader& header, std::string_view name) {
  for (const TensorInfo& tensor : header.tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

Json ToJson(const GgufValue& value) {
  return std::visit([](const auto& v) { return Json(v); }, value);
}

absl::StatusOr<const GgufArchitecture*> FindArchitecture(const GgufHeader& header) {
  const std::string name = Text(header, "general.architecture");
  const int64_t* experts = FindInt(header, name + ".expert_count");
  const bool routed = experts != nullptr && *experts > 0;
  std::string known;
  for (const GgufArchitecture& row : kArchitectures) {
    if (row.name == name && row.experts == routed) return &row;
    known += Cat(known.empty() ? "" : ", ", row.name, row.name == "llama" && row.experts ? " with experts" : "");
  }
  return InvalidArgument("metadata general.architecture: found \"", Shown(name), "\"", routed ? " with experts" : "",
                         ", which is not served; served are ", known);
}

// rope.scaling.* in the config's words.
absl::Status AddRopeScaling(const GgufHeader& header, const std::string& architecture, Json& config) {
  const std::string type = Text(header, architecture + ".rope.scaling.type");
  if (type.empty() || type == "none") return absl::OkStatus();
  Json scaling = {{"rope_type", type}};
  if (const GgufValue* v = Find(header, architecture + ".rope.scaling.factor")) scaling["factor"] = ToJson(*v);
  if (const GgufValue* v = Find(header, architecture + ".rope.scaling.original_context_length"))
    scaling["original_max_position_embeddings"] = ToJson(*v);
  config["rope_scaling"] = scaling;
  return absl::OkStatus();
}

// Keys with one permitted value, given the others.
absl::Status CheckFixed(const GgufHeader& header, const std::string& prefix, int64_t head_dim) {
  for (const std::string_view key : {"rope.dimension_count", "attention.value_length"}) {
    const GgufValue* value = Find(header, Cat(prefix, key));
    if (value == nullptr) continue;
    const auto* number = std::get_if<int64_t>(value);
    if (number == nullptr || *number != head_dim)
      return InvalidArgument("metadata ", prefix, key, ": found ", number == nullptr ? std::string("no integer") : Cat(*number),
                             ", expected the head size ", head_dim);
  }
  if (const int64_t* split = FindInt(header, "split.count"); split != nullptr && *split > 1)
    return InvalidArgument("metadata split.count: found ", *split, ", expected a model in one file");
  return absl::OkStatus();
}

bool IsHandled(std::string_view key) {
  return key == "rope.dimension_count" || key == "attention.value_length" || key == "rope.scaling.type" ||
         key == "rope.scaling.factor" || key == "rope.scaling.original_context_length";
}

// Every ARCHITECTURE.* key under its config name; unknown ones keep their own, so that the reader refuses them by name.
Json Rewrite(const GgufHeader& header, const GgufArchitecture& architecture) {
  const std::string prefix = Cat(architecture.name, ".");
  Json config = {{"architectures", {std::string(architecture.hf)}}};
  for (const auto& [key, value] : header.metadata) {
    if (!key.starts_with(prefix) || IsHandled(std::string_view(key).substr(prefix.size()))) continue;
    std::string name = key;
    for (const KeyName& known : kKeys)
      if (key.substr(prefix.size()) == known.gguf) name = known.hf == "{experts}" ? architecture.experts_key : known.hf;
    if (!name.empty()) config[name] = ToJson(value);
  }
  return config;
}

// The config's name at the start of a message, back in the file's words.
absl::Status InFileWords(const absl::Status& status, const GgufArchitecture& architecture) {
  std::string text = Message(status);
  for (const KeyName& known : kKeys) {
    const std::string hf = Cat(known.hf == "{experts}" ? architecture.experts_key : known.hf, ": ");
    if (hf.size() > 2 && text.starts_with(hf)) text = Cat("metadata ", architecture.name, ".", known.gguf, ": ", text.substr(hf.size()));
  }
  return absl::Status(status.code(), text);
}

void AddBiases(const GgufHeader& header, ModelSpec& spec) {
  for (LayerKind& kind : spec.kinds) {
    kind.attention.qkv_bias = FindTensor(header, "blk.0.attn_q.bias") != nullptr;
    kind.attention.out_bias = FindTensor(header, "blk.0.attn_output.bias") != nullptr;
    kind.ffn.bias = FindTensor(header, "blk.0.ffn_gate.bias") != nullptr;
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

bool HasPermutedHeads(const GgufHeader& header) { return Text(header, "general.architecture") == "llama"; }

absl::StatusOr<ModelSpec> SpecFromGguf(const GgufHeader& header, const std::vector<float>& rope_divisors) {
  DROVER_ASSIGN_OR_RETURN(const GgufArchitecture* architecture, FindArchitecture(header));
  Json config = Rewrite(header, *architecture);
  DROVER_RETURN_IF_ERROR(AddRopeScaling(header, std::string(architecture->name), config));
  const TensorInfo* embedding = FindTensor(header, "token_embd.weight");
  if (embedding != nullptr && !config.contains("vocab_size")) config["vocab_size"] = embedding->shape[0];
  config["tie_word_embeddings"] = FindTensor(header, "output.weight") == nullptr;
  if (architecture->name == "qwen3moe") config["norm_topk_prob"] = true;
  if (const int64_t* eos = FindInt(header, "tokenizer.ggml.eos_token_id")) {
    config["eos_token_id"] = Json::array({*eos});
    if (const int64_t* eot = FindInt(header, "tokenizer.ggml.eot_token_id"); eot != nullptr && *eot != *eos)
      config["eos_token_id"].push_back(*eot);
  }
  if (const int64_t* bos = FindInt(header, "tokenizer.ggml.bos_token_id")) config["bos_token_id"] = *bos;
  absl::StatusOr<ModelSpec> spec = SpecFromConfig(config);
  if (!spec.ok()) return InFileWords(spec.status(), *architecture);
  AddBiases(header, *spec);
  if (spec->norm == NormKind::kRmsPlusOne) spec->norm = NormKind::kRms;  // the file holds 1 + w
  DROVER_RETURN_IF_ERROR(AddDivisors(rope_divisors, *spec));
  DROVER_RETURN_IF_ERROR(CheckFixed(header, Cat(architecture->name, "."), spec->kinds[0].attention.head_dim));
  DROVER_RETURN_IF_ERROR(Validate(*spec));
  return spec;
}

}  // namespace drover
