// Drawing tokens: every back end draws what the plain rule draws, also from equal logits, short rows and rows that cannot be drawn from.
#include <limits>

#include "tests/kernels/random_tensors.h"

namespace drover {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

class DrawParity : public OpsParity {};

std::vector<DrawRule> Rules(std::mt19937& engine, size_t count) {
  std::uniform_real_distribution<double> uniform;
  constexpr DrawRule kForms[] = {{},
                                 {.temperature = 0},
                                 {.temperature = 0.7, .top_p = 0.9},
                                 {.temperature = 1.3, .top_k = 5},
                                 {.temperature = 0.5, .top_p = 0.5, .top_k = 20},
                                 {.temperature = 2, .min_p = 0.05},
                                 {.temperature = 1, .top_p = 0.999, .min_p = 0.3},
                                 {.temperature = 1, .top_k = 1},
                                 {.temperature = 1, .top_p = 1e-9},
                                 {.temperature = 100, .top_k = 100'000},
                                 {.temperature = 1e-40},
                                 {.temperature = 1e-300, .top_p = 0.5, .top_k = 3}};
  std::vector<DrawRule> rules(count);
  for (size_t i = 0; i < count; ++i) {
    rules[i] = kForms[i % std::size(kForms)];
    rules[i].uniform = uniform(engine);
  }
  return rules;
}

TEST_P(DrawParity, DrawsWhatTheRuleDraws) {
  std::mt19937 engine(RunSeed() + 1);
  int drawn = 0, differ = 0;
  for (const int64_t vocab : {1, 2, 31, 700}) {
    constexpr int64_t kRows = 20;
    Owned logits = Random(kRows, vocab, static_cast<uint32_t>(vocab));
    for (float& value : logits.values) value *= 4;
    for (int64_t row = 0; row < kRows; row += 7)  // logits that are equal, and ids that may not be drawn
      for (float& value : logits.tensor.row(row)) value = std::round(value / 3);
    for (int64_t row = 3; row < kRows; row += 7)
      for (int64_t id = 0; id + 1 < vocab; id += 2) logits.tensor.row(row)[static_cast<size_t>(id)] = kNever;
    const std::vector<DrawRule> rules = Rules(engine, kRows);
    std::vector<int32_t> expected(kRows), found(kRows, -7);
    reference_.Draw(logits.tensor, rules, expected);
    ops_->Draw(logits.tensor, rules, found);
    for (size_t row = 0; row < kRows; ++row) {
      ++drawn;
      if (found[row] == expected[row]) continue;
      ++differ;
      std::printf("vocabulary %d, row %d: drew %d, expected %d\n", static_cast<int>(vocab), static_cast<int>(row), found[row], expected[row]);
    }
  }
  EXPECT_EQ(differ, 0) << "of " << drawn;  // a device's weights have fewer digits: once in a million draws the next token
}

TEST_P(DrawParity, TellsWhatCannotBeDrawnFrom) {
  constexpr int64_t kVocab = 70;
  Owned logits = Random(4, kVocab, 1);
  logits.tensor.row(0)[69] = std::numeric_limits<float>::quiet_NaN();
  logits.tensor.row(1)[3] = std::numeric_limits<float>::infinity();
  std::ranges::fill(logits.tensor.row(2), kNever);
  std::ranges::fill(logits.tensor.row(3), 2.5f);
  const std::vector<DrawRule> rules(4, {.temperature = 0});
  std::vector<int32_t> found(4, -7);
  ops_->Draw(logits.tensor, rules, found);
  EXPECT_EQ(found, (std::vector<int32_t>{kNotFinite, kNotFinite, kNothingToDraw, 0}));
}

INSTANTIATE_TEST_SUITE_P(BackEnds, DrawParity, testing::ValuesIn(BackEndsHere()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace drover
