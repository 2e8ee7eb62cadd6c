// See gguf_architecture.h. What a writer leaves out of a file is said here in the words of the config that it was made from.
#include "models/checkpoint/gguf_architecture.h"

#include <algorithm>

#include "models/checkpoint/text.h"

namespace drover {
namespace {

constexpr GgufKey kCommonKeys[] = {{"block_count", "num_hidden_layers"},
                                   {"context_length", "max_position_embeddings"},
                                   {"embedding_length", "hidden_size"},
                                   {"feed_forward_length", "intermediate_size"},
                                   {"attention.head_count", "num_attention_heads"},
                                   {"attention.head_count_kv", "num_key_value_heads"},
                                   {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
                                   {"attention.layer_norm_epsilon", "rms_norm_eps"},
                                   {"attention.key_length", "head_dim"},
                                   {"rope.freq_base", "rope_theta"},
                                   {"vocab_size", "vocab_size"},
                                   {"expert_count", ""},  // 0; families with experts have a key for it
                                   {"expert_used_count", "num_experts_per_tok"},
                                   {"expert_feed_forward_length", "moe_intermediate_size"},
                                   {"expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
                                   {"rope.scaling.finetuned", ""},
                                   {"attention.causal", ""}};
constexpr GgufKey kMixtralKeys[] = {{"expert_count", "num_local_experts"}};
constexpr GgufKey kQwenExpertKeys[] = {{"expert_count", "num_experts"}};
constexpr GgufKey kGemma2Keys[] = {{"attention.sliding_window", "sliding_window"},
                                   {"attn_logit_softcapping", "attn_logit_softcapping"},
                                   {"final_logit_softcapping", "final_logit_softcapping"}};
constexpr GgufKey kGemma3Keys[] = {{"attention.sliding_window", "sliding_window"},
                                   {"rope.freq_base_swa", "rope_local_base_freq"},
                                   {"final_logit_softcapping", "final_logit_softcapping"}};
constexpr GgufKey kGptOssKeys[] = {{"attention.sliding_window", "sliding_window"},
                                   {"expert_count", "num_local_experts"},
                                   {"feed_forward_length", ""},
                                   {"expert_feed_forward_length", "intermediate_size"}};
constexpr GgufKey kGlmKeys[] = {{"expert_count", "n_routed_experts"},
                                {"expert_shared_count", "n_shared_experts"},
                                {"expert_group_count", "n_group"},
                                {"expert_group_used_count", "topk_group"},
                                {"expert_weights_scale", "routed_scaling_factor"},
                                {"expert_weights_norm", "norm_topk_prob"},
                                {"expert_gating_func", ""},  // checked by complete
                                {"leading_dense_block_count", "first_k_dense_replace"},
                                {"nextn_predict_layers", "num_nextn_predict_layers"}};
constexpr GgufKey kDeepseekKeys[] = {{"expert_count", "n_routed_experts"},
                                     {"expert_shared_count", "n_shared_experts"},
                                     {"expert_group_count", "n_group"},
                                     {"expert_group_used_count", "topk_group"},
                                     {"expert_weights_scale", "routed_scaling_factor"},
                                     {"expert_weights_norm", "norm_topk_prob"},
                                     {"expert_gating_func", ""},
                                     {"leading_dense_block_count", "first_k_dense_replace"},
                                     {"nextn_predict_layers", "num_nextn_predict_layers"},
                                     {"attention.q_lora_rank", "q_lora_rank"},
                                     {"attention.kv_lora_rank", "kv_lora_rank"},
                                     {"attention.head_count_kv", ""},  // 1 with keys and values absorbed, else one a head
                                     {"attention.key_length", ""},     // the sizes of a head: see complete
                                     {"attention.value_length", ""},
                                     {"attention.key_length_mla", ""},
                                     {"attention.value_length_mla", ""},
                                     {"rope.scaling.yarn_log_multiplier", ""}};
constexpr GgufKey kPhi3Keys[] = {{"attention.sliding_window", ""}, {"rope.scaling.attn_factor", ""}};
constexpr GgufKey kFalconKeys[] = {{"tensor_data_layout", ""}};
constexpr GgufKey kNeoxKeys[] = {{"use_parallel_residual", "use_parallel_residual"}};
constexpr GgufKey kMptKeys[] = {{"attention.clamp_kqv", ""}, {"attention.max_alibi_bias", ""}};
constexpr GgufKey kOlmoKeys[] = {{"attention.clamp_kqv", "clip_qkv"}};
constexpr GgufKey kGraniteKeys[] = {{"attention.scale", "attention_multiplier"},
                                    {"embedding_scale", "embedding_multiplier"},
                                    {"residual_scale", "residual_multiplier"},
                                    {"logit_scale", "logits_scaling"}};

constexpr GgufModule kPostAttentionNames[] = {{Role::kFfnNorm, "post_attention_norm"}};
constexpr GgufModule kFalconNames[] = {{Role::kAttnNorm, "attn_norm_2"}, {Role::kFfnNorm, "attn_norm"}};

// Numbers of a file that sums are made of, kept far from the ends of their type.
int64_t Bounded(int64_t value) { return std::clamp<int64_t>(value, -(int64_t{1} << 40), int64_t{1} << 40); }

// ARCHITECTURE.KEY of this file.
const GgufValue* Own(const GgufHeader& header, std::string_view key) {
  return FindValue(header, Cat(TextOf(header, "general.architecture"), ".", key));
}
int64_t OwnInt(const GgufHeader& header, std::string_view key, int64_t fallback) {
  const GgufValue* value = Own(header, key);
  const int64_t* number = value == nullptr ? nullptr : std::get_if<int64_t>(value);
  return number == nullptr ? fallback : Bounded(*number);
}
std::optional<double> OwnNumber(const GgufHeader& header, std::string_view key) {
  const GgufValue* value = Own(header, key);
  const double* number = value == nullptr ? nullptr : std::get_if<double>(value);
  return number == nullptr ? std::nullopt : std::optional(*number);
}

int64_t IntIn(const Json& config, std::string_view key) {
  const auto it = config.find(std::string(key));
  return it != config.end() && it->is_number_integer() ? Bounded(it->get<int64_t>()) : 0;
}

// The file says how many dimensions of a head turn, the config which share of it; half a dimension more survives the division.
absl::Status RotaryShare(const GgufHeader& header, Json& config) {
  const int64_t heads = std::max<int64_t>(1, IntIn(config, "num_attention_heads")), own = IntIn(config, "head_dim");
  const int64_t head_dim = own > 0 ? own : IntIn(config, "hidden_size") / heads, dims = OwnInt(header, "rope.dimension_count", head_dim);
  const double share = (static_cast<double>(dims) + 0.5) / static_cast<double>(std::max<int64_t>(1, head_dim));
  config["partial_rotary_factor"] = dims < head_dim ? share : 1.0;
  return absl::OkStatus();
}

// Gemma's files leave out the size that scales the scores: the head's, but in the largest model of each series hidden over heads.
absl::Status ScoreSize(int64_t layers_of_largest, Json& config) {
  const bool largest = IntIn(config, "num_hidden_layers") == layers_of_largest;
  const int64_t heads = std::max<int64_t>(1, IntIn(config, "num_attention_heads"));
  const int64_t size = largest ? IntIn(config, "hidden_size") / heads : IntIn(config, "head_dim");
  if (size > 0) config["query_pre_attn_scalar"] = size;
  return absl::OkStatus();
}
absl::Status CompleteGemma2(const GgufHeader&, Json& config) { return ScoreSize(46, config); }
absl::Status CompleteGemma3(const GgufHeader&, Json& config) {
  if (!config.contains("sliding_window")) config["sliding_window_pattern"] = 1;
  return ScoreSize(62, config);
}

absl::Status CompletePhi3(const GgufHeader& header, Json& config) {
  if (const int64_t window = OwnInt(header, "attention.sliding_window", 0); window > 0) config["sliding_window"] = window;
  if (const int64_t original = OwnInt(header, "rope.scaling.original_context_length", 0); original > 0)
    config["original_max_position_embeddings"] = original;
  if (const std::optional<double> factor = OwnNumber(header, "rope.scaling.attn_factor"); factor && config.contains("rope_scaling"))
    config["rope_scaling"]["attention_factor"] = *factor;
  return RotaryShare(header, config);
}

absl::Status CompleteGptOss(const GgufHeader&, Json& config) {
  config["attention_bias"] = true;
  if (config.contains("rope_scaling")) config["rope_scaling"]["truncate"] = false;
  return absl::OkStatus();
}

enum GatingFunction : int64_t { kSoftmax = 1, kSigmoid = 2 };

absl::Status CheckGating(const GgufHeader& header, int64_t found, int64_t expected) {
  if (found == expected) return absl::OkStatus();
  return InvalidArgument("metadata ", TextOf(header, "general.architecture"), ".expert_gating_func: found ", found, ", expected ", expected);
}

// Files count the draft layers with the others.
void CountDraftLayers(const GgufHeader& header, Json& config) {
  const int64_t drafts = OwnInt(header, "nextn_predict_layers", 0);
  config["num_nextn_predict_layers"] = drafts;
  if (drafts > 0) config["num_hidden_layers"] = IntIn(config, "num_hidden_layers") - drafts;
}

absl::Status CompleteGlm(const GgufHeader& header, Json& config) {
  CountDraftLayers(header, config);
  config["use_qk_norm"] = TensorNamed(header, "blk.0.attn_q_norm.weight") != nullptr;
  DROVER_RETURN_IF_ERROR(CheckGating(header, OwnInt(header, "expert_gating_func", kSigmoid), kSigmoid));
  return RotaryShare(header, config);
}

// A head's sizes, whether or not the file has keys and values absorbed (then key_length is the latent's and the rotated part's).
void HeadSizes(const GgufHeader& header, Json& config) {
  const int64_t rotated = OwnInt(header, "rope.dimension_count", 64);
  const int64_t key = OwnInt(header, "attention.key_length_mla", OwnInt(header, "attention.key_length", 192));
  config["qk_rope_head_dim"] = rotated;
  config["qk_nope_head_dim"] = key - rotated;
  config["v_head_dim"] = OwnInt(header, "attention.value_length_mla", OwnInt(header, "attention.value_length", 128));
  if (!config.contains("q_lora_rank")) config["q_lora_rank"] = nullptr;
}

// V3 is V2 with sigmoids. Early files of its first sizes leave out the groups.
absl::Status CompleteDeepseek(const GgufHeader& header, Json& config) {
  CountDraftLayers(header, config);
  HeadSizes(header, config);
  const int64_t gating = OwnInt(header, "expert_gating_func", kSoftmax);
  const bool sigmoid = gating == kSigmoid;
  if (!sigmoid) DROVER_RETURN_IF_ERROR(CheckGating(header, gating, kSoftmax));
  config["architectures"] = {sigmoid ? "DeepseekV3ForCausalLM" : "DeepseekV2ForCausalLM"};
  const bool first_sizes = sigmoid && IntIn(config, "n_routed_experts") == 256;
  const std::pair<const char*, Json> defaults[] = {{"n_group", first_sizes ? 8 : 1}, {"topk_group", first_sizes ? 4 : 1}, {"norm_topk_prob", false},
                                                   {"routed_scaling_factor", 1.0},   {"first_k_dense_replace", 0},        {"n_shared_experts", 0}};
  for (const auto& [key, value] : defaults)
    if (!config.contains(key)) config[key] = value;
  if (!sigmoid) {
    config.erase("num_nextn_predict_layers");
    config["topk_method"] = IntIn(config, "n_group") > 1 ? "group_limited_greedy" : "greedy";
  }
  if (const std::optional<double> by_log = OwnNumber(header, "rope.scaling.yarn_log_multiplier"); by_log && config.contains("rope_scaling"))
    config["rope_scaling"]["mscale"] = config["rope_scaling"]["mscale_all_dim"] = *by_log / 0.1;
  return absl::OkStatus();
}

absl::Status CompleteFalcon(const GgufHeader& header, Json& config) {
  const std::string layout = TextOf(header, "falcon.tensor_data_layout");
  if (!layout.empty() && layout != "jploski") return InvalidArgument("metadata falcon.tensor_data_layout: found \"", Shown(layout), "\", expected jploski");
  const bool groups = IntIn(config, "num_key_value_heads") > 1;
  config["new_decoder_architecture"] = groups;
  config["multi_query"] = !groups;
  config["num_ln_in_parallel_attn"] = TensorNamed(header, "blk.0.attn_norm_2.weight") != nullptr ? 2 : 1;
  return absl::OkStatus();
}

absl::Status CompleteMpt(const GgufHeader& header, Json& config) {
  Json attention = {{"alibi", OwnNumber(header, "attention.max_alibi_bias").value_or(0) > 0}};
  if (const std::optional<double> clip = OwnNumber(header, "attention.clamp_kqv")) attention["clip_qkv"] = *clip;
  config["attn_config"] = attention;
  return absl::OkStatus();
}

absl::Status CompleteQwen3Moe(const GgufHeader&, Json& config) {
  config["norm_topk_prob"] = true;
  return absl::OkStatus();
}

constexpr GgufArchitecture kArchitectures[] = {
    {.name = "llama", .hf = "LlamaForCausalLM", .permuted_heads = true},
    {.name = "llama", .hf = "MixtralForCausalLM", .experts = true, .keys = kMixtralKeys, .permuted_heads = true},
    {.name = "qwen2", .hf = "Qwen2ForCausalLM"},
    {.name = "qwen2moe", .hf = "Qwen2MoeForCausalLM", .experts = true, .keys = kQwenExpertKeys},
    {.name = "qwen3", .hf = "Qwen3ForCausalLM"},
    {.name = "qwen3moe", .hf = "Qwen3MoeForCausalLM", .experts = true, .keys = kQwenExpertKeys, .complete = CompleteQwen3Moe},
    {.name = "gemma", .hf = "GemmaForCausalLM"},
    {.name = "gemma2", .hf = "Gemma2ForCausalLM", .keys = kGemma2Keys, .complete = CompleteGemma2},
    {.name = "gemma3", .hf = "Gemma3ForCausalLM", .keys = kGemma3Keys, .complete = CompleteGemma3},
    {.name = "phi2", .hf = "PhiForCausalLM", .complete = RotaryShare},
    {.name = "phi3", .hf = "Phi3ForCausalLM", .keys = kPhi3Keys, .complete = CompletePhi3},
    {.name = "gpt-oss", .hf = "GptOssForCausalLM", .experts = true, .keys = kGptOssKeys, .complete = CompleteGptOss, .modules = kPostAttentionNames},
    {.name = "glm4moe", .hf = "Glm4MoeForCausalLM", .experts = true, .keys = kGlmKeys, .complete = CompleteGlm, .modules = kPostAttentionNames},
    {.name = "deepseek2", .hf = "DeepseekV3ForCausalLM", .experts = true, .keys = kDeepseekKeys, .complete = CompleteDeepseek},
    {.name = "falcon", .hf = "FalconForCausalLM", .keys = kFalconKeys, .complete = CompleteFalcon, .modules = kFalconNames},
    {.name = "gpt2", .hf = "GPT2LMHeadModel"},
    {.name = "gptneox", .hf = "GPTNeoXForCausalLM", .keys = kNeoxKeys, .complete = RotaryShare},
    {.name = "bloom", .hf = "BloomForCausalLM"},
    {.name = "mpt", .hf = "MPTForCausalLM", .keys = kMptKeys, .complete = CompleteMpt},
    {.name = "starcoder2", .hf = "Starcoder2ForCausalLM"},
    {.name = "olmo", .hf = "OlmoForCausalLM", .keys = kOlmoKeys, .permuted_heads = true},
    {.name = "olmo2", .hf = "Olmo2ForCausalLM"},
    {.name = "granite", .hf = "GraniteForCausalLM", .keys = kGraniteKeys, .permuted_heads = true},
};

}  // namespace

absl::StatusOr<const GgufArchitecture*> FindGgufArchitecture(const GgufHeader& header) {
  const std::string name = TextOf(header, "general.architecture");
  const bool routed = OwnInt(header, "expert_count", 0) > 0;
  std::string known;
  for (const GgufArchitecture& row : kArchitectures) {
    if (row.name == name && row.experts == routed) return &row;
    known += Cat(known.empty() ? "" : ", ", row.name, row.name == "llama" && row.experts ? " with experts" : "");
  }
  return InvalidArgument("metadata general.architecture: found \"", Shown(name), "\"", routed ? " with experts" : "",
                         ", which is not served; served are ", known);
}

const GgufKey* FindGgufKey(const GgufArchitecture& architecture, std::string_view key) {
  for (const std::span<const GgufKey> keys : {architecture.keys, std::span<const GgufKey>(kCommonKeys)})
    if (const auto it = std::ranges::find(keys, key, &GgufKey::gguf); it != keys.end()) return &*it;
  return nullptr;
}

const GgufValue* FindValue(const GgufHeader& header, std::string_view key) {
  const auto it = header.metadata.find(std::string(key));
  return it == header.metadata.end() ? nullptr : &it->second;
}

const int64_t* FindInt(const GgufHeader& header, std::string_view key) {
  const GgufValue* value = FindValue(header, key);
  return value == nullptr ? nullptr : std::get_if<int64_t>(value);
}

std::string TextOf(const GgufHeader& header, std::string_view key) {
  const GgufValue* value = FindValue(header, key);
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string>(value);
  return text == nullptr ? std::string() : *text;
}

const TensorInfo* TensorNamed(const GgufHeader& header, std::string_view name) {
  for (const TensorInfo& tensor : header.tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

}  // namespace drover
