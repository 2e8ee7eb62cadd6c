// Philox against the published known answers of Random123 (kat_vectors, philox4x32 10).
#include "worker/philox.h"

#include <gtest/gtest.h>

#include <string>

namespace drover {
namespace {

using Words = std::array<uint32_t, 4>;

struct KnownAnswer {
  std::string name;
  Words counter;
  std::array<uint32_t, 2> key;
  Words bits;
};

TEST(PhiloxTest, GivesThePublishedAnswers) {
  const KnownAnswer cases[] = {
      {"zeros", {0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {"ones", {~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {"pi", {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const KnownAnswer& c : cases) EXPECT_EQ(Philox4x32(c.counter, c.key), c.bits) << c.name;
}

TEST(PhiloxTest, UniformUsesTheFirstTwoWords) {
  const uint64_t bits = (uint64_t{0xe169c58d} << 32 | 0x6627e8d5) >> 11;
  EXPECT_EQ(UniformAt(0, 0), static_cast<double>(bits) / 9007199254740992.0);
  EXPECT_NE(UniformAt(0, 1), UniformAt(1, 0));
  EXPECT_NE(UniformAt(uint64_t{1} << 32, 0), UniformAt(1, 0));
}

TEST(PhiloxTest, UniformIsEven) {
  int64_t bins[10] = {};
  for (uint64_t i = 0; i < 100'000; ++i) {
    const double u = UniformAt(7, i);
    ASSERT_TRUE(u >= 0 && u < 1);
    ++bins[static_cast<int>(u * 10)];
  }
  double chi_square = 0;
  for (const int64_t n : bins) chi_square += static_cast<double>((n - 10'000) * (n - 10'000)) / 10'000;
  EXPECT_LT(chi_square, 27.88);  // 9 degrees of freedom, p = 0.001
}

}  // namespace
}  // namespace drover
