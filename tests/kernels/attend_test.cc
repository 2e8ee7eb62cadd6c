// Paged attention: parity with the reference over head counts, windows, chunks, cuts of the heads and types of the cache;
// independence of the batch.
#include <algorithm>
#include <set>

#include "tests/kernels/paged_cases.h"

namespace drover {
namespace {

const AttendCase kCases[] = {
    {"one head", 1, 1, 0, 1, 0, 1, 0, 0, 4},          {"grouped", 64, 9, 0, 3, 0, 3, 0, 0, 16},
    {"odd size", 20, 3, 0, 1, 0, 3, 0, 0, 5},         {"cut inside a group", 12, 4, 4, 2, 1, 3, 0, 0, 7},
    {"eight to one", 48, 8, 0, 1, 0, 8, 0, 0, 16},    {"window", 24, 2, 0, 1, 0, 2, 16, 0, 5},
    {"window of one", 8, 2, 0, 2, 0, 1, 1, 0, 3},     {"chunk", 16, 5, 0, 1, 0, 5, 0, 16, 6},
    {"chunk and window", 16, 2, 0, 1, 0, 2, 9, 20, 6}, {"wide head", 128, 2, 2, 1, 1, 2, 0, 0, 16},
    {"sinks", 24, 3, 3, 1, 1, 3, 0, 0, 5, 0, true},   {"sinks and window", 16, 2, 0, 1, 0, 2, 3, 0, 6, 0, true},
    {"latent", 40, 3, 2, 1, 0, 9, 0, 0, 7, 32},       {"latent of odd size", 37, 5, 0, 1, 0, 5, 0, 0, 4, 21, true},
    {"soft cap", 24, 4, 0, 2, 0, 2, 16, 0, 5, 0, false, 2.0f}, {"alibi", 12, 3, 2, 3, 2, 1, 0, 0, 7, 0, false, 0, true},
    {"alibi in bf16", 12, 3, 2, 3, 2, 1, 0, 0, 7, 0, false, 0, true, true},
    {"heads of 64", 64, 8, 0, 2, 0, 4, 0, 0, 16},     {"heads of 128", 128, 6, 3, 2, 1, 3, 9, 0, 16},
    {"heads of 256", 256, 2, 0, 2, 0, 1, 0, 0, 16, 0, false, 5.0f},
    {"twelve to one", 16, 12, 0, 1, 0, 12, 0, 0, 8},
    {"heads of 80", 80, 5, 0, 5, 0, 1, 0, 0, 16},     {"heads of 144", 144, 2, 0, 1, 0, 2, 7, 0, 8},
    {"latent of many heads", 48, 70, 0, 1, 0, 70, 0, 0, 16, 32},
};

// Contexts that a back end may cut into parts; some with so many queries that it may not.
const struct {
  AttendCase c;
  Lengths lengths;
} kLongCases[] = {
    {{"long and grouped", 64, 8, 0, 2, 0, 4, 0, 0, 16}, {{1100, 1}, {703, 3}, {257, 1}, {256, 8}, {530, 20}}},
    {{"long and cut inside a group", 12, 4, 4, 2, 1, 3, 0, 0, 16}, {{1025, 5}, {20, 1}, {600, 9}}},
    {{"long window", 16, 2, 0, 1, 0, 2, 300, 0, 16}, {{1300, 2}, {510, 1}, {770, 12}}},
    {{"long chunk", 20, 3, 0, 1, 0, 3, 0, 400, 16}, {{1300, 1}, {805, 7}, {810, 15}}},
    {{"long with sinks and soft cap", 24, 3, 3, 1, 1, 3, 0, 0, 16, 0, true, 2.0f}, {{900, 2}, {600, 10}}},
    {{"long with alibi", 12, 3, 2, 3, 2, 1, 0, 0, 16, 0, false, 0, true}, {{900, 2}, {600, 10}}},
    {{"long with heads of 128", 128, 8, 0, 1, 0, 8, 0, 0, 16}, {{1030, 1}, {60, 1}, {600, 1}}},
    {{"long with heads of 128, each a KV head", 128, 2, 0, 2, 0, 1, 400, 0, 16}, {{1030, 1}, {60, 1}, {600, 1}}},
    {{"long latent", 576, 16, 0, 1, 0, 16, 0, 0, 16, 512}, {{1030, 1}, {60, 1}, {600, 9}}},
    {{"long prompts", 32, 4, 0, 2, 0, 2, 0, 0, 16}, {{200, 150}, {90, 65}, {64, 64}}},
    {{"wide values", 640, 2, 0, 1, 0, 2, 0, 0, 16}, {{600, 1}, {300, 9}}},
    {{"very long", 8, 1, 0, 1, 0, 1, 0, 0, 160}, {{20000, 2}, {16384, 1}, {16385, 1}}},
};

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};
constexpr double kTolerance = 4e-6;  // for both: all back ends read the same bf16 values, and compute in f32
constexpr double kLongTolerance = 2e-5;  // thousands of terms

std::string NameOf(const AttendCase& c, DType type) { return Cat(c.name, ", ", Name(type)); }

class AttendParity : public OpsParity {
 protected:
  const AttendPromise promise_ = AttendPromiseOf(GetParam());
  void ExpectReference(const AttendCase& c, DType type, const Lengths& lengths, double tolerance);
  void ExpectIndependence(const AttendCase& c, DType type, const Lengths& lengths);
};

void AttendParity::ExpectReference(const AttendCase& c, DType type, const Lengths& lengths, double tolerance) {
  const Paged paged = MakePaged(c, type, lengths);
  const int64_t rows = RowsOf(lengths);
  const Owned q = Random(rows, c.heads * c.head_dim, 7);
  Owned expected = Poisoned(rows, c.heads * ShapeOf(c).ValueDim()), found = expected;
  reference_.Attend(q.tensor, paged.sequences, paged.kv, ShapeOf(c), expected.tensor);
  ops_->Attend(q.tensor, paged.sequences, paged.kv, ShapeOf(c), found.tensor);
  ExpectClose(found, expected, std::max(tolerance, promise_.tolerance), NameOf(c, type));
}

void AttendParity::ExpectIndependence(const AttendCase& c, DType type, const Lengths& lengths) {
  const int64_t cols = c.heads * c.head_dim, values = c.heads * ShapeOf(c).ValueDim();
  const Paged paged = MakePaged(c, type, lengths);
  const int64_t rows_in_all = RowsOf(lengths);
  const Owned q = Random(rows_in_all, cols, 7);
  Owned together = Poisoned(rows_in_all, values);
  ops_->Attend(q.tensor, paged.sequences, paged.kv, ShapeOf(c), together.tensor);
  for (const SequenceRows& rows : paged.sequences) {
    for (const int64_t row : std::set<int64_t>{0, rows.rows / 2, rows.rows - 1}) {
      const SequenceRows one{0, 1, rows.position + row, rows.blocks};
      Owned y = Poisoned(1, values);
      alone_->Attend({q.tensor.data + (rows.first_row + row) * cols, 1, cols}, {&one, 1}, paged.kv, ShapeOf(c), y.tensor);
      const std::string name = Cat(NameOf(c, type), ", row ", rows.first_row + row);
      if (rows.rows <= promise_.same_bits) ExpectSameBits(y.values, together.tensor.row(rows.first_row + row), name);
      else ExpectClose(y, RowOf(together, rows.first_row + row), promise_.tolerance, name);
    }
  }
}

TEST_P(AttendParity, EveryCaseEqualsTheReference) {
  for (const AttendCase& c : kCases)
    for (const DType type : kTypes) ExpectReference(c, type, {{1, 1}, {37, 37}, {70, 1}, {45, 8}}, kTolerance);
}

TEST_P(AttendParity, LongContextsEqualTheReference) {
  for (const auto& [c, lengths] : kLongCases)
    for (const DType type : kTypes) ExpectReference(c, type, lengths, kLongTolerance);
}

TEST_P(AttendParity, AQuerysResultDependsOnNeitherBatchNorChunkNorThreads) {
  for (const AttendCase& c : kCases)
    for (const DType type : kTypes) ExpectIndependence(c, type, {{29, 29}, {70, 9}});
}

TEST_P(AttendParity, AQuerysResultInALongContextDependsOnNothingBesideIt) {
  for (const auto& [c, lengths] : kLongCases)
    for (const DType type : kTypes) ExpectIndependence(c, type, lengths);
}

TEST(ReferenceOps, ASinkTakesItsShareOfTheSoftmax) {
  Ops ops;
  const Owned q(1, 2, 0);
  std::vector<std::byte> keys = Cached(Owned(1, 2, 0).values, DType::kF32), values = Cached(Owned(1, 2, 1).values, DType::kF32);
  Owned y = Poisoned(1, 2);
  const std::vector<int32_t> blocks = {0};
  const std::vector<SequenceRows> sequences = {{0, 1, 0, blocks}};
  const std::vector<float> sinks = {std::log(3.0f)};
  AttentionShape shape{.heads = 1, .kv_heads = 1, .head_dim = 2, .sinks = sinks};
  ops.Attend(q.tensor, sequences, {keys.data(), values.data(), 1, 1, 2}, shape, y.tensor);
  EXPECT_NEAR(y.values[0], 0.25, 1e-6);  // one key of score 0 beside a sink of weight 3
}

TEST_P(AttendParity, AppendedKeysAreThoseThatAreRead) {
  const AttendCase c{"append", 6, 2, 0, 2, 0, 1, 0, 0, 3};
  for (const DType type : kTypes) {
    Paged paged = MakePaged(c, type, {{8, 8}});
    const Owned k = Random(8, 12, 8), v = Random(8, 12, 9), q = Random(8, 12, 10);
    ops_->AppendKv(k.tensor, v.tensor, paged.sequences, paged.kv);
    const auto bytes = static_cast<size_t>(12 * paged.kv.element_bytes());
    for (int64_t i = 0; i < 8; ++i) {
      const int64_t at = paged.kv.Offset(paged.blocks[0], i) * paged.kv.element_bytes();
      EXPECT_EQ(std::memcmp(paged.kv.keys + at, Cached(k.tensor.row(i), type).data(), bytes), 0) << NameOf(c, type) << ", key " << i;
      EXPECT_EQ(std::memcmp(paged.kv.values + at, Cached(v.tensor.row(i), type).data(), bytes), 0) << NameOf(c, type) << ", value " << i;
    }
    Owned y = Poisoned(8, 12);
    ops_->Attend(q.tensor, paged.sequences, paged.kv, ShapeOf(c), y.tensor);
    // The first position sees its own value alone.
    const std::vector<std::byte> own = Cached(v.tensor.row(0), type), found = Cached(y.tensor.row(0), type);
    EXPECT_EQ(std::memcmp(own.data(), found.data(), bytes), 0) << NameOf(c, type);
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, AttendParity, testing::ValuesIn(AttendBackEndsHere()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace drover
