// Streams of the tiny tokenizers: pieces as early as the reference's, together the one-shot text.
#include <gtest/gtest.h>

#include <map>

#include "tests/text/golden_text.h"

namespace drover::text {
namespace {

TEST(StreamVectors, OfTheFeaturesAreReproduced) {
  const auto path = SharedText() / "detokenize.jsonl";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  std::map<std::string, absl::StatusOr<Tokenizer>> tokenizers;
  int64_t checked = 0;
  for (const Json& row : ReadLines(path)) {
    const auto name = row["tokenizer"].get<std::string>();
    if (!name.starts_with("features/")) continue;
    if (!tokenizers.contains(name)) tokenizers.emplace(name, LoadFeature(SharedText() / name));
    const absl::StatusOr<Tokenizer>& tokenizer = tokenizers.at(name);
    ASSERT_TRUE(tokenizer.ok()) << name << ": " << tokenizer.status();
    ++checked;
    EXPECT_EQ(CheckStream(*tokenizer, row), "") << name << " " << row.dump(-1, ' ', true).substr(0, 500);
  }
  EXPECT_GT(checked, 500);
}

}  // namespace
}  // namespace drover::text
