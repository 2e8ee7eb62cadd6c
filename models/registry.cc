// See registry.h. One family more is one row more.
#include "models/registry.h"

#include "common/log.h"
#include "models/families/families.h"
#include "models/quantization.h"

namespace drover {

struct Family {
  std::string_view architecture;
  Describe* describe;
};

// Each row declares the function that it names, which stands in a file of families/.
constexpr Family kFamilies[] = {
    {"LlamaForCausalLM", [](ConfigReader& c) { Describe Llama; return Llama(c); }},
    {"MistralForCausalLM", [](ConfigReader& c) { Describe Mistral; return Mistral(c); }},
    {"MixtralForCausalLM", [](ConfigReader& c) { Describe Mixtral; return Mixtral(c); }},
    {"Qwen2ForCausalLM", [](ConfigReader& c) { Describe Qwen2; return Qwen2(c); }},
    {"Qwen2MoeForCausalLM", [](ConfigReader& c) { Describe Qwen2Moe; return Qwen2Moe(c); }},
    {"Qwen3ForCausalLM", [](ConfigReader& c) { Describe Qwen3; return Qwen3(c); }},
    {"Qwen3MoeForCausalLM", [](ConfigReader& c) { Describe Qwen3Moe; return Qwen3Moe(c); }},
    {"Glm4MoeForCausalLM", [](ConfigReader& c) { Describe Glm4Moe; return Glm4Moe(c); }},
    {"DeepseekV2ForCausalLM", [](ConfigReader& c) { Describe DeepseekV2; return DeepseekV2(c); }},
    {"DeepseekV3ForCausalLM", [](ConfigReader& c) { Describe DeepseekV3; return DeepseekV3(c); }},
    {"Mistral4ForCausalLM", [](ConfigReader& c) { Describe Mistral4; return Mistral4(c); }},
    {"Mistral3ForConditionalGeneration", [](ConfigReader& c) { Describe MistralWithVision; return MistralWithVision(c); }},
    {"GptOssForCausalLM", [](ConfigReader& c) { Describe GptOss; return GptOss(c); }},
    {"Llama4ForCausalLM", [](ConfigReader& c) { Describe Llama4; return Llama4(c); }},
    {"Llama4ForConditionalGeneration", [](ConfigReader& c) { Describe Llama4WithVision; return Llama4WithVision(c); }},
    {"BloomForCausalLM", [](ConfigReader& c) { Describe Bloom; return Bloom(c); }},
    {"CrystalCoderLMHeadModel", [](ConfigReader& c) { Describe CrystalCoder; return CrystalCoder(c); }},
    {"FalconForCausalLM", [](ConfigReader& c) { Describe Falcon; return Falcon(c); }},
    {"RWForCausalLM", [](ConfigReader& c) { Describe RefinedWeb; return RefinedWeb(c); }},
    {"GPT2LMHeadModel", [](ConfigReader& c) { Describe Gpt2; return Gpt2(c); }},
    {"GPTJForCausalLM", [](ConfigReader& c) { Describe GptJ; return GptJ(c); }},
    {"GPTNeoXForCausalLM", [](ConfigReader& c) { Describe GptNeoX; return GptNeoX(c); }},
    {"GemmaForCausalLM", [](ConfigReader& c) { Describe Gemma; return Gemma(c); }},
    {"Gemma2ForCausalLM", [](ConfigReader& c) { Describe Gemma2; return Gemma2(c); }},
    {"Gemma3ForCausalLM", [](ConfigReader& c) { Describe Gemma3; return Gemma3(c); }},
    {"Gemma3ForConditionalGeneration", [](ConfigReader& c) { Describe Gemma3WithVision; return Gemma3WithVision(c); }},
    {"GraniteForCausalLM", [](ConfigReader& c) { Describe Granite; return Granite(c); }},
    {"MPTForCausalLM", [](ConfigReader& c) { Describe Mpt; return Mpt(c); }},
    {"MptForCausalLM", [](ConfigReader& c) { Describe Mpt; return Mpt(c); }},
    {"OlmoForCausalLM", [](ConfigReader& c) { Describe Olmo; return Olmo(c); }},
    {"Olmo2ForCausalLM", [](ConfigReader& c) { Describe Olmo2; return Olmo2(c); }},
    {"PhiForCausalLM", [](ConfigReader& c) { Describe Phi; return Phi(c); }},
    {"Phi3ForCausalLM", [](ConfigReader& c) { Describe Phi3; return Phi3(c); }},
    {"Starcoder2ForCausalLM", [](ConfigReader& c) { Describe StarCoder2; return StarCoder2(c); }},
};

Describe MistralNative;  // its files name no architecture

namespace {

absl::StatusOr<ModelSpec> Read(Describe* describe, ConfigReader& config, const Json& json) {
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
  if (!config.Has("architectures") && config.Has("dim")) return Read(MistralNative, config, json);
  const std::vector<std::string> names = config.StringList("architectures");
  if (names.size() != 1) {
    config.Fail("architectures", Cat(names.size(), " names"), "a list of one name");
    return config.Finish();
  }
  for (const Family& family : kFamilies) {
    if (family.architecture != names[0]) continue;
    if (config.Has("auto_map")) Log(LogLevel::kWarning, "auto_map in config is ignored: no code is run from a model directory");
    return Read(family.describe, config, json);
  }
  return InvalidArgument("architectures: found \"", names[0].substr(0, 80), "\", which is not served; served are ",
                         ServedArchitectures());
}

absl::StatusOr<ModelSpec> SpecFromConfigText(std::string_view text) {
  DROVER_ASSIGN_OR_RETURN(const Json config, ParseJson(text, {.bytes = 4 << 20, .depth = 32, .elements = 20'000}));
  return SpecFromConfig(config);
}

}  // namespace drover
