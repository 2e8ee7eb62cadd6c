// quantization_config: what is read and refused, which modules patterns mean, and plans without weights that equal those with them.
#include "models/quantization.h"

#include <gtest/gtest.h>

#include "models/pattern.h"
#include "models/weights.h"
#include "tests/models/model_files.h"

namespace drover {
namespace {

absl::StatusOr<std::optional<Quantization>> Read(const std::string& text) {
  return ReadQuantization(Json::parse(R"({"quantization_config":)" + text + "}"));
}

struct Good {
  const char* name;
  const char* config;
  std::vector<WeightScheme> schemes;
};

const Good kGood[] = {
    {"Fp8Blocks", R"({"quant_method":"fp8","fmt":"e4m3","activation_scheme":"dynamic","weight_block_size":[128,64]})",
     {{.packing = Packing::kFloat8, .shape = ScaleShape::kBlock, .group_rows = 128, .group_cols = 64}}},
    {"Fp8Tensor", R"({"quant_method":"fp8","activation_scheme":"static","ignored_layers":["lm_head"]})",
     {{}, {.shape = ScaleShape::kRow}, {.shape = ScaleShape::kBlock, .group_rows = 128, .group_cols = 128}}},
    {"Fbgemm", R"({"quant_method":"fbgemm_fp8","activation_scale_ub":1200})", {{.shape = ScaleShape::kRow}}},
    {"Gptq", R"({"quant_method":"gptq","bits":4,"group_size":64,"desc_act":true,"sym":true})",
     {{.packing = Packing::kGptq, .bits = 4, .shape = ScaleShape::kGroup, .group_cols = 64, .zeros = true, .zero_plus = 1, .ordered = true}}},
    {"GptqTwo", R"({"quant_method":"gptq","bits":8,"group_size":-1,"checkpoint_format":"gptq_v2"})",
     {{.packing = Packing::kGptq, .shape = ScaleShape::kRow, .zeros = true}}},
    {"Awq", R"({"quant_method":"awq","bits":4,"group_size":128,"zero_point":true,"version":"GEMM"})",
     {{.packing = Packing::kAwq, .bits = 4, .shape = ScaleShape::kGroup, .group_cols = 128, .zeros = true}}},
    {"Mxfp4", R"({"quant_method":"mxfp4","modules_to_not_convert":["lm_head"]})",
     {{.packing = Packing::kMxfp4, .bits = 4, .shape = ScaleShape::kGroup, .group_cols = 32}}},
    {"TwoGroups", R"({"quant_method":"compressed-tensors","format":"mixed-precision","config_groups":{
        "a":{"format":"pack-quantized","targets":["re:.*mlp.*"],"weights":{"num_bits":4,"type":"int","strategy":"group","group_size":32,"actorder":"group"}},
        "b":{"format":"float-quantized","targets":["re:.*attn.*"],"weights":{"num_bits":8,"type":"float","strategy":"channel"},"input_activations":{"dynamic":true}}}})",
     {{.packing = Packing::kWords, .bits = 4, .shape = ScaleShape::kGroup, .group_cols = 32, .ordered = true}, {.shape = ScaleShape::kRow}}},
};

TEST(Quantization, IsReadByMethod) {
  for (const Good& good : kGood) {
    const auto found = Read(good.config);
    ASSERT_TRUE(found.ok()) << good.name << ": " << found.status();
    ASSERT_TRUE(found->has_value());
    EXPECT_EQ((*found)->schemes, good.schemes) << good.name;
  }
  const auto none = ReadQuantization(Json::parse("{}"));
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
}

TEST(Quantization, IsRefusedByKeyAndValue) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"bits":4})", "quant_method: found \"unnamed\""},
      {R"([])", "found []"},
      {R"({"quant_method":"gptq","bits":4,"checkpoint_format":"marlin"})", "checkpoint_format: found \"marlin\", expected gptq, gptq_v2"},
      {R"({"quant_method":"gptq","bits":4,"dynamic":{"a":1}})", "quantization_config.dynamic: found an object with entries"},
      {R"({"quant_method":"gptq","bits":4,"group_size":0})", "group_size: found 0"},
      {R"({"quant_method":"awq","bits":4,"version":"gemv"})", "version: found \"gemv\""},
      {R"({"quant_method":"awq","bits":4,"zero_point":false})", "zero_point: found false"},
      {R"({"quant_method":"fp8","fmt":"e5m2"})", "fmt: found \"e5m2\""},
      {R"({"quant_method":"fp8","weight_block_size":[128]})", "weight_block_size: found 1 sizes"},
      {R"({"quant_method":"fp8","weight_block_size":[0,128]})", "weight_block_size"},
      {R"({"quant_method":"bitsandbytes","load_in_8bit":true})", "load_in_4bit: found false"},
      {R"({"quant_method":"bitsandbytes","load_in_4bit":true,"bnb_4bit_quant_type":"fp4"})", "bnb_4bit_quant_type: found \"fp4\", expected nf4"},
      {R"({"quant_method":"compressed-tensors","format":"float-quantized"})", "config_groups: found nothing"},
      {R"({"quant_method":"compressed-tensors","format":"nvfp4-pack-quantized","config_groups":{"a":{"weights":{"num_bits":4}}}})",
       "format: found \"nvfp4-pack-quantized\""},
      {R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"a":{"targets":["Linear"]}}})", "a: found no weights"},
      {R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"a":{"weights":{"num_bits":3}}}})", "num_bits: found 3"},
      {R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"a":{"weights":{"num_bits":4,"type":"int"}}},"transform_config":{"r":1}})",
       "transform_config"},
  };
  for (const auto& [config, message] : rows) {
    const auto found = Read(config);
    ASSERT_FALSE(found.ok()) << config;
    EXPECT_NE(Message(found.status()).find(message), std::string::npos) << config << "\n" << found.status();
  }
}

struct Match {
  const char *pattern, *module;
  bool matches;
};
constexpr Match kMatches[] = {
    {"lm_head", "lm_head", true},
    {"gate", "model.layers.0.block_sparse_moe.gate", true},
    {"mlp.gate", "model.layers.0.mlp.gate_proj", false},
    {"model.layers.1", "model.layers.1.mlp.up_proj", true},
    {"model.layers.1", "model.layers.11.mlp.up_proj", false},
    {"model.layers.*.self_attn", "model.layers.3.self_attn.q_proj", true},
    {"model.layers.*.self_attn", "model.layers.3.mlp.up_proj", false},
    {"re:.*self_attn.*", "model.layers.0.self_attn.o_proj", true},
    {"re:self_attn", "model.layers.0.self_attn.o_proj", false},
    {R"(re:.*mlp\.(gate|up|gate_up|down)_proj.*)", "model.layers.0.mlp.gate_proj", true},
    {R"(re:.*mlp\.(gate|up|gate_up|down)_proj.*)", "model.layers.0.mlp.experts.4.gate_proj", false},
    {R"(re:model\.layers\.[0-2]\..+_proj$)", "model.layers.2.mlp.up_proj", true},
    {R"(re:model\.layers\.[^0-2]\..+_proj$)", "model.layers.2.mlp.up_proj", false},
    {R"(re:^model\.layers\.\d+\.mlp\.up_proj?)", "model.layers.17.mlp.up_proj", true},
    {"re:(?:a|b)*c", "ababc", true},
    {"re:(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", false},
    {"re:(a|aa)*b|x?", "", true},
    {"re:[", "x", false},
    {"re:(x", "x", false},
    {"re:(?!y)x", "x", false},
    {"re:x{2}", "xx", false},
    {"re:*", "x", false},
};

TEST(Pattern, MeansTheseModules) {
  for (const Match& row : kMatches) EXPECT_EQ(MatchesModule(row.pattern, row.module), row.matches) << row.pattern << " on " << row.module;
  EXPECT_FALSE(MatchesModule("re:" + std::string(10'000, '('), "x"));
  EXPECT_FALSE(MatchesModule("re:" + std::string(300, '(') + std::string(200, ')'), "x"));
}

// A config alone says what a rank will hold, but for the dtype of scales and of what stays unpacked.
TEST(Plans, WithoutWeightsEqualThoseWithThem) {
  for (const char* name : {"nf4-llama", "gptq-8bit-order", "gptq-row", "gptq-qwen3-moe", "awq-mixtral", "ct-int8-channel", "ct-int4-order",
                           "ct-int4-kimi", "ct-fp8-block", "fp8-block-deepseek-v3", "fp8-block-qwen3-moe", "fp8-tensor-mistral", "gpt-oss"}) {
    const std::optional<std::string> path = test::GoldenCase(name);
    if (!path) continue;
    const auto with = OpenCheckpoint(*path), without = OpenCheckpoint(*path + "/config.json");
    ASSERT_TRUE(with.ok()) << with.status();
    ASSERT_TRUE(without.ok()) << without.status();
    for (const int64_t rank : {0, 1, 2}) {
      const auto stored = static_cast<double>(WeightBytes(*with, {{3, 1}, rank}));
      EXPECT_NEAR(static_cast<double>(WeightBytes(*without, {{3, 1}, rank})) / stored, 1, 0.02) << name << " rank " << rank;
    }
  }
}

}  // namespace
}  // namespace drover
