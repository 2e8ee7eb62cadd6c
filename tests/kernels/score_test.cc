// Log-probabilities of drawn ids and of the best: every back end tells what the plain form does, also of equal logits, of ids that
// have no probability, and of rows with fewer ids than are asked for.
#include "tests/kernels/random_tensors.h"

namespace drover {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity(), kNoNumber = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kRows = 16;

class ScoreParity : public OpsParity {
 protected:
  static std::vector<RowScores> ScoresOf(Ops& ops, const Owned& logits, const std::vector<int32_t>& wanted, const std::vector<int32_t>& ids) {
    std::vector<TokenDraw> draws(wanted.size());
    for (size_t row = 0; row < wanted.size(); ++row) draws[row].scores = wanted[row];
    RowScores poison{.logprob = kNoNumber, .count = 77, .best = {}};
    std::ranges::fill(poison.best, TokenLogprob{-7, kNoNumber});
    std::vector<RowScores> scores(wanted.size(), poison);
    Owned copy = logits;
    ops.ScoreDrawn(copy.tensor, draws, ids, scores);
    ExpectSameBits(copy.values, logits.values, "the logits themselves");
    return scores;
  }

  static void ExpectSame(const RowScores& found, const RowScores& expected, const std::string& what) {
    ASSERT_EQ(found.count, expected.count) << what;
    if (expected.count < 0) return;
    const auto near = [](float a, float b) { return a == b || std::abs(a - b) <= 1e-6f * std::max(1.0f, std::abs(b)); };
    EXPECT_TRUE(near(found.logprob, expected.logprob)) << what << ": " << found.logprob << ", expected " << expected.logprob;
    for (int32_t i = 0; i < expected.count; ++i) {
      EXPECT_EQ(found.best[i].id, expected.best[i].id) << what << ", place " << i;
      EXPECT_TRUE(near(found.best[i].logprob, expected.best[i].logprob)) << what << ", place " << i << ": " << found.best[i].logprob;
    }
  }
};

// Some rows with logits that are equal, zeros of both signs among them, and some with few ids that have a probability.
Owned Logits(int64_t vocab) {
  Owned logits = Random(kRows, vocab, static_cast<uint32_t>(vocab) + 9);
  for (float& value : logits.values) value *= 4;
  for (int64_t row = 0; row < kRows; row += 4)
    for (float& value : logits.tensor.row(row)) value = std::round(value / 4);
  for (int64_t row = 3; row < kRows; row += 5)
    for (int64_t id = 0; id < vocab; ++id)
      if (id % 50 != row % vocab % 50) logits.tensor.row(row)[static_cast<size_t>(id)] = kNever;
  return logits;
}

TEST_P(ScoreParity, TellWhatTheRowsSay) {
  std::mt19937 engine(RunSeed() + 6);
  constexpr int32_t kWanted[] = {-1, 0, 1, 2, 5, kScoresMax - 1, kScoresMax};
  for (const int64_t vocab : {1, 2, 31, 700}) {
    const Owned logits = Logits(vocab);
    std::vector<int32_t> wanted(kRows), ids(kRows);
    for (size_t row = 0; row < kRows; ++row) {
      wanted[row] = kWanted[engine() % std::size(kWanted)];
      ids[row] = engine() % 6 == 0 ? kNothingToDraw : static_cast<int32_t>(engine() % static_cast<uint64_t>(vocab));
    }
    const std::vector<RowScores> expected = ScoresOf(reference_, logits, wanted, ids), found = ScoresOf(*ops_, logits, wanted, ids);
    for (size_t row = 0; row < kRows; ++row) {
      const int32_t count = wanted[row] < 0 || ids[row] < 0 ? -1 : std::min(wanted[row], static_cast<int32_t>(vocab));
      EXPECT_EQ(expected[row].count, count);
      ExpectSame(found[row], expected[row], Cat("vocabulary ", vocab, ", row ", row));
    }
  }
}

TEST_P(ScoreParity, EqualOnesComeByAscendingId) {
  Owned logits(4, 900, -3);
  for (const size_t id : {899u, 512u, 5u}) logits.tensor.row(1)[id] = 2;
  for (size_t id = 0; id < 900; ++id) logits.tensor.row(2)[id] = id % 2 == 0 ? 0.0f : -0.0f;
  std::ranges::fill(logits.tensor.row(3), kNever);
  for (const size_t id : {700u, 30u}) logits.tensor.row(3)[id] = 1000;
  const std::vector<RowScores> scores = ScoresOf(*ops_, logits, {3, 5, kScoresMax, 4}, {899, 512, 0, 30});
  const auto ids = [&scores](size_t row) {
    std::vector<int32_t> found;
    for (int32_t i = 0; i < scores[row].count; ++i) found.push_back(scores[row].best[i].id);
    return found;
  };
  EXPECT_EQ(ids(0), (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(ids(1), (std::vector<int32_t>{5, 512, 899, 0, 1}));
  EXPECT_EQ(ids(3), (std::vector<int32_t>{30, 700, 0, 1}));
  for (int32_t i = 0; i < kScoresMax; ++i) EXPECT_EQ(scores[2].best[i].id, i);
  EXPECT_FLOAT_EQ(scores[0].logprob, std::log(1.0f / 900));
  EXPECT_FLOAT_EQ(scores[3].logprob, std::log(0.5f));
  EXPECT_EQ(scores[3].best[3].logprob, kNever);
}

TEST_P(ScoreParity, ARowsScoresDependOnNoOther) {
  const Owned logits = Logits(500);
  const std::vector<int32_t> wanted(kRows, 7), ids(kRows, 3);
  const std::vector<RowScores> all = ScoresOf(*ops_, logits, wanted, ids);
  for (int64_t row = 0; row < kRows; row += 5) {
    Owned one(1, 500, 0);
    std::ranges::copy(logits.tensor.row(row), one.values.begin());
    const RowScores alone = ScoresOf(*ops_, one, {7}, {3})[0], &found = all[static_cast<size_t>(row)];
    EXPECT_EQ(std::memcmp(&alone.logprob, &found.logprob, sizeof(float)), 0) << row;
    EXPECT_EQ(std::memcmp(alone.best, found.best, 7 * sizeof(TokenLogprob)), 0) << row;
  }
}

TEST_P(ScoreParity, NothingIsToldOfRowsThatAreNoNumbers) {
  Owned logits = Random(3, 70, 2);
  logits.tensor.row(0)[69] = kNoNumber;
  std::ranges::fill(logits.tensor.row(1), kNever);
  const std::vector<RowScores> scores = ScoresOf(*ops_, logits, {5, 5, 5}, {kNotFinite, kNothingToDraw, 3});
  EXPECT_EQ(scores[0].count, -1);
  EXPECT_EQ(scores[1].count, -1);
  EXPECT_EQ(scores[2].count, 5);
}

INSTANTIATE_TEST_SUITE_P(BackEnds, ScoreParity, testing::ValuesIn(BackEndsHere()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace drover
