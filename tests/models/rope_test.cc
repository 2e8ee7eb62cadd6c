// Inverse frequencies against the reference library's (transformers 5.23, printed from its rope functions in f32).
#include <gtest/gtest.h>

#include "models/spec.h"

namespace drover {
namespace {

struct Case {
  const char* name;
  Rope rope;
  float factor;
  std::vector<float> expected;  // the first entries
  int64_t length = 0;
};

class RopeTables : public testing::TestWithParam<Case> {};

TEST_P(RopeTables, EqualTheReference) {
  const RopeTable table = MakeRopeTable(GetParam().rope, GetParam().length);
  EXPECT_FLOAT_EQ(table.factor, GetParam().factor);
  ASSERT_EQ(table.inverse_frequency.size(), static_cast<size_t>(GetParam().rope.pairs()));
  for (size_t i = 0; i < GetParam().expected.size(); ++i)
    EXPECT_NEAR(table.inverse_frequency[i] / GetParam().expected[i], 1, 3e-7) << i;
}

RopeScaling Llama3(double factor, double low, double high, double original) {
  return {.kind = RopeScalingKind::kLlama3, .factor = factor, .low_freq_factor = low, .high_freq_factor = high, .original_positions = original};
}

const Rope kDynamic{.dims = 12, .scaling = {.kind = RopeScalingKind::kDynamic, .factor = 2, .original_positions = 40}};
const Rope kLongrope{.dims = 12, .scaling = {.kind = RopeScalingKind::kLongrope, .factor = 8, .original_positions = 40,
                                             .short_factors = {1.0f, 1.0f, 1.1f, 1.15f, 1.2f, 1.25f},
                                             .long_factors = {1.05f, 1.2f, 1.7f, 2.5f, 4.0f, 6.5f}}};

INSTANTIATE_TEST_SUITE_P(All, RopeTables, testing::Values(
    Case{"DynamicUpToItsLength", kDynamic, 1,
         {1.0f, 0.2154434472322464f, 0.04641588404774666f, 0.009999999776482582f, 0.002154434332624078f, 0.00046415894757956266f}, 40},
    Case{"DynamicBeyond", kDynamic, 1,
         {1.0f, 0.21335136890411377f, 0.04551881179213524f, 0.009711502119898796f, 0.0020719622261822224f, 0.0004420561599545181f}, 41},
    Case{"DynamicFarBeyond", kDynamic, 1,
         {1.0f, 0.16584140062332153f, 0.027503373101353645f, 0.004561198875308037f, 0.000756435445509851f, 0.00012544837954919785f}, 94},
    Case{"LongropeShort", kLongrope, 1.250482096684044f,
         {1.0f, 0.2154434472322464f, 0.042196255177259445f, 0.008695651777088642f, 0.0017953618662431836f, 0.00037132715806365013f}, 40},
    Case{"LongropeLong", kLongrope, 1.250482096684044f,
         {0.9523810148239136f, 0.17953620851039886f, 0.027303459122776985f, 0.004000000189989805f, 0.0005386085831560194f, 7.140907109715044e-05f}, 41},
    Case{"Plain", {.dims = 8, .theta = 5e6}, 1, {1.0f, 0.02114742621779442f, 0.0004472136206459254f, 9.457416126679163e-06f}},
    Case{"Linear", {.dims = 12, .scaling = {.kind = RopeScalingKind::kLinear, .factor = 4}}, 1,
         {0.25f, 0.0538608618080616f, 0.011603971011936665f, 0.0024999999441206455f, 0.0005386085831560194f, 0.00011603973689489067f}},
    Case{"Yarn", {.dims = 12, .scaling = {.kind = RopeScalingKind::kYarn, .factor = 4, .original_positions = 32}}, 1.138629436111989f,
         {1.0f, 0.13465215265750885f, 0.011603971011936665f, 0.0024999999441206455f, 0.0005386085831560194f, 0.00011603973689489067f}},
    Case{"YarnNotTruncated",
         {.dims = 64, .theta = 150000, .scaling = {.kind = RopeScalingKind::kYarn, .factor = 32, .truncate = false, .original_positions = 4096}},
         1.3465735902799727f,
         {1.0f, 0.6890442967414856f, 0.4747820496559143f, 0.32714587450027466f, 0.22541800141334534f, 0.15532298386096954f,
          0.1070244237780571f, 0.07374456524848938f, 0.05081327259540558f, 0.031705696135759354f, 0.019334999844431877f,
          0.011592049151659012f, 0.006794959306716919f, 0.0038603590801358223f, 0.002093792660161853f, 0.00105260219424963f,
          0.0004564839182421565f, 0.00012931869423482567f, 3.830881178146228e-05f}},
    Case{"Llama3", {.dims = 12, .theta = 500000, .scaling = Llama3(8, 1, 4, 32)}, 1,
         {1.0f, 0.014030774123966694f, 0.0015749010490253568f, 0.00017677668074611574f, 1.9842507754219696e-05f, 2.2272474780038465e-06f}},
    Case{"Llama3WithoutBlend", {.dims = 16, .theta = 500000, .scaling = Llama3(16, 1, 1, 32)}, 1,
         {1.0f, 0.012120172381401062f, 0.002350376918911934f, 0.00045579156721942127f, 8.838834037305787e-05f}}),
    [](const auto& row) { return std::string(row.param.name); });

// Counts known for the published models: kept, blended and divided frequencies of the 64.
TEST(RopeTable, Llama31KeepsBlendsAndDivides) {
  const Rope plain{.dims = 128, .theta = 500000};
  Rope scaled = plain;
  scaled.scaling = Llama3(8, 1, 4, 8192);
  const RopeTable before = MakeRopeTable(plain), after = MakeRopeTable(scaled);
  int kept = 0, divided = 0;
  for (size_t i = 0; i < 64; ++i) {
    kept += after.inverse_frequency[i] == before.inverse_frequency[i] ? 1 : 0;
    divided += after.inverse_frequency[i] == before.inverse_frequency[i] / 8 ? 1 : 0;
  }
  EXPECT_EQ(kept, 29);
  EXPECT_EQ(divided, 29);
}

TEST(RopeTable, DivisorsDivide) {
  Rope rope{.dims = 4, .theta = 100};
  rope.scaling.kind = RopeScalingKind::kDivisors;
  rope.scaling.divisors = {1, 4};
  const RopeTable table = MakeRopeTable(rope);
  EXPECT_FLOAT_EQ(table.inverse_frequency[0], 1);
  EXPECT_FLOAT_EQ(table.inverse_frequency[1], 0.025f);
}

}  // namespace
}  // namespace drover
