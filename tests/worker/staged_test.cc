// StagedCommunicator: ranks with devices that meet as threads of the host pass what every communicator must.
#include <gtest/gtest.h>

#include "tests/kernels/cuda_on_host/faults.h"
#include "tests/worker/comm_conformance.h"
#include "tests/worker/device_ranks.h"
#include "worker/comm/staged_communicator.h"
#include "worker/comm/thread_communicator.h"

namespace drover {
namespace {

class StagedComm : public testing::TestWithParam<int64_t> {
 protected:
  void TearDown() override { cuda_on_host::MakeStreamsLate(std::chrono::microseconds(-1)); }
  static void PassEveryCheck() {
    const auto hosts = ThreadCommunicator::MakeGroup(GetParam());
    const auto statuses = OnDevices(GetParam(), [&](DeviceRank& rank) -> absl::Status {
      StagedCommunicator staged(*hosts[static_cast<size_t>(rank.rank)], *rank.memory);
      NearCommunicator near(staged, *rank.memory);
      for (const CommCheck& check : CommChecks()) {
        near.SetDeadline(std::chrono::steady_clock::now() + std::chrono::minutes(1));
        DROVER_RETURN_IF_ERROR(Annotate(check.run(near), check.name));
      }
      return absl::OkStatus();
    });
    for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  }
};

TEST_P(StagedComm, PassesEveryCheck) { PassEveryCheck(); }

// What comes from a device is read when it is there.
TEST_P(StagedComm, PassesEveryCheckWithDevicesThatAreLate) {
  cuda_on_host::MakeStreamsLate(std::chrono::microseconds(20));
  PassEveryCheck();
}

INSTANTIATE_TEST_SUITE_P(Ranks, StagedComm, testing::Values(1, 2, 3, 4), testing::PrintToStringParamName());

}  // namespace
}  // namespace drover
