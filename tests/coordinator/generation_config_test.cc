// generation_config.json as the defaults of requests.
#include "coordinator/generation_config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "coordinator/served_model.h"
#include "tests/coordinator/toy_text.h"

namespace drover {
namespace {

GenerationDefaults Read(const char* text) {
  absl::StatusOr<GenerationDefaults> defaults = ReadGenerationDefaults(*ParseJson(text));
  EXPECT_TRUE(defaults.ok()) << text << defaults.status();
  return defaults.ok() ? *std::move(defaults) : GenerationDefaults{};
}

// What a request that leaves everything open gets.
Sampling Open(const char* text) { return ResolveSampling({}, Read(text).sampling, 0); }

TEST(GenerationConfig, GivesItsSamplingToOpenRequests) {
  const Sampling got = Open(R"({"do_sample": true, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1,
                                "eos_token_id": [1, 2], "transformers_version": "5.23.0"})");
  EXPECT_EQ(got, (Sampling{.temperature = 0.6, .top_k = 20, .top_p = 0.9, .min_p = 0.05, .repetition_penalty = 1.1}));
}

TEST(GenerationConfig, ARequestStandsOverIt) {
  const SamplingWish model = Read(R"({"do_sample": true, "temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.1})").sampling;
  const Sampling got = ResolveSampling({.temperature = 0.0, .repetition_penalty = 1.0, .top_k = 3}, model, 0);
  EXPECT_EQ(got, (Sampling{.temperature = 0, .top_k = 3, .top_p = 0.9}));
}

TEST(GenerationConfig, WithoutSamplingItIsGreedyAndSilenceIsNoWish) {
  EXPECT_EQ(Open(R"({"do_sample": false, "temperature": 0.7})").temperature, 0);
  EXPECT_EQ(Open(R"({"do_sample": false})").temperature, 0);
  EXPECT_EQ(Open(R"({"do_sample": true})"), Sampling{});
  EXPECT_EQ(Open(R"({"temperature": 0.7})").temperature, 0.7);
  EXPECT_EQ(Open(R"({"do_sample": null, "temperature": null, "top_k": null})"), Sampling{});
  EXPECT_EQ(Open(R"({"top_k": -1})"), Sampling{});
  EXPECT_EQ(Open("{}"), Sampling{});
}

TEST(GenerationConfig, LimitsTheLength) {
  EXPECT_EQ(Read(R"({"max_new_tokens": 300})").max_tokens, 300);
  EXPECT_FALSE(Read(R"({"max_length": 20})").max_tokens.has_value());
}

TEST(GenerationConfig, NamesWhatIsNotApplied) {
  EXPECT_EQ(Read(R"({"typical_p": 0.9, "num_beams": 4, "no_repeat_ngram_size": 3, "bad_words_ids": [[5]]})").not_applied,
            (std::vector<std::string>{"bad_words_ids", "no_repeat_ngram_size", "num_beams", "typical_p"}));
  EXPECT_TRUE(Read(R"({"typical_p": 1.0, "num_beams": 1, "min_length": 0, "suppress_tokens": null, "max_length": 4096})").not_applied.empty());
}

TEST(GenerationConfig, FaultsNameTheField) {
  for (const auto& [text, field] : std::vector<std::pair<const char*, const char*>>{
           {R"({"top_p": 7})", "top_p"}, {R"({"temperature": "hot"})", "temperature"}, {R"({"top_k": -2})", "top_k"},
           {R"({"top_k": 2.5})", "top_k"}, {R"({"do_sample": 1})", "do_sample"}, {R"({"max_new_tokens": 0})", "max_new_tokens"},
           {R"({"max_new_tokens": 1e30})", "max_new_tokens"}, {R"({"repetition_penalty": 0})", "repetition_penalty"}, {"[]", "object"}}) {
    const absl::StatusOr<GenerationDefaults> got = ReadGenerationDefaults(*ParseJson(text));
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(Message(got.status()).find(field), std::string::npos) << text << " " << Message(got.status());
  }
}

// A golden checkpoint with a generation_config.json of the test's own.
class OfAModel : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/generation_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
    for (const char* name : {"config.json", "model.safetensors"})
      std::filesystem::copy(std::filesystem::path(DROVER_SOURCE_DIR) / "demo/model" / name, path_ / name);
    std::ofstream(path_ / "generation_config.json")
        << R"({"do_sample": true, "temperature": 0.5, "max_new_tokens": 12, "num_beams": 2, "eos_token_id": [3, 5]})";
  }
  void TearDown() override { std::filesystem::remove_all(path_); }

  std::filesystem::path path_;
};

TEST_F(OfAModel, IsReadUnlessItIsSwitchedOff) {
  const absl::StatusOr<ServedModel> with = LoadServedModel({.path = path_.string()}, 0);
  ASSERT_TRUE(with.ok()) << with.status();
  EXPECT_EQ(with->info.defaults.temperature, 0.5);
  EXPECT_EQ(with->info.default_max_tokens, 12);
  EXPECT_EQ(with->not_applied, std::vector<std::string>{"num_beams"});
  const absl::StatusOr<ServedModel> without = LoadServedModel({.path = path_.string(), .generation_config = false}, 0);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_FALSE(without->info.defaults.temperature.has_value());
  EXPECT_FALSE(without->info.default_max_tokens.has_value());
  // The end of an answer is no matter of sampling.
  EXPECT_EQ(with->info.end_ids, (std::vector<int32_t>{3, 5}));
  EXPECT_EQ(without->info.end_ids, (std::vector<int32_t>{3, 5}));
}

}  // namespace
}  // namespace drover
