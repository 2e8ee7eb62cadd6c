// The golden cases that are served, by name, and where their files lie. Cases of our own need no line here: every folder of
// tests/testdata/golden is one.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

// Of the shared corpus, and an older one of our own.
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

// Run on two stages of two ranks as well.
inline constexpr std::string_view kPipelinedCases[] = {"llama31-gqa", "smollm2-tied", "mistral-window",
                                                       "mixtral-6",   "qwen3-moe-mixed", "llama4-scout",
                                                       "deepseek-v3", "gpt-oss-bf16"};

// Run with data-parallel attention as well: all cases of latent attention; grouped, single and whole KV heads, ALiBi, windows, sinks,
// norms spread over ranks, parallel and post-norm residuals, learned positions, keys that stretch.
inline constexpr std::string_view kDataParallelCases[] = {
    "deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "kimi-k2", "mistral4", "mistral-large-3-native", "ct-int4-kimi",
    "fp8-block-deepseek-v3", "deepseek-v3-half", "deepseek-v3-odd", "deepseek-v3-mscale", "deepseek-v2-bias", "mistral4-groups",
    "llama31-gqa", "smollm2-tied", "falcon-7b", "falcon-40b", "falcon-rw", "bloom", "mpt", "pythia", "phi2", "gptj", "gpt2", "olmo2",
    "gemma2", "llama4-scout", "gpt-oss-bf16", "qwen3-moe-mixed", "mixtral-6", "llama-rope-dynamic", "gguf-llama-q4_1"};

// Largest difference of any logit in f32, as the corpus's README demands of these cases.
inline constexpr double kGoldenTolerance = 1e-4;

// The repository: where the test was built, or where the environment says on another machine.
inline std::string SourceDir() {
  const char* moved = std::getenv("DROVER_SOURCE_DIR");
  return moved != nullptr ? moved : DROVER_SOURCE_DIR;
}

// Cases of tests/testdata/golden that the corpus does not have.
inline std::vector<std::string> OwnGoldenCases() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(SourceDir() + "/tests/testdata/golden", error)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory() && std::ranges::find(kGoldenCases, name) == std::end(kGoldenCases)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

inline std::vector<std::string> AllGoldenCases() {
  std::vector<std::string> names(std::begin(kGoldenCases), std::end(kGoldenCases));
  const std::vector<std::string> own = OwnGoldenCases();
  names.insert(names.end(), own.begin(), own.end());
  return names;
}

// The folder of a case: in the repository, else in the shared corpus beside it; empty when it is in neither.
inline std::string GoldenFolder(const std::string& name) {
  for (const std::string& root : {SourceDir() + "/tests/testdata/golden/", std::string(DROVER_SHARED_DIR "/golden/"), SourceDir() + "/shared/golden/"})
    if (std::filesystem::exists(root + name + "/reference.safetensors")) return root + name;
  return {};
}

// What to open: the GGUF file when there is one, else the folder.
inline std::string GoldenModel(const std::string& folder) {
  const std::string gguf = folder + "/model.gguf";
  return std::filesystem::exists(gguf) ? gguf : folder;
}

}  // namespace drover
