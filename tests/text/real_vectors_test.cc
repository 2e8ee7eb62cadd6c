// The 24 tokenizers of real models. Their files come from tools/fetch_text_packages.py (build/text-packages); the ones that are
// absent are skipped by name.
#include <gtest/gtest.h>

#include "tests/text/golden_text.h"
#include "text/model_text.h"

namespace drover::text {
namespace {

struct Real {
  const char* name;
  const char* file;  // below build/text-packages/<name>/
};

constexpr Real kReal[] = {
    {"mistral_v1_json", "tokenizer.json"}, {"llama3", "tokenizer.json"}, {"llama3_1", "tokenizer.json"},
    {"qwen3", "tokenizer.json"}, {"deepseek_v3", "tokenizer.json"}, {"gemma3", "tokenizer.json"},
    {"gptoss", "tokenizer.json"}, {"gpt4o", "tokenizer.json"}, {"deepseek_v4", "tokenizer.json"},
    {"minilm_bert", "tokenizer.json"}, {"mon_unigram", "mon_tokenizer.json"}, {"mistral_v1", "tokenizer.model.v1"},
    {"mistral_v2", "mistral_instruct_tokenizer_240216.model.v2"}, {"mistral_v3", "mistral_instruct_tokenizer_240323.model.v3"},
    {"mistral_v7", "mistral_instruct_tokenizer_241114.model.v7"}, {"tekken_240718", "tekken_240718.json"},
    {"tekken_240911", "tekken_240911.json"}, {"llama3_tiktoken", "converted.json"}, {"llama4_tiktoken", "converted.json"},
    {"qwen_tiktoken", "converted.json"}, {"qwen3_6_tiktoken", "converted.json"}, {"llama2", "converted.json"},
    {"gpt2", "converted.json"}, {"smollm2", "vocabulary.json"}};

// {"ranks": file, "config": {...}}: a tiktoken file with what its family's code adds, or {"vocabulary": {...}}, or a tokenizer.json.
absl::StatusOr<Tokenizer> LoadConverted(const std::filesystem::path& path) {
  DROVER_ASSIGN_OR_RETURN(const Json file, ReadJsonFile(path.string(), {.bytes = 64 << 20, .depth = 16, .elements = 4'000'000}));
  if (file.contains("ranks"))
    return Tokenizer::FromTiktoken(ReadAll(path.parent_path() / file["ranks"].get<std::string>()), file["config"].dump());
  if (!file.contains("tokens")) return Tokenizer::FromJson(file.dump());
  Vocabulary vocabulary;
  vocabulary.model = file["model"].get<std::string>();
  vocabulary.pre = file["pre"].get<std::string>();
  vocabulary.tokens = file["tokens"].get<std::vector<std::string>>();
  vocabulary.merges = file["merges"].get<std::vector<std::string>>();
  for (const Json& type : file["types"]) vocabulary.types.push_back(static_cast<TokenType>(type.get<int32_t>()));
  vocabulary.eos = file["eos"].get<int32_t>();
  return Tokenizer::FromVocabulary(vocabulary);
}

absl::StatusOr<Tokenizer> Load(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name == "converted.json" || name == "vocabulary.json" ? LoadConverted(path) : LoadTokenizerFile(path.string());
}

class RealVectors : public testing::TestWithParam<Real> {};

TEST_P(RealVectors, AreReproduced) {
  const Real& real = GetParam();
  const auto vectors = SharedText() / "tokenizers" / (std::string(real.name) + ".jsonl");
  if (!std::filesystem::exists(vectors)) GTEST_SKIP() << vectors << " is absent";
  const auto path = std::filesystem::path(DROVER_SOURCE_DIR) / "build/text-packages" / real.name / real.file;
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent: tools/fetch_text_packages.py fetches it";
  const absl::StatusOr<Tokenizer> tokenizer = Load(path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const Outcome outcome = CheckVectors(*tokenizer, ReadLines(vectors));
  EXPECT_GT(outcome.checked, 200);
  EXPECT_EQ(outcome.failed, 0) << "of " << outcome.checked << "\n" << outcome.first_failures;
  if (!std::filesystem::exists(SharedText() / "detokenize.jsonl")) return;
  int64_t streams = 0;
  for (const Json& row : ReadLines(SharedText() / "detokenize.jsonl")) {
    if (row["tokenizer"].get<std::string>() != real.name) continue;
    ++streams;
    EXPECT_EQ(CheckStream(*tokenizer, row), "") << row.dump(-1, ' ', true).substr(0, 400);
  }
  RecordProperty("streams", static_cast<int>(streams));
}

INSTANTIATE_TEST_SUITE_P(All, RealVectors, testing::ValuesIn(kReal), [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace drover::text
