// Drawing tokens: every back end draws what the plain rule draws, also from equal logits, short rows and rows that cannot be drawn
// from, and edits and masks logits to the bit as the host does.
#include <numeric>

#include "tests/kernels/random_tensors.h"

namespace drover {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNever = -kInf, kNoNumber = std::numeric_limits<float>::quiet_NaN();

class DrawParity : public OpsParity {
 protected:
  // One token for each row of a copy of the logits, which come back edited.
  struct Result {
    std::vector<int32_t> ids;
    Owned logits;
  };
  static Result DrawFrom(Ops& ops, const Owned& logits, const std::vector<TokenDraw>& draws) {
    Result result{std::vector<int32_t>(draws.size(), -7), logits};
    ops.Draw(result.logits.tensor, draws, result.ids);
    return result;
  }
  // How many rows have another id than the plain rule's.
  int Differing(const Owned& logits, const std::vector<TokenDraw>& draws) {
    const Result expected = DrawFrom(reference_, logits, draws), found = DrawFrom(*ops_, logits, draws);
    EXPECT_EQ(std::memcmp(found.logits.values.data(), expected.logits.values.data(), expected.logits.values.size() * sizeof(float)), 0)
        << "edited logits differ, vocabulary " << logits.tensor.cols;
    int differ = 0;
    for (size_t row = 0; row < draws.size(); ++row) {
      if (found.ids[row] == expected.ids[row]) continue;
      ++differ;
      std::printf("vocabulary %d, row %d: drew %d, expected %d\n", static_cast<int>(logits.tensor.cols), static_cast<int>(row), found.ids[row],
                  expected.ids[row]);
    }
    return differ;
  }
};

std::vector<TokenDraw> Draws(std::mt19937& engine, size_t count) {
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
  std::vector<TokenDraw> draws(count);
  for (size_t i = 0; i < count; ++i) {
    draws[i].rule = kForms[i % std::size(kForms)];
    draws[i].rule.uniform = uniform(engine);
  }
  return draws;
}

constexpr int64_t kRows = 20;

// Some rows with logits that are equal, some with ids that may not be drawn.
Owned Logits(int64_t vocab) {
  Owned logits = Random(kRows, vocab, static_cast<uint32_t>(vocab));
  for (float& value : logits.values) value *= 4;
  for (int64_t row = 0; row < kRows; row += 7)
    for (float& value : logits.tensor.row(row)) value = std::round(value / 3);
  for (int64_t row = 3; row < kRows; row += 7)
    for (int64_t id = 0; id + 1 < vocab; id += 2) logits.tensor.row(row)[static_cast<size_t>(id)] = kNever;
  return logits;
}

// Of `count` ids, one of them outside the row; a third of the values is neutral.
std::vector<LogitEdit> Edits(std::mt19937& engine, int64_t vocab, int64_t count) {
  std::vector<int32_t> ids(static_cast<size_t>(vocab));
  std::iota(ids.begin(), ids.end(), 0);
  std::ranges::shuffle(ids, engine);
  ids.resize(static_cast<size_t>(count));
  ids.push_back(engine() % 2 == 0 ? -1 - static_cast<int32_t>(engine() % 3) : static_cast<int32_t>(vocab + engine() % 3));
  std::normal_distribution<float> normal;
  std::vector<LogitEdit> edits;
  for (const int32_t id : ids) {
    LogitEdit edit{.id = id};
    if (engine() % 3 != 0) edit.bias = 3 * normal(engine);
    if (engine() % 3 != 0) edit.repetition = std::exp(normal(engine));
    if (engine() % 3 != 0) edit.penalty = normal(engine);
    if (engine() % 8 == 0) edit.penalty = kInf;
    edits.push_back(edit);
  }
  return edits;
}

TEST_P(DrawParity, DrawsWhatTheRuleDraws) {
  std::mt19937 engine(RunSeed() + 1);
  int differ = 0;
  for (const int64_t vocab : {1, 2, 31, 700}) differ += Differing(Logits(vocab), Draws(engine, kRows));
  EXPECT_EQ(differ, 0);  // a device's weights have fewer digits: once in a million draws the next token
}

// From none to every id of the vocabulary, more than a block has threads.
TEST_P(DrawParity, DrawsFromEditedLogits) {
  std::mt19937 engine(RunSeed() + 2);
  int differ = 0;
  for (const int64_t vocab : {2, 700}) {
    std::vector<TokenDraw> draws = Draws(engine, kRows);
    std::vector<std::vector<LogitEdit>> edits;
    for (int64_t row = 0; row < kRows; ++row) edits.push_back(Edits(engine, vocab, row * vocab / (kRows - 1)));
    for (size_t row = 1; row < kRows; ++row) draws[row].edits = edits[row];
    differ += Differing(Logits(vocab), draws);
  }
  EXPECT_EQ(differ, 0);
}

// All ids but one are held back, or all of them; that one is the worst of the row.
TEST_P(DrawParity, EditsLeaveOneIdOrNone) {
  constexpr int32_t kVocab = 130, kOnly = 77;
  std::mt19937 engine(RunSeed() + 3);
  Owned logits = Random(kRows, kVocab, 5);
  std::vector<LogitEdit> all_but_one, all;
  for (int32_t id = 0; id < kVocab; ++id) {
    all.push_back({.id = id, .bias = 50, .penalty = kInf});
    if (id != kOnly) all_but_one.push_back(all.back());
  }
  std::vector<TokenDraw> draws = Draws(engine, kRows);
  for (int64_t row = 0; row < kRows; ++row) {
    logits.tensor.row(row)[kOnly] = -1000;
    draws[static_cast<size_t>(row)].edits = row % 2 == 0 ? all_but_one : all;
  }
  const Result found = DrawFrom(*ops_, logits, draws);
  for (size_t row = 0; row < kRows; ++row) EXPECT_EQ(found.ids[row], row % 2 == 0 ? kOnly : kNothingToDraw) << "row " << row;
}

using Words = std::vector<uint32_t>;

// Of so many words, that allows these ids alone.
Words MaskOf(int64_t words, std::initializer_list<int32_t> ids) {
  Words mask(static_cast<size_t>(words));
  for (const int32_t id : ids) mask[static_cast<size_t>(id / 32)] |= 1u << (id % 32);
  return mask;
}

// Of ids of which one in `one_in` is allowed, in fewer or more words than the vocabulary has; a few are empty, a few allow none.
Words RandomMask(std::mt19937& engine, int64_t vocab) {
  const uint32_t kind = engine() % 8, one_in = 1 + engine() % 20;
  const int64_t words = kind == 0 ? 0 : MaskWords(vocab) + (kind == 1 ? 3 : kind == 2 ? -1 : 0);
  Words mask(static_cast<size_t>(words));
  for (uint32_t& word : mask)
    for (int bit = 0; bit < 32 && kind != 3; ++bit) word |= (engine() % one_in == 0 ? 1u : 0u) << bit;
  return mask;
}

// With edits and without.
TEST_P(DrawParity, DrawsWhatAMaskAllows) {
  std::mt19937 engine(RunSeed() + 4);
  int differ = 0;
  for (const int64_t vocab : {1, 32, 33, 700}) {
    std::vector<TokenDraw> draws = Draws(engine, kRows);
    std::vector<Words> masks;
    std::vector<std::vector<LogitEdit>> edits;
    for (int64_t row = 0; row < kRows; ++row) masks.push_back(RandomMask(engine, vocab)), edits.push_back(Edits(engine, vocab, row % 3 * vocab / 2));
    for (size_t row = 0; row < kRows; ++row) draws[row].allowed = masks[row], draws[row].edits = edits[row];
    differ += Differing(Logits(vocab), draws);
  }
  EXPECT_EQ(differ, 0);
}

// By every rule: the worst of a row, where it alone is allowed, though others are lifted; none where the words allow none.
TEST_P(DrawParity, AMaskLeavesOneIdOrNone) {
  constexpr int64_t kVocab = 130, kWords = 5;
  std::mt19937 engine(RunSeed() + 5);
  const std::vector<LogitEdit> lifts = {{.id = 1, .bias = 500}, {.id = 30, .bias = 500}, {.id = 95, .bias = 500}};
  for (const int32_t only : {0, 31, 32, 127, 129}) {
    Owned logits = Random(kRows, kVocab, static_cast<uint32_t>(only));
    const Words alone = MaskOf(kWords, {only}), more = MaskOf(kWords + 2, {only, 130, 160, 200}), short_of_it = Words(static_cast<size_t>(only / 32), ~0u);
    const Words none(kWords, 0), beyond = MaskOf(kWords + 2, {130, 159, 161});
    const std::span<const uint32_t> masks[] = {alone, more, none, beyond};
    std::vector<TokenDraw> draws = Draws(engine, kRows);
    for (size_t row = 0; row < kRows; ++row) {
      logits.tensor.row(static_cast<int64_t>(row))[static_cast<size_t>(only)] = -1000;
      draws[row].allowed = masks[row / 2 % 4];
      if (row % 2 == 0) draws[row].edits = lifts;
    }
    logits.tensor.row(kRows - 1)[static_cast<size_t>(only)] = 1000;  // the best, and the words end before it
    draws.back() = {.rule = {.temperature = 0}, .allowed = short_of_it};
    const Result found = DrawFrom(*ops_, logits, draws);
    for (size_t row = 0; row + 1 < kRows; ++row) EXPECT_EQ(found.ids[row], row / 2 % 4 < 2 ? only : kNothingToDraw) << "row " << row << ", id " << only;
    EXPECT_EQ(found.ids.back() < only / 32 * 32, only >= 32) << found.ids.back();
  }
}

TEST_P(DrawParity, TellsWhatCannotBeDrawnFrom) {
  Owned logits = Random(10, 70, 1);
  logits.tensor.row(0)[69] = kNoNumber;
  logits.tensor.row(1)[3] = kInf;
  std::ranges::fill(logits.tensor.row(2), kNever);
  std::ranges::fill(logits.tensor.row(3), 2.5f);
  logits.tensor.row(4)[8] = kInf;                    // held back: no number
  logits.tensor.row(5)[8] = 3e38f;                   // grows beyond all numbers
  std::ranges::fill(logits.tensor.row(6), kNever);   // stays so
  logits.tensor.row(7)[8] = kNoNumber;               // not allowed: no number all the same
  logits.tensor.row(8)[8] = kInf;
  logits.tensor.row(9)[8] = 3e38f;
  const std::vector<LogitEdit> holds = {{.id = 8, .penalty = kInf}}, grows = {{.id = 8, .repetition = 1e-3f}}, lifts = {{.id = 8, .bias = 100}};
  const Words mask = MaskOf(3, {5, 69});
  std::vector<TokenDraw> draws(10, {.rule = {.temperature = 0}});
  draws[4].edits = holds;
  draws[5].edits = grows;
  draws[6].edits = lifts;
  for (size_t row = 7; row < draws.size(); ++row) draws[row].allowed = mask;
  draws[9].edits = grows;
  EXPECT_EQ(DrawFrom(*ops_, logits, draws).ids, (std::vector<int32_t>{kNotFinite, kNotFinite, kNothingToDraw, 0, kNotFinite, kNotFinite,
                                                                      kNothingToDraw, kNotFinite, kNotFinite, kNotFinite}));
}

INSTANTIATE_TEST_SUITE_P(BackEnds, DrawParity, testing::ValuesIn(BackEndsHere()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace drover
