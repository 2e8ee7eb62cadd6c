// drover plan and drover inspect: what they print and how they end.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "cli/inspect.h"
#include "cli/plan.h"
#include "common/json.h"
#include "tests/models/model_files.h"

namespace drover {
namespace {

struct Outcome {
  int code;
  std::string out, err;
};
Outcome Plan(const PlanArguments& arguments) {
  std::ostringstream out, err;
  const int code = RunPlan(arguments, out, err);
  return {code, out.str(), err.str()};
}
Outcome Inspect(const InspectArguments& arguments) {
  std::ostringstream out, err;
  const int code = RunInspect(arguments, out, err);
  return {code, out.str(), err.str()};
}

class Commands : public testing::Test {
 protected:
  Commands() {
    test::GgufWriter writer = test::TinyLlamaMetadata();
    test::AddTinyLlamaTensors(writer);
    test::WriteFile(gguf_, writer.Bytes());
    test::WriteFile(dir_.Path("config.json"),
                    R"({"architectures":["MixtralForCausalLM"],"hidden_size":4096,"intermediate_size":14336,"max_position_embeddings":32768,
                        "num_attention_heads":32,"num_key_value_heads":8,"num_hidden_layers":32,"num_local_experts":8,"vocab_size":32000})");
  }
  void ExpectOneLineError(const Outcome& outcome, int code, const std::string& message) {
    EXPECT_EQ(outcome.code, code);
    EXPECT_EQ(outcome.err.find("drover: error: "), 0u) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
  }
  test::TempDir dir_;
  const std::string gguf_ = dir_.Path("tiny.gguf");
};

TEST_F(Commands, PlanOfAConfigAlone) {
  const Outcome outcome = Plan({.model = dir_.path(), .ranks = 4, .memory = "80GiB"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("46.7 B parameters, 12.9 B active"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("counted as bf16"), std::string::npos);
}

TEST_F(Commands, PlanAsJson) {
  const Outcome outcome = Plan({.model = gguf_, .ranks = 2, .json = true});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto json = ParseJson(outcome.out);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ((*json)["ranks"], 2);
  EXPECT_EQ((*json)["fits"], true);
}

TEST_F(Commands, PlanThatDoesNotFitPrintsTheNeedAndTheReason) {
  const Outcome outcome = Plan({.model = dir_.path(), .ranks = 1, .memory = "80GiB"});
  ExpectOneLineError(outcome, 1, "does not fit: weights need 87.0 GiB a rank");
  EXPECT_NE(outcome.out.find("87.0 GiB"), std::string::npos) << outcome.out;
  const Outcome json = Plan({.model = dir_.path(), .ranks = 1, .memory = "80GiB", .json = true});
  EXPECT_EQ((*ParseJson(json.out))["fits"], false);
}

TEST_F(Commands, UnusableArgumentsEndWithTwo) {
  ExpectOneLineError(Plan({.model = gguf_, .ranks = 0}), 2, "ranks: found 0");
  ExpectOneLineError(Plan({.model = gguf_, .ranks = 5000}), 2, "ranks: found 5000");
  ExpectOneLineError(Plan({.model = gguf_, .memory = "8 bananas"}), 2, "--memory: size: found \"8 bananas\"");
  ExpectOneLineError(Plan({.model = gguf_, .expert_parts = 2}), 2, "expert_parts");
  ExpectOneLineError(Plan({.model = gguf_, .ranks = 4, .attention_parts = 3}), 2, "data_parallel_attention: found 3 parts");
}

TEST_F(Commands, ModelsThatCannotBeReadEndWithOne) {
  ExpectOneLineError(Plan({.model = dir_.Path("nowhere")}), 1, "no such file");
  ExpectOneLineError(Inspect({.model = dir_.Path("nowhere")}), 1, "no such file");
}

TEST_F(Commands, InspectSaysHowAModelIsStored) {
  const Outcome text = Inspect({.model = gguf_});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("gguf, 1 file"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("tied"), std::string::npos);
  const Outcome json = Inspect({.model = dir_.path(), .json = true});
  const auto value = ParseJson(json.out);
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ((*value)["model"]["kinds"][0]["experts"]["count"], 8);
  EXPECT_EQ((*value)["release"]["container"], "config only");
  EXPECT_EQ((*value)["model"]["kv_bytes_per_token"]["f32"], 32 * 2 * 8 * 128 * 4);
  EXPECT_EQ((*value)["model"]["kv_bytes_per_token"]["bf16"], 32 * 2 * 8 * 128 * 2);
}

TEST(Sizes, AreReadWithTheirUnits) {
  EXPECT_EQ(*ParseBytes("80GiB"), int64_t{80} << 30);
  EXPECT_EQ(*ParseBytes("1.5G"), int64_t{3} << 29);
  EXPECT_EQ(*ParseBytes("2GB"), 2'000'000'000);
  EXPECT_EQ(*ParseBytes("100"), 100);
  for (const char* bad : {"", "x", "-1GiB", "0", "1e300", "nanGiB", "infG", "1PiB", "1G "}) EXPECT_FALSE(ParseBytes(bad).ok()) << bad;
}

TEST(PublishedModels, PlanOrAreRefusedByName) {
  const std::string root = DROVER_SHARED_DIR "/models/";
  if (!std::filesystem::exists(root)) GTEST_SKIP() << "no configs of published models at " << root;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (!entry.is_directory()) continue;
    const Outcome outcome = Plan({.model = entry.path().string(), .ranks = 48});
    if (outcome.code == 0)
      EXPECT_NE(outcome.out.find("48 ranks"), std::string::npos);
    else
      EXPECT_NE(outcome.err.find("which is not served"), std::string::npos) << outcome.err;
    const bool unconfirmed = std::filesystem::exists(entry.path() / "UNCONFIRMED");
    EXPECT_EQ(outcome.out.find("\nunconfirmed: ") != std::string::npos, unconfirmed) << entry.path();
    EXPECT_EQ(Inspect({.model = entry.path().string()}).out.find("\nunconfirmed   ") != std::string::npos, unconfirmed) << entry.path();
  }
}

}  // namespace
}  // namespace drover
