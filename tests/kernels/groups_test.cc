// Linear over codes with scales beside them: parity with the reference over group sizes, offsets, scale types, zeros and column
// orders; and the reference against values worked out by hand.
#include "kernels/unpack.h"
#include "tests/kernels/random_groups.h"

namespace drover {
namespace {

class GroupsParity : public LinearOpsParity {};

const GroupCase kCases[] = {
    {"fp8 a scale for all", DType::kF8E4M3, 9, 100, 9, 100},
    {"fp8 a scale a row", DType::kF8E4M3, 66, 54, 1, 54, 0, 0, DType::kBF16},
    {"fp8 blocks", DType::kF8E4M3, 200, 300, 128, 128},
    {"fp8 blocks cut inside", DType::kF8E4M3, 37, 210, 128, 128, 100, 77, DType::kBF16},
    {"int4 groups of 32", DType::kU4, 30, 96, 1, 32, 0, 0, DType::kBF16},
    {"int4 with zeros", DType::kU4, 7, 256, 1, 128, 0, 0, DType::kF16, true},
    {"int4 cut inside a group", DType::kU4, 5, 70, 1, 32, 0, 19, DType::kF16, true},
    {"int4 odd groups", DType::kU4, 6, 50, 1, 10, 0, 3, DType::kF32, true},
    {"int4 in any order", DType::kU4, 11, 128, 1, 32, 0, 0, DType::kF16, true, true},
    {"int4 in any order, one column", DType::kU4, 3, 1, 1, 32, 0, 0, DType::kF16, true, true},
    {"int8", DType::kU8, 13, 65, 1, 65, 0, 0, DType::kF16, true},
    {"int8 a scale for all", DType::kU8, 4, 31, 4, 31},
    {"four-bit floats", DType::kE2M1, 10, 160, 1, 32, 0, 0, DType::kE8M0},
    {"four-bit floats cut inside", DType::kE2M1, 10, 45, 1, 32, 0, 11, DType::kE8M0},
    {"nf4", DType::kNF4, 12, 192, 1, 64},
    {"nf4 cut inside", DType::kNF4, 12, 101, 1, 64, 0, 50},
    {"fp8 blocks, long", DType::kF8E4M3, 37, 1100, 128, 128, 100, 256},
    {"fp8 a scale a row, long", DType::kF8E4M3, 18, 1024, 1, 1024, 0, 0, DType::kBF16},
    {"int4, long", DType::kU4, 19, 1152, 1, 128, 0, 128, DType::kF16, true},
    {"int4 in any order, long", DType::kU4, 17, 1024, 1, 32, 0, 0, DType::kF16, true, true},
    {"four-bit floats, long", DType::kE2M1, 20, 1120, 1, 32, 0, 64, DType::kE8M0},
    {"nf4, long", DType::kNF4, 18, 1088, 1, 64},
};

TEST_P(GroupsParity, EveryFormEqualsTheReference) {
  for (const GroupCase& c : kCases) {
    const PackedWeight weight = RandomGroups(c);
    const double scale = ScaleOf(weight);
    for (const int64_t tokens : {1, 2, 3, 4, 7, 21, 65}) {
      const Owned x = Random(tokens, c.cols, 2);
      Owned expected = Poisoned(tokens, c.rows), found = Poisoned(tokens, c.rows);
      reference_.Linear(weight, {}, x.tensor, expected.tensor);
      ops_->Linear(weight, {}, x.tensor, found.tensor);
      const double f32 = 3e-6 * std::sqrt(static_cast<double>(c.cols));
      ExpectClose(found, expected, std::max(f32, promise_.tolerance), Cat(c.name, ", tokens ", tokens), scale);
    }
  }
}

TEST_P(GroupsParity, ATokensResultDependsOnNeitherBatchNorThreads) {
  for (const GroupCase& c : kCases) {
    const PackedWeight weight = RandomGroups(c);
    const int64_t most = std::min<int64_t>(65, promise_.same_bits);
    const Owned x = Random(most, c.cols, 2);
    Owned together = Poisoned(most, c.rows);
    ops_->Linear(weight, {}, x.tensor, together.tensor);
    for (const int64_t count : {int64_t{1}, int64_t{3}, int64_t{6}, most - 1}) {
      Owned part = Poisoned(count, c.rows);
      alone_->Linear(weight, {}, {x.tensor.data + c.cols, count, c.cols}, part.tensor);
      ExpectSameBits(part.values, std::span(together.values).subspan(static_cast<size_t>(c.rows), part.values.size()), c.name);
    }
  }
}

// Three heads of which each part of the rows is used, both ways.
TEST_P(GroupsParity, HeadsEqualTheReference) {
  for (GroupCase c : kCases) {
    c.rows = 30;
    if (c.group_rows == 9 || c.group_rows == 4) c.group_rows = 30;
    const PackedWeight weight = RandomGroups(c);
    const HeadRows part{.heads = 3, .stride = 10, .first = 3, .rows = 6};
    for (const int64_t tokens : {1, 5}) {
      const Owned x = Random(tokens, 3 * c.cols, 2), back = Random(tokens, 3 * 8, 4);
      Owned expected = Poisoned(tokens, 3 * 6), found = expected;
      reference_.HeadLinear(weight, part, x.tensor, expected.tensor);
      ops_->HeadLinear(weight, part, x.tensor, found.tensor);
      ExpectClose(found, expected, 3e-6 * std::sqrt(static_cast<double>(c.cols)), Cat(c.name, ", tokens ", tokens));
      Owned expected_back(tokens, 3 * (c.cols + 5), 0), found_back = expected_back;
      reference_.HeadLinearTransposed(weight, part, back.tensor, 2, expected_back.tensor);
      ops_->HeadLinearTransposed(weight, part, back.tensor, 2, found_back.tensor);
      ExpectClose(found_back, expected_back, 3e-6, Cat(c.name, " transposed, tokens ", tokens));
    }
  }
}

// Every code of 8-bit floats through the fast path: one row of 256 codes, the identity in pieces of one column.
TEST_P(GroupsParity, EightBitFloatsAreExact) {
  PackedWeight weight{DType::kF8E4M3, 256, 1, 0, 32, AlignedBytes(256 * 32), {}};
  std::memset(weight.bytes.data(), 0, 256 * 32);
  weight.groups = {256, 1};
  weight.groups.across = 1;
  weight.groups.scales = AlignedBytes(4);
  const float scale = 1;
  std::memcpy(weight.groups.scales.data(), &scale, 4);
  for (int code = 0; code < 256; ++code) weight.row(code)[0] = static_cast<std::byte>(code);
  const Owned x(1, 1, 1);
  Owned y = Poisoned(1, 256);
  ops_->Linear(weight, {}, x.tensor, y.tensor);
  for (int code = 0; code < 256; ++code) {
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    const double magnitude = exponent == 0 ? mantissa * 0x1p-9 : std::ldexp(8 + mantissa, exponent - 10);
    const float found = y.values[static_cast<size_t>(code)];
    if ((code & 127) == 127)
      EXPECT_TRUE(std::isnan(found)) << code;
    else
      EXPECT_EQ(found, static_cast<float>(code < 128 ? magnitude : -magnitude)) << code;
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, GroupsParity, testing::ValuesIn(LinearBackEndsHere()), [](const auto& test) { return test.param; });

TEST(UnpackGrouped, WorksOutByHand) {
  PackedWeight weight{DType::kU4, 1, 4, 0, 16, AlignedBytes(16), {}};
  std::memset(weight.bytes.data(), 0, 16);
  for (const auto& [col, code] : {std::pair{0, 15u}, {1, 0u}, {2, 9u}, {3, 4u}}) PutNibble(weight.row(0), col, code);
  weight.groups = {1, 2};
  weight.groups.across = 2;
  weight.groups.scales = AlignedBytes(8);
  const float scales[] = {0.5f, 2};
  std::memcpy(weight.groups.scales.data(), scales, 8);
  weight.groups.zeros = AlignedBytes(2);
  weight.groups.zeros.data()[0] = std::byte{8};
  weight.groups.zeros.data()[1] = std::byte{3};
  std::vector<float> values(4);
  UnpackRow(weight, 0, values);
  EXPECT_EQ(values, (std::vector<float>{3.5f, -4, 12, 2}));
  weight.groups.order = {2, 0, 3, 1};
  weight.groups.column_group = {0, 0, 1, 1};
  UnpackRow(weight, 0, values);
  EXPECT_EQ(values, (std::vector<float>{-4, 2, 3.5f, 12}));
}

}  // namespace
}  // namespace drover
