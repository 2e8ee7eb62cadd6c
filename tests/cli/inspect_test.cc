// drover inspect: whole outputs of samples (tests/testdata/inspect/NAME.txt, each written by the command itself and read by a
// person), the JSON schema, widths, and files that are broken.
#include "cli/inspect.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "common/file.h"
#include "common/json.h"
#include "tests/models/model_files.h"

namespace drover {
namespace {

namespace fs = std::filesystem;

struct Outcome {
  int code;
  std::string out, err;
};
Outcome Inspect(const std::string& model, bool json = false) {
  std::ostringstream out, err;
  const int code = RunInspect({.model = model, .json = json}, out, err);
  return {code, out.str(), err.str()};
}

void ExpectNarrow(const std::string& text, const std::string& where) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto columns = std::ranges::count_if(line, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
    EXPECT_LE(columns, 80) << where << ": " << line;
  }
}

struct Sample {
  const char* name;
  const char* path;
};
class Samples : public testing::TestWithParam<Sample> {};

TEST_P(Samples, PrintAsTheyDid) {
  if (!fs::exists(GetParam().path)) GTEST_SKIP() << "not here: " << GetParam().path;
  const Outcome outcome = Inspect(GetParam().path);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  const auto expected = ReadFile(std::string(DROVER_SOURCE_DIR "/tests/testdata/inspect/") + GetParam().name + ".txt", 1 << 20);
  ASSERT_TRUE(expected.ok()) << expected.status();
  EXPECT_EQ(outcome.out, *expected);
  ExpectNarrow(outcome.out, GetParam().name);
}

INSTANTIATE_TEST_SUITE_P(All, Samples, testing::Values(
    Sample{"demo-model", DROVER_SOURCE_DIR "/demo/model"},
    Sample{"gguf-llama-q4_1", DROVER_SOURCE_DIR "/tests/testdata/golden/gguf-llama-q4_1"},
    Sample{"ct-fp8-block", DROVER_SOURCE_DIR "/tests/testdata/golden/ct-fp8-block"},
    Sample{"nf4-llama", DROVER_SOURCE_DIR "/tests/testdata/golden/nf4-llama"},
    Sample{"refused-bert", DROVER_SOURCE_DIR "/tests/testdata/inspect/bert"},
    Sample{"gptq-llama-g128-actorder", DROVER_SHARED_DIR "/golden/gptq-llama-g128-actorder"},
    Sample{"deepseek-v3", DROVER_SHARED_DIR "/golden/deepseek-v3"},
    Sample{"refused-t5", DROVER_SHARED_DIR "/golden/t5-v1.1"},
    Sample{"llama-4-scout", DROVER_SHARED_DIR "/models/meta-llama--Llama-4-Scout-17B-16E-Instruct"},
    Sample{"falcon-180b", DROVER_SHARED_DIR "/models/tiiuae--falcon-180B"},
    Sample{"refused-deepseek-v3.2", DROVER_SHARED_DIR "/models/deepseek-ai--DeepSeek-V3.2"}),
    [](const auto& row) {
      std::string name = row.param.name;
      std::ranges::replace_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
      return name;
    });

TEST(Inspect, SeveralGgufFilesAreDescribedByTheirFirst) {
  const auto json = ParseJson(Inspect(DROVER_SOURCE_DIR "/tests/testdata/golden/gguf-granite", true).out);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ((*json)["architecture"], "granite");
}

TEST(Inspect, EveryModelAtHandIsDescribedIn80Columns) {
  size_t seen = 0;
  for (const char* root : {DROVER_SOURCE_DIR "/tests/testdata/golden", DROVER_SHARED_DIR "/models", DROVER_SHARED_DIR "/golden"}) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(root, error)) {
      const bool model = fs::exists(entry.path() / "config.json") || fs::exists(entry.path() / "params.json") || fs::exists(entry.path() / "model.gguf") ||
                         fs::exists(entry.path() / "model-00001-of-00003.gguf");
      if (!model) continue;
      const Outcome outcome = Inspect(entry.path().string());
      EXPECT_EQ(outcome.code, 0) << entry.path() << outcome.err;
      ExpectNarrow(outcome.out, entry.path().string());
      const auto json = ParseJson(Inspect(entry.path().string(), true).out);
      ASSERT_TRUE(json.ok()) << entry.path() << json.status();
      EXPECT_EQ((*json)["served"].get<bool>(), outcome.out.find("\nserved        yes") != std::string::npos) << entry.path();
      ++seen;
    }
  }
  EXPECT_GT(seen, 0u);
}

std::string Keys(const Json& object) {
  std::string keys;
  for (const auto& [key, value] : object.items()) keys += (keys.empty() ? "" : " ") + key;
  return keys;
}

// The keys that docs/inspect.md promises.
TEST(Json, HasItsSchema) {
  const auto json = ParseJson(Inspect(DROVER_SOURCE_DIR "/demo/model", true).out);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ((*json)["schema"], 1);
  EXPECT_EQ(Keys(*json), "schema name architecture served refusal model release tokenizer chat_template license unconfirmed unconfirmed_error left_out");
  EXPECT_EQ(Keys((*json)["model"]), "family parameters kv_bytes_per_token context layers hidden vocab tied_embeddings kinds");
  EXPECT_EQ(Keys((*json)["model"]["kinds"][0]), "layers heads kv_heads head_dim chunk experts");
  EXPECT_EQ(Keys((*json)["release"]), "container method named_type files file_bytes stored weights");
  EXPECT_EQ(Keys((*json)["tokenizer"]), "error from kind vocabulary special_tokens roles ends");
  EXPECT_EQ(Keys((*json)["chat_template"]), "from bytes starts named");
  EXPECT_EQ(Keys((*json)["license"]), "id basis stated terms published check");
  EXPECT_EQ((*json)["model"]["parameters"]["total"], 3743424);
  EXPECT_EQ((*json)["tokenizer"]["vocabulary"], 1280);
}

class Broken : public testing::Test {
 protected:
  void Config(const std::string& extra) {
    test::WriteFile(dir_.Path("config.json"),
                    R"({"architectures":["LlamaForCausalLM"],)" + extra + R"("hidden_size":32,"intermediate_size":64,"max_position_embeddings":64,
                        "num_attention_heads":2,"num_hidden_layers":1,"vocab_size":100})");
  }
  test::TempDir dir_;
};

TEST_F(Broken, NothingToDescribeEndsWithOne) {
  for (const std::string& path : {dir_.Path("nowhere"), dir_.Path("nowhere.json"), dir_.Path("nowhere.gguf"), dir_.path()}) {
    const Outcome outcome = Inspect(path);
    EXPECT_EQ(outcome.code, 1) << path;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err.find("drover: error: "), 0u) << outcome.err;
  }
  test::WriteFile(dir_.Path("config.json"), "{");
  EXPECT_EQ(Inspect(dir_.path()).code, 1);
  test::WriteFile(dir_.Path("a.gguf"), "GGUF");
  EXPECT_EQ(Inspect(dir_.Path("a.gguf")).code, 1);
}

TEST_F(Broken, ARefusedModelSaysWhyAndWhatIsThere) {
  Config(R"("rope_scaling":{"rope_type":"new"},)");
  test::WriteFile(dir_.Path("model.safetensors"), test::SafetensorsBytes({{"a", "F32", {2, 3}, std::string(24, '\0')}}));
  const Outcome outcome = Inspect(dir_.path());
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.out.find("served        NO (LlamaForCausalLM):"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("f32: 1 tensor, 6 values, 24 B"), std::string::npos) << outcome.out;
}

TEST_F(Broken, ATemplateThatDoesNotCompileIsARefusal) {
  Config("");
  test::WriteFile(dir_.Path("chat_template.jinja"), "{% if %}");
  const Outcome outcome = Inspect(dir_.path());
  EXPECT_NE(outcome.out.find("served        NO (LlamaForCausalLM):"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("tokenizer     cannot be used: chat_template.jinja: "), std::string::npos) << outcome.out;
}

TEST_F(Broken, WhatIsLeftOutComesFromTheReaders) {
  Config(R"("auto_map":{"AutoModel":"x.py"},)");
  test::WriteFile(dir_.Path("generation_config.json"), R"({"temperature":0.5,"do_sample":true,"typical_p":0.9,"eos_token_id":7,"_from":1})");
  const Outcome outcome = Inspect(dir_.path(), true);
  const auto json = ParseJson(outcome.out);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ((*json)["left_out"], Json::array({"code of the model's own (auto_map): none is run from a model directory",
                                              "settings of generation_config.json that are not applied: typical_p"}));
  test::WriteFile(dir_.Path("generation_config.json"), R"({"top_p":7})");
  EXPECT_NE(Inspect(dir_.path()).out.find("NO (LlamaForCausalLM): generation_config.json: "), std::string::npos);
}

TEST_F(Broken, TextOfFilesCannotMoveTheCursor) {
  Config(R"("_name_or_path":"\u001b[2J\u0007x",)");
  test::WriteFile(dir_.Path("README.md"), "---\nlicense: \x1b]0;title\x07\n---\n");
  test::WriteFile(dir_.Path("LICENSE"), "\x1b[31m\xff\xfe");
  test::WriteFile(dir_.Path("UNCONFIRMED"), "\x1b[2J\n");
  for (const bool json : {false, true}) {
    const Outcome outcome = Inspect(dir_.path(), json);
    EXPECT_TRUE(std::ranges::all_of(outcome.out, [](char c) { return c == '\n' || static_cast<unsigned char>(c) >= 0x20; })) << outcome.out;
  }
}

}  // namespace
}  // namespace drover
