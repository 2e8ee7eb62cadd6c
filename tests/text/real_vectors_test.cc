// The 24 tokenizers of real models; the ones that are absent are skipped by name.
#include <gtest/gtest.h>

#include "tests/text/golden_text.h"
#include "text/model_text.h"

namespace drover::text {
namespace {

class RealVectors : public testing::TestWithParam<RealTokenizer> {};

TEST_P(RealVectors, AreReproduced) {
  const RealTokenizer& real = GetParam();
  const auto vectors = SharedText() / "tokenizers" / (std::string(real.name) + ".jsonl");
  if (!std::filesystem::exists(vectors)) GTEST_SKIP() << vectors << " is absent";
  if (!std::filesystem::exists(real.path())) GTEST_SKIP() << real.path() << " is absent: tools/fetch_text_packages.py fetches it";
  const absl::StatusOr<Tokenizer> tokenizer = LoadReal(real);
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

INSTANTIATE_TEST_SUITE_P(All, RealVectors, testing::ValuesIn(RealTokenizers()), [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace drover::text
