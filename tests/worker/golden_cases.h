// The golden cases that are served, by name, and where their files lie.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace drover {

inline constexpr const char* kGoldenCases[] = {
    "llama-biases", "llama-head-dim", "llama-rope-dynamic", "llama-rope-linear", "llama-rope-yarn", "llama2-mha", "llama31-gqa", "smollm2-tied", "yi", "amber",
    "mistral-nemo", "mistral-window", "mixtral", "mixtral-6", "qwen1.5", "qwen2-tied", "qwen2-window", "qwen3", "qwen3-untied",
    "qwen3-moe", "qwen3-moe-mixed", "llama4-maverick", "llama4-scout",
    "deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "kimi-k2", "mistral4", "mistral-large-3-native", "glm4-moe", "gpt-oss-bf16", "qwen2-moe",
    "bloom", "crystalcoder", "falcon-7b", "falcon-40b", "falcon-rw", "falcon2-11b", "gemma", "gemma2", "gemma3", "gpt-neox-serial", "gpt2", "gptj",
    "granite", "mpt", "mpt-clip", "olmo", "olmo2", "phi2", "phi3", "phi3-gqa", "phi3-longrope", "phi3-longrope-crossing", "pythia", "starcoder2",
    "gguf-llama-f32", "gguf-llama-bf16", "gguf-llama-q8_0", "gguf-llama-q4_0", "gguf-llama-q4_1", "gguf-llama31-f16",
    "gguf-mixtral-q4_0", "gguf-qwen3moe-q8_0",
    "gguf-llama-q5_0", "gguf-llama-q5_1", "gguf-llama-q2_k", "gguf-llama-q3_k", "gguf-llama-q4_k", "gguf-llama-q5_k",
    "gguf-qwen3-q6_k",
    "fp8-tensor-mistral", "fp8-block-qwen3-moe", "ct-fp8-static-llama", "ct-fp8-dynamic-llama", "gptq-llama-g32",
    "gptq-llama-g128-actorder", "gptq-v2-qwen2", "gptq-qwen3-moe", "awq-llama", "awq-mixtral", "ct-int4-llama", "ct-int4-asym-qwen2",
    "ct-int4-kimi", "fp8-block-deepseek-v3", "gpt-oss"};

// Made like the corpus, with the options that its cases leave at their usual values: latents without a query latent, half pairing,
// odd sizes and biases; release forms that have no case there; more experts than the kept groups hold; windows, dense layers and
// gates of the other routed families. mistral-native is mistral-nemo in Mistral's own form.
inline constexpr const char* kGoldenOptions[] = {
    "deepseek-v3-half", "deepseek-v3-odd", "deepseek-v3-mscale", "deepseek-v2-bias", "qwen2-moe-window", "qwen2-moe-step",
    "glm4-moe-air", "glm4-moe-nobias", "mistral4-groups", "gpt-oss-options",
    "mistral-native",
    "nf4-llama", "nf4-nested-qwen3", "gptq-8bit-order", "gptq-row", "ct-int8-channel", "ct-int8-plain", "ct-int4-order", "ct-fp8-block",
    "fbgemm-llama4", "gguf-qwen2moe-q5_0", "gptq-phi3", "fp8-block-phi3", "gptq-neox", "gguf-gemma-q8_0", "gguf-olmo2-q8_0"};

// Run on two stages of two ranks as well.
inline constexpr std::string_view kPipelinedCases[] = {"llama31-gqa", "smollm2-tied", "mistral-window",
                                                       "mixtral-6",   "qwen3-moe-mixed", "llama4-scout",
                                                       "deepseek-v3", "gpt-oss-bf16"};

// Largest difference of any logit in f32, as the corpus's README demands of these cases.
inline constexpr double kGoldenTolerance = 1e-4;

// The folder of a case: in the repository, else in the shared corpus beside it; empty when it is in neither.
inline std::string GoldenFolder(const std::string& name) {
  for (const std::string& root : {std::string(DROVER_SOURCE_DIR "/tests/testdata/golden/"), std::string(DROVER_SHARED_DIR "/golden/")})
    if (std::filesystem::exists(root + name + "/reference.safetensors")) return root + name;
  return {};
}

// What to open: the GGUF file when there is one, else the folder.
inline std::string GoldenModel(const std::string& folder) {
  const std::string gguf = folder + "/model.gguf";
  return std::filesystem::exists(gguf) ? gguf : folder;
}

}  // namespace drover
