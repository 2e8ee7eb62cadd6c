// See registry.h. One family more is one row more.
#include "models/registry.h"

#include "common/log.h"
#include "models/families/families.h"
#include "models/quantization.h"

namespace drover {
namespace {

struct Family {
  std::string_view architecture;
  absl::StatusOr<ModelSpec> (*describe)(ConfigReader& config);
};

constexpr Family kFamilies[] = {
    {"LlamaForCausalLM", Llama},
    {"MistralForCausalLM", Mistral},
    {"MixtralForCausalLM", Mixtral},
    {"Qwen2ForCausalLM", Qwen2},
    {"Qwen2MoeForCausalLM", Qwen2Moe},
    {"Qwen3ForCausalLM", Qwen3},
    {"Qwen3MoeForCausalLM", Qwen3Moe},
    {"Glm4MoeForCausalLM", Glm4Moe},
    {"DeepseekV2ForCausalLM", DeepseekV2},
    {"DeepseekV3ForCausalLM", DeepseekV3},
    {"Mistral4ForCausalLM", Mistral4},
    {"GptOssForCausalLM", GptOss},
    {"Llama4ForCausalLM", Llama4},
    {"Llama4ForConditionalGeneration", Llama4WithVision},
    {"BloomForCausalLM", Bloom},
    {"CrystalCoderLMHeadModel", CrystalCoder},
    {"FalconForCausalLM", Falcon},
    {"GPT2LMHeadModel", Gpt2},
    {"GPTJForCausalLM", GptJ},
    {"GPTNeoXForCausalLM", GptNeoX},
    {"GemmaForCausalLM", Gemma},
    {"Gemma2ForCausalLM", Gemma2},
    {"Gemma3ForCausalLM", Gemma3},
    {"GraniteForCausalLM", Granite},
    {"MPTForCausalLM", Mpt},
    {"MptForCausalLM", Mpt},
    {"OlmoForCausalLM", Olmo},
    {"Olmo2ForCausalLM", Olmo2},
    {"PhiForCausalLM", Phi},
    {"Phi3ForCausalLM", Phi3},
    {"Starcoder2ForCausalLM", StarCoder2},
};

absl::StatusOr<ModelSpec> Describe(absl::StatusOr<ModelSpec> (*describe)(ConfigReader&), ConfigReader& config, const Json& json) {
  config.Ignore("quantization_config");
  DROVER_RETURN_IF_ERROR(ReadQuantization(json).status());
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, describe(config));
  DROVER_RETURN_IF_ERROR(config.Finish());
  DROVER_RETURN_IF_ERROR(Validate(spec));
  return spec;
}

}  // namespace

std::string ServedArchitectures() {
  std::string names;
  for (const Family& family : kFamilies) names += Cat(names.empty() ? "" : ", ", family.architecture);
  return names;
}

absl::StatusOr<ModelSpec> SpecFromConfig(const Json& json) {
  ConfigReader config(json);
  if (!config.Has("architectures") && config.Has("dim")) return Describe(MistralNative, config, json);
  const std::vector<std::string> names = config.StringList("architectures");
  if (names.size() != 1) {
    config.Fail("architectures", Cat(names.size(), " names"), "a list of one name");
    return config.Finish();
  }
  for (const Family& family : kFamilies) {
    if (family.architecture != names[0]) continue;
    if (config.Has("auto_map")) Log(LogLevel::kWarning, "auto_map in config is ignored: no code is run from a model directory");
    return Describe(family.describe, config, json);
  }
  return InvalidArgument("architectures: found \"", names[0].substr(0, 80), "\", which is not served; served are ",
                         ServedArchitectures());
}

absl::StatusOr<ModelSpec> SpecFromConfigText(std::string_view text) {
  DROVER_ASSIGN_OR_RETURN(const Json config, ParseJson(text, {.bytes = 4 << 20, .depth = 32, .elements = 20'000}));
  return SpecFromConfig(config);
}

}  // namespace drover
