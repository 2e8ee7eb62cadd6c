// Seeded tensors and weights, poisoned outputs and comparisons for the tests of kernels.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/make_ops.h"

namespace drover {

// A tensor that owns its memory.
struct Owned {
  Owned(int64_t rows, int64_t cols, float fill) : values(static_cast<size_t>(rows * cols), fill), tensor{values.data(), rows, cols} {}
  Owned(const Owned& other) : values(other.values), tensor{values.data(), other.tensor.rows, other.tensor.cols} {}
  std::vector<float> values;
  Tensor tensor;
};

// Added to every seed: 0, or another number in each run.
uint32_t RunSeed();

inline Owned Random(int64_t rows, int64_t cols, uint32_t seed) {
  Owned owned(rows, cols, 0);
  std::mt19937 engine(seed + RunSeed());
  std::normal_distribution<float> normal;
  for (float& value : owned.values) value = normal(engine);
  return owned;
}

// Whatever an operation forgets to write stays NaN and fails the comparison.
inline Owned Poisoned(int64_t rows, int64_t cols) { return {rows, cols, std::numeric_limits<float>::quiet_NaN()}; }

// Random storage of `stored` columns a row; the first `lead` belong to somebody else. Plain forms end without any room to spare.
inline PackedWeight RandomWeight(DType dtype, int64_t rows, int64_t cols, int64_t lead, uint32_t seed) {
  PackedWeight weight{dtype, rows, cols, lead, 0, {}};
  const DTypeInfo& info = Info(dtype);
  weight.row_bytes = weight.stored_cols() / info.values * info.bytes;
  weight.bytes = AlignedBytes(rows * weight.row_bytes);
  std::mt19937 engine(seed + RunSeed());
  std::normal_distribution<float> normal;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t block = 0; block < weight.stored_cols() / info.values; ++block) {
      std::byte* to = weight.row(r) + block * info.bytes;
      for (int64_t i = 0; i < info.bytes; ++i) to[i] = static_cast<std::byte>(engine());
      const float value = normal(engine);
      const uint16_t half = FloatToHalf(value / 8), other = FloatToHalf(normal(engine)), brain = FloatToBFloat16(value);
      const BlockHalves halves = HalvesOf(dtype);
      if (dtype == DType::kF32 || dtype == DType::kQ8_K) std::memcpy(to, &value, 4);
      if (dtype == DType::kBF16) std::memcpy(to, &brain, 2);
      if (dtype == DType::kF16) std::memcpy(to, &half, 2);
      if (dtype == DType::kMxfp4) to[0] = static_cast<std::byte>(110 + engine() % 20);
      if (halves.scale >= 0) std::memcpy(to + halves.scale, &half, 2);
      if (halves.minimum >= 0) std::memcpy(to + halves.minimum, &other, 2);
    }
  }
  return weight;
}

inline double LargestOf(const Owned& x) {
  double largest = 0;
  for (const float value : x.values) largest = std::max(largest, std::abs(static_cast<double>(value)));
  return largest;
}

// Errors are relative to the largest expected value, or to `scale` where that is larger.
inline void ExpectClose(const Owned& found, const Owned& expected, double tolerance, const std::string& what, double scale = 1e-6) {
  ASSERT_EQ(found.values.size(), expected.values.size()) << what;
  scale = std::max(scale, LargestOf(expected));
  for (size_t i = 0; i < found.values.size(); ++i) {
    const double error = std::abs(static_cast<double>(found.values[i]) - expected.values[i]) / scale;
    ASSERT_FALSE(!(error <= tolerance)) << what << ": value " << i << " is " << found.values[i] << ", expected " << expected.values[i];
  }
}

inline void ExpectSameBits(std::span<const float> a, std::span<const float> b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(a), std::as_bytes(b))) << what;
}

// The back ends that a test binary is about: cpu_back_ends.cc or cuda_back_ends.cc is linked into it.
std::vector<std::string> BackEndsHere();
// The same and those that differ in attention, or in Linear, alone.
std::vector<std::string> AttendBackEndsHere();
std::vector<std::string> LinearBackEndsHere();
// Over host memory. Null where the machine lacks what the back end needs.
std::unique_ptr<Ops> OpsOf(const std::string& back_end, int64_t threads);

// How close attention comes to the reference at least, and in sequences of how many rows a row's bits depend on it alone.
struct AttendPromise {
  double tolerance = 0;
  int64_t same_bits = 1 << 20;
};
AttendPromise AttendPromiseOf(const std::string& back_end);

// What Linear of a back end keeps to.
struct LinearPromise {
  double tolerance = 0;        // of relative errors; 0: that of f32
  int64_t same_bits = 1 << 20;  // up to so many tokens, a token's result does not depend on the others
};
LinearPromise PromiseOf(const std::string& back_end);

class OpsParity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (ops_ == nullptr) GTEST_SKIP() << "this machine has no " << GetParam();
  }

  Ops reference_;
  std::unique_ptr<Ops> ops_ = OpsOf(GetParam(), 3);
  std::unique_ptr<Ops> alone_ = OpsOf(GetParam(), 1);
};

// For back ends that differ in Linear.
class LinearOpsParity : public OpsParity {
 protected:
  // What errors of rounded values are relative to: of a few results alone, all may happen to be small.
  double ScaleOf(const PackedWeight& weight) {
    if (promise_.tolerance == 0) return 0;
    Owned y = Poisoned(50, weight.rows);
    reference_.Linear(weight, {}, Random(50, weight.cols, 4).tensor, y.tensor);
    return LargestOf(y);
  }

  const LinearPromise promise_ = PromiseOf(GetParam());
};

}  // namespace drover
