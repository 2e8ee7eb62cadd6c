// Uploads to a device whose stream lags behind the host: what is on its way is not overwritten by what comes after.
#include <gtest/gtest.h>

#include "kernels/cuda/device.h"
#include "tests/kernels/cuda_on_host/faults.h"

namespace drover {
namespace {

TEST(CudaMemory, UploadsArriveAsTheyWereHoweverLate) {
  cuda_on_host::MakeStreamsLate(std::chrono::microseconds(100));
  const auto device = CudaDevice::Open({});
  cuda_on_host::MakeStreamsLate(std::chrono::microseconds(-1));
  ASSERT_TRUE(device.ok()) << device.status();
  const auto memory = CudaMemory::Create(**device);
  ASSERT_TRUE(memory.ok()) << memory.status();
  constexpr int64_t kSizes[] = {100, 5000, 9 << 20, 64, 20 << 20, 1};  // more than the staging memory, in all
  std::vector<AlignedBytes> far;
  for (const int64_t size : kSizes) far.push_back(*(*memory)->Allocate(size));
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < far.size(); ++i) {
      std::vector<std::byte> near(static_cast<size_t>(kSizes[i]), static_cast<std::byte>(16 * round + static_cast<int>(i) + 1));
      (*memory)->Upload(near, far[i].data());
    }
    if (round == 1) {
      ASSERT_TRUE((*memory)->Finish().ok());
    }
    for (size_t i = 0; i < far.size(); ++i) {
      std::vector<std::byte> near(static_cast<size_t>(kSizes[i])), expected(near.size(), static_cast<std::byte>(16 * round + static_cast<int>(i) + 1));
      ASSERT_TRUE((*memory)->Download(far[i].data(), near).ok());
      EXPECT_TRUE(near == expected) << "round " << round << ", upload " << i;
    }
  }
}

}  // namespace
}  // namespace drover
