// Every tiny tokenizer of the corpus: encoding and decoding as the reference library does, one case per feature.
#include <gtest/gtest.h>

#include "tests/text/golden_text.h"

namespace drover::text {
namespace {

class FeatureVectors : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(FeatureVectors, AreReproduced) {
  const absl::StatusOr<Tokenizer> tokenizer = LoadFeature(GetParam());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const Outcome outcome = CheckVectors(*tokenizer, ReadLines(GetParam() / "vectors.jsonl"));
  EXPECT_GT(outcome.checked, 0);
  EXPECT_EQ(outcome.failed, 0) << "of " << outcome.checked << "\n" << outcome.first_failures;
}

INSTANTIATE_TEST_SUITE_P(All, FeatureVectors, testing::ValuesIn(FeatureFolders()),
                         [](const auto& each) { return each.param.filename().string(); });

TEST(FeatureVectorsCorpus, IsComplete) {
  if (!std::filesystem::exists(SharedText() / "features"))
    GTEST_SKIP() << SharedText() / "features" << " is absent: only the features in tests/testdata/text were run";
  EXPECT_EQ(FeatureFolders().size(), 88u);
}

}  // namespace
}  // namespace drover::text
