// The weight table: counts of published models, names of each family, and the check of a checkpoint's tensors against it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "models/registry.h"
#include "models/weights.h"
#include "tests/models/model_files.h"

namespace drover {
namespace {

struct Count {
  const char* directory;
  double total, active;  // billions
};

// Published parameter counts, from sums over the tensors of each model.
constexpr Count kCounts[] = {
    {"01-ai--Yi-1.5-34B", 34.389, 34.389},
    {"01-ai--Yi-34B", 34.389, 34.389},
    {"deepseek-ai--DeepSeek-R1", 671.026, 37.552},
    {"deepseek-ai--DeepSeek-V3", 671.026, 37.552},
    {"EleutherAI--gpt-neox-20b", 20.555, 20.555},
    {"EleutherAI--pythia-6.9b", 6.857, 6.857},
    {"allenai--OLMo-2-1124-7B", 7.299, 7.299},
    {"bigscience--bloom", 176.247, 176.247},
    {"google--gemma-2-9b", 9.242, 9.242},
    {"google--gemma-2b", 2.506, 2.506},
    {"microsoft--Phi-3-mini-4k-instruct", 3.821, 3.821},
    {"mosaicml--mpt-7b", 6.649, 6.649},
    {"openai-community--gpt2", 0.12444, 0.12444},
    {"tiiuae--falcon-180B", 178.557, 178.557},
    {"tiiuae--falcon-40b", 41.303, 41.303},
    {"tiiuae--falcon-7b", 6.922, 6.922},
    {"llama-4-behemoth-assumed", 1990.588, 287.365},
    {"meta-llama--Llama-2-70b-hf", 68.977, 68.977},
    {"meta-llama--Llama-2-7b-hf", 6.738, 6.738},
    {"meta-llama--Llama-3.1-405B", 405.853, 405.853},
    {"meta-llama--Llama-3.1-70B", 70.554, 70.554},
    {"meta-llama--Llama-3.1-8B", 8.030, 8.030},
    {"meta-llama--Llama-4-Maverick-17B-128E-Instruct", 400.712, 17.185},
    {"meta-llama--Llama-4-Scout-17B-16E-Instruct", 107.770, 17.173},
    {"meta-llama--Meta-Llama-3-8B", 8.030, 8.030},
    {"mistralai--Mistral-7B-v0.3", 7.248, 7.248},
    {"mistralai--Mistral-Large-3-675B-Instruct-2512", 673.421, 39.947},
    {"mistralai--Mistral-Large-Instruct-2407", 122.610, 122.610},
    {"mistralai--Mixtral-8x22B-v0.1", 140.621, 39.152},
    {"mistralai--Mixtral-8x7B-v0.1", 46.703, 12.880},
    {"moonshotai--Kimi-K2-Instruct", 1026.408, 32.861},
    {"openai--gpt-oss-120b", 116.829, 5.712},
    {"openai--gpt-oss-20b", 20.915, 4.187},
    {"Qwen--Qwen1.5-7B", 7.721, 7.721},
    {"Qwen--Qwen2-7B", 7.616, 7.616},
    {"Qwen--Qwen3-0.6B", 0.596, 0.596},
    {"Qwen--Qwen3-235B-A22B", 235.094, 22.191},
    {"Qwen--Qwen3-30B-A3B", 30.532, 3.353},
    {"Qwen--Qwen3-8B", 8.191, 8.191},
    {"zai-org--GLM-4.5", 352.798, 33.632},
};

// What a model computes, whatever form its weights are published in.
absl::StatusOr<ModelSpec> SpecWithoutStorageForm(const std::string& directory) {
  DROVER_ASSIGN_OR_RETURN(Json config, ReadJsonFile(directory + "/config.json", {.bytes = 4 << 20, .elements = 20'000}));
  config.erase("quantization_config");
  return SpecFromConfig(config);
}

TEST(Parameters, OfPublishedModels) {
  const std::string root = DROVER_SHARED_DIR "/models/";
  if (!std::filesystem::exists(root)) GTEST_SKIP() << "no configs of published models at " << root;
  for (const Count& row : kCounts) {
    const auto spec = SpecWithoutStorageForm(root + row.directory);
    ASSERT_TRUE(spec.ok()) << row.directory << ": " << spec.status();
    const ParameterCount count = CountParameters(*spec);
    EXPECT_NEAR(static_cast<double>(count.total) / 1e9, row.total, row.total * 1e-3) << row.directory;
    EXPECT_NEAR(static_cast<double>(count.active) / 1e9, row.active, row.active * 1e-3) << row.directory;
  }
}

// Each folder is counted above or refused by its architecture.
TEST(Parameters, OfEveryPublishedModel) {
  const std::string root = DROVER_SHARED_DIR "/models/";
  if (!std::filesystem::exists(root)) GTEST_SKIP() << "no configs of published models at " << root;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (!entry.is_directory() || std::ranges::count(kCounts, entry.path().filename().string(), &Count::directory) == 1) continue;
    const auto checkpoint = OpenCheckpoint(entry.path().string());
    EXPECT_NE(Message(checkpoint.status()).find("which is not served"), std::string::npos) << entry.path() << checkpoint.status();
  }
}

TEST(Parameters, OfMistralsOwnConfig) {
  const std::string path = DROVER_SHARED_DIR "/models/mistralai--Mistral-Large-3-675B-Instruct-2512/params.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "not here: " << path;
  const auto checkpoint = OpenCheckpoint(path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const ParameterCount count = CountParameters(checkpoint->spec);
  EXPECT_NEAR(static_cast<double>(count.total) / 1e9, 673.421, 5.1e-4);
  EXPECT_NEAR(static_cast<double>(count.active) / 1e9, 39.947, 5.1e-4);
  EXPECT_EQ(checkpoint->spec.not_served, std::vector<std::string>{"vision encoder"});
}

TEST(Parameters, OtherPublishedArchitecturesAreRefusedByName) {
  const std::string root = DROVER_SHARED_DIR "/models/";
  if (!std::filesystem::exists(root)) GTEST_SKIP() << "no configs of published models at " << root;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (!entry.is_directory()) continue;
    const auto checkpoint = OpenCheckpoint(entry.path().string());
    if (checkpoint.ok()) continue;
    const bool form = Message(checkpoint.status()).find("quantization_config: found quant_method") != std::string::npos;
    EXPECT_TRUE(form || Message(checkpoint.status()).find("which is not served") != std::string::npos) << checkpoint.status();
  }
}

ModelSpec SpecOf(const std::string& architecture, const std::string& extra) {
  const auto spec = SpecFromConfigText(
      R"({"architectures":[")" + architecture + R"("],)" + extra +
      R"("hidden_size":8,"intermediate_size":12,"max_position_embeddings":16,"num_attention_heads":2,"num_hidden_layers":1,"vocab_size":10})");
  EXPECT_TRUE(spec.ok()) << spec.status();
  return *spec;
}

std::string Names(const ModelSpec& spec) {
  std::string out;
  for (const Weight& weight : WeightTable(spec))
    out += Cat(weight.name, weight.vector() ? Cat(" ", weight.rows) : Cat(" ", weight.rows, "x", weight.cols), "\n");
  return out;
}

TEST(WeightTable, OfALlamaLayer) {
  EXPECT_EQ(Names(SpecOf("LlamaForCausalLM", "")),
            "model.embed_tokens.weight 10x8\nmodel.layers.0.input_layernorm.weight 8\nmodel.layers.0.self_attn.q_proj.weight 8x8\n"
            "model.layers.0.self_attn.k_proj.weight 8x8\nmodel.layers.0.self_attn.v_proj.weight 8x8\n"
            "model.layers.0.self_attn.o_proj.weight 8x8\nmodel.layers.0.post_attention_layernorm.weight 8\n"
            "model.layers.0.mlp.gate_proj.weight 12x8\nmodel.layers.0.mlp.up_proj.weight 12x8\n"
            "model.layers.0.mlp.down_proj.weight 8x12\nmodel.norm.weight 8\nlm_head.weight 10x8\n");
}

TEST(WeightTable, NamesOfRoutedFamilies) {
  const std::string mixtral = Names(SpecOf("MixtralForCausalLM", R"("num_local_experts":1,"num_experts_per_tok":1,)"));
  for (const char* name : {"block_sparse_moe.gate.weight 1x8", "experts.0.w1.weight 12x8", "experts.0.w3.weight 12x8", "experts.0.w2.weight 8x12"})
    EXPECT_NE(mixtral.find(name), std::string::npos) << mixtral;
  const std::string llama4 = Names(SpecOf("Llama4ForCausalLM", R"("num_local_experts":1,"head_dim":4,)"));
  for (const char* name : {"feed_forward.router.weight 1x8", "feed_forward.experts.0.gate_proj.weight 12x8",
                           "feed_forward.shared_expert.down_proj.weight 8x12"})
    EXPECT_NE(llama4.find(name), std::string::npos) << llama4;
}

// Every served golden case opens, which includes the check of its tensors against the table; the others are refused by name.
TEST(Golden, ServedCasesOpenAndFitTheTable) {
  const char* names[] = {"bloom", "crystalcoder", "falcon-7b", "falcon-40b", "falcon-rw", "falcon2-11b", "gemma", "gemma2", "gemma3", "gpt-neox-serial",
                         "gpt2", "gptj", "granite", "mpt", "mpt-clip", "olmo", "olmo2", "phi2", "phi3", "phi3-gqa", "phi3-longrope", "phi3-longrope-crossing", "llama-rope-dynamic", "pythia", "starcoder2",
                         "amber", "llama-biases", "llama-head-dim", "llama-rope-linear", "llama-rope-yarn", "llama2-mha", "llama31-gqa",
                         "smollm2-tied", "yi", "mistral-nemo", "mistral-window", "mixtral", "mixtral-6", "qwen1.5", "qwen2-tied",
                         "deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "kimi-k2", "mistral4", "mistral-large-3-native", "mistral-native", "glm4-moe", "gpt-oss-bf16", "qwen2-moe", "qwen2-window", "qwen3", "qwen3-untied", "qwen3-moe", "qwen3-moe-mixed", "llama4-scout", "llama4-maverick",
                         "gguf-llama-f32", "gguf-llama-bf16", "gguf-llama-q8_0", "gguf-llama-q4_0", "gguf-llama-q4_1",
                         "gguf-llama31-f16", "gguf-mixtral-q4_0", "gguf-qwen3moe-q8_0", "gguf-llama-q5_0", "gguf-llama-q5_1",
                         "gguf-llama-q2_k", "gguf-llama-q3_k", "gguf-llama-q4_k", "gguf-llama-q5_k", "gguf-qwen3-q6_k",
                         "fp8-tensor-mistral", "fp8-block-qwen3-moe", "ct-fp8-static-llama", "ct-fp8-dynamic-llama", "gptq-llama-g32",
                         "gptq-llama-g128-actorder", "gptq-v2-qwen2", "gptq-qwen3-moe", "awq-llama", "awq-mixtral", "ct-int4-llama",
                         "ct-int4-asym-qwen2", "ct-int4-kimi", "fp8-block-deepseek-v3", "gpt-oss"};
  std::string skipped;
  for (const char* name : names) {
    const std::optional<std::string> path = test::GoldenCase(name);
    if (!path) {
      skipped += Cat(" ", name);
      continue;
    }
    const auto checkpoint = OpenCheckpoint(*path);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  }
  if (!skipped.empty()) GTEST_SKIP() << "not here:" << skipped;
}

TEST(Golden, LaterFormsAreRefusedByName) {
  const std::pair<const char*, const char*> rows[] = {
      {"deepseek-v32", "\"DeepseekV32ForCausalLM\""}};
  for (const auto& [name, message] : rows) {
    const std::optional<std::string> path = test::GoldenCase(name);
    if (!path) GTEST_SKIP() << "not here: " << name;
    const auto checkpoint = OpenCheckpoint(*path);
    ASSERT_FALSE(checkpoint.ok()) << name;
    EXPECT_NE(Message(checkpoint.status()).find(message), std::string::npos) << checkpoint.status();
  }
}

}  // namespace
}  // namespace drover
