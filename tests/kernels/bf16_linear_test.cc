// Linear of CUDA in bf16: what is kept between calls is never stale, and what exceeds its bounds is computed all the same.
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device.h"
#include "kernels/unpack.h"
#include "tests/kernels/random_tensors.h"

namespace drover {
namespace {

constexpr int64_t kTokens = 12, kMany = 40, kCols = 40, kRows = 24;  // tokens of the own kernel and of the library

// Named by a back end as the parity tests are, so that one filter chooses all that CUDA is asked.
class Bf16Linear : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto ops = CudaOps::Create({.wait_for_each = true, .compute = CudaCompute::kBF16, .tokens = kMany, .cols = kCols});
    if (absl::IsUnavailable(ops.status())) GTEST_SKIP() << "this machine has no " << GetParam();
    ASSERT_TRUE(ops.ok()) << ops.status();
    ops_ = *std::move(ops);
    weight_ = Near(RandomWeight(DType::kBF16, kRows, kCols, 0, 1));
    x_ = Near(values_);
    y_ = Near(Poisoned(kTokens, kRows));
    other_ = Near(Poisoned(kTokens, kRows));
  }
  // A tensor of the device, in memory that ends with the test.
  Tensor Near(const Owned& values) {
    owned_.push_back(*ops_->memory().Allocate(static_cast<int64_t>(values.values.size() * sizeof(float))));
    ops_->memory().Upload(std::as_bytes(std::span(values.values)), owned_.back().data());
    return {reinterpret_cast<float*>(owned_.back().data()), values.tensor.rows, values.tensor.cols};
  }
  PackedWeight Near(const PackedWeight& weight) { return *CopyTo(weight, ops_->memory()); }
  Owned Far(Tensor x) {
    Owned values(x.rows, x.cols, 0);
    EXPECT_TRUE(ops_->memory().Download(std::as_bytes(x.all()).data(), std::as_writable_bytes(std::span(values.values))).ok());
    return values;
  }
  // Writes behind the back end's back, which nobody may but a test.
  static void Smuggle(const Owned& values, Tensor to) {
    cudaStream_t stream = nullptr;
    ASSERT_EQ(cudaSuccess, cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    const size_t bytes = values.values.size() * sizeof(float);
    EXPECT_EQ(cudaSuccess, cudaMemcpyAsync(to.data, values.values.data(), bytes, cudaMemcpyHostToDevice, stream));
    EXPECT_EQ(cudaSuccess, cudaStreamSynchronize(stream));
    cudaStreamDestroy(stream);
  }
  void Multiply(Tensor x, Tensor y) { ops_->Linear(weight_, {}, x, y); }
  // What a back end that keeps nothing makes of x. Its stream does not wait for what this one uploads.
  Owned Fresh(const Owned& x) {
    auto ops = CudaOps::Create({.compute = CudaCompute::kBF16, .tokens = kMany, .cols = kCols});
    const Tensor near = Near(x), y = Near(Poisoned(x.tensor.rows, kRows));
    EXPECT_TRUE(ops_->Finish().ok());
    (*ops)->Linear(weight_, {}, near, y);
    EXPECT_TRUE((*ops)->Finish().ok());
    return Far(y);
  }

  std::unique_ptr<CudaOps> ops_;
  std::vector<AlignedBytes> owned_;
  PackedWeight weight_;
  const Owned values_ = Random(kTokens, kCols, 5);
  Tensor x_, y_, other_;
};

// A weight's and the activations' values, rounded to bf16, multiplied exactly: [tokens, rows].
Owned ProductOfRounded(const PackedWeight& weight, const Owned& x) {
  Owned y(x.tensor.rows, weight.rows, 0);
  std::vector<float> row(static_cast<size_t>(weight.cols));
  const auto rounded = [](float value) { return static_cast<double>(BFloat16ToFloat(FloatToBFloat16(value))); };
  for (int64_t r = 0; r < weight.rows; ++r) {
    UnpackRow(weight, r, row);
    for (int64_t t = 0; t < x.tensor.rows; ++t) {
      double sum = 0;
      for (size_t c = 0; c < row.size(); ++c) sum += rounded(row[c]) * rounded(x.tensor.row(t)[c]);
      y.tensor.row(t)[static_cast<size_t>(r)] = static_cast<float>(sum);
    }
  }
  return y;
}

// Far closer than a product of values that were not rounded: nothing else was computed.
TEST_P(Bf16Linear, MultipliesRoundedValues) {
  for (const auto& [dtype, cols, lead] : {std::tuple{DType::kBF16, 40, 0}, {DType::kBF16, 37, 0}, {DType::kF32, 40, 0}, {DType::kF16, 31, 0},
                                          {DType::kQ4_0, 40, 0}, {DType::kQ4_1, 19, 9}, {DType::kQ6_K, 40, 200}}) {
    const PackedWeight weight = RandomWeight(dtype, kRows, cols, lead, 9);
    const PackedWeight near = Near(weight);
    for (const int64_t tokens : {int64_t{1}, int64_t{7}, kTokens, kMany}) {
      if (dtype == DType::kF32 && tokens <= CudaOps::kFewTokens) continue;  // as it is
      const Owned x = Random(tokens, cols, 10);
      const Tensor y = Near(Poisoned(tokens, kRows));
      ops_->Linear(near, {}, Near(x), y);
      ExpectClose(Far(y), ProductOfRounded(weight, x), 1e-5, Cat(Name(dtype), " ", cols, " lead ", lead, " tokens ", tokens));
    }
  }
}

TEST_P(Bf16Linear, OneRoundingServesConsecutiveCalls) {
  Multiply(x_, y_);
  const Owned once = Far(y_);  // a download is work of the device: the next call rounds again
  Multiply(x_, y_);
  const Owned changed = Random(kTokens, kCols, 6);
  Smuggle(changed, x_);
  Multiply(x_, other_);
  ExpectSameBits(Far(other_).values, once.values, "the activations as they were rounded first");
}

TEST_P(Bf16Linear, WhatIsKeptIsForgottenWithAnyOtherWork) {
  Owned doubled = values_;
  for (float& value : doubled.values) value *= 2;
  const Owned uploaded = Random(kTokens, kCols, 7);
  Multiply(x_, y_);
  ops_->Scale(2, x_);
  Multiply(x_, y_);
  ExpectSameBits(Far(y_).values, Fresh(doubled).values, "after an operation");
  Multiply(x_, y_);
  ops_->memory().Upload(std::as_bytes(std::span(uploaded.values)), reinterpret_cast<std::byte*>(x_.data));
  Multiply(x_, y_);
  ExpectSameBits(Far(y_).values, Fresh(uploaded).values, "after an upload");
  ops_->Scale(2, x_);
  Multiply({other_.data, 3, kCols}, {y_.data, 3, kRows});  // of few tokens, for which nothing is kept
  for (float& value : doubled.values) value = 2 * uploaded.values[static_cast<size_t>(&value - doubled.values.data())];
  Multiply(x_, y_);
  ExpectSameBits(Far(y_).values, Fresh(doubled).values, "after few tokens");
  Multiply(x_, y_);
  ops_->memory().Zero(std::as_writable_bytes(x_.all()));
  Multiply(x_, y_);
  for (const float value : Far(y_).values) ASSERT_EQ(value, 0);
}

TEST_P(Bf16Linear, ATensorOfOtherShapeIsRoundedAnew) {
  Tensor shorter = x_;
  shorter.rows = 10;
  Multiply(x_, y_);
  Multiply(shorter, {other_.data, 10, kRows});
  Multiply(x_, y_);
  ExpectSameBits(Far(y_).values, Fresh(values_).values, "12 tokens after 10");
}

TEST_P(Bf16Linear, WhatExceedsTheBoundsIsComputedInF32) {
  Ops reference;
  for (const auto& [tokens, cols] : {std::pair<int64_t, int64_t>{kMany + 1, kCols}, {9, 1000}}) {
    const PackedWeight weight = RandomWeight(DType::kQ8_0, kRows, cols, 0, 3);
    const Owned x = Random(tokens, cols, 8);
    Owned expected = Poisoned(tokens, kRows);
    reference.Linear(weight, {}, x.tensor, expected.tensor);
    const Tensor y = Near(Poisoned(tokens, kRows));
    const PackedWeight near = Near(weight);
    ops_->Linear(near, {}, Near(x), y);
    ExpectClose(Far(y), expected, 1e-4, Cat(tokens, " tokens, ", cols, " columns"));
  }
}

TEST_P(Bf16Linear, BoundsThatAreMissingAreNamed) {
  const absl::Status status = CudaOps::Create({.compute = CudaCompute::kBF16, .tokens = 4}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find("tokens, cols: found 4, 0"), std::string::npos) << status;
}

INSTANTIATE_TEST_SUITE_P(Isas, Bf16Linear, testing::Values("cuda"), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace drover
