// LoopbackCommunicator over the stand-in for CUDA: the bits of ThreadCommunicator, with streams that run beside each other and late.
#include <gtest/gtest.h>

#include "tests/kernels/cuda_on_host/faults.h"
#include "tests/worker/comm_conformance.h"
#include "tests/worker/loopback_ranks.h"
#include "worker/comm/loopback_sum.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct Case {
  int64_t ranks = 1, late_us = -1;
};

class LoopbackTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { cuda_on_host::MakeStreamsLate(std::chrono::microseconds(GetParam().late_us)); }
  void TearDown() override { cuda_on_host::MakeStreamsLate(std::chrono::microseconds(-1)); }
};

TEST_P(LoopbackTest, PassesEveryCheck) {
  const auto statuses = OnLoopback(GetParam().ranks, GetParam().ranks, [](DeviceRank& rank, Communicator& comm) -> absl::Status {
    NearCommunicator near(comm, *rank.memory);
    for (const CommCheck& check : CommChecks()) DROVER_RETURN_IF_ERROR(Annotate(check.run(near), check.name));
    return absl::OkStatus();
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

TEST_P(LoopbackTest, StreamsWaitForEachOtherInAChainOfCalls) {
  const int64_t ranks = GetParam().ranks;
  for (const int64_t count : {int64_t{10}, int64_t{5000}}) {  // summed by one rank, and by all
    const auto statuses =
        OnLoopback(ranks, ranks, [&](DeviceRank& rank, Communicator& comm) { return ChainOfCalls(rank, comm, count); });
    for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  }
}

TEST_P(LoopbackTest, AMissingPeerIsADeadlineForAll) {
  const auto statuses = OnLoopback(GetParam().ranks + 1, GetParam().ranks, [](DeviceRank& rank, Communicator& comm) -> absl::Status {
    comm.SetDeadline(Clock::now() + milliseconds(100));
    DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Filled(10, 1));
    const absl::Status found = comm.AllReduceSum(Floats(x));
    if (comm.Broadcast({x.data(), 4}, 0).ok()) return Internal("the group is not dead");
    return found;
  });
  for (const absl::Status& status : statuses) EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
}

TEST_P(LoopbackTest, AbortOfARunEndsEveryWait) {
  const int64_t ranks = GetParam().ranks;
  const auto statuses = OnLoopback(ranks + 1, ranks + 1, [ranks](DeviceRank& rank, Communicator& comm) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto run, comm.Split(1));
    DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Filled(10, 1));
    if (rank.rank < ranks) return comm.AllReduceSum(Floats(x));
    std::this_thread::sleep_for(milliseconds(30));
    run->Abort();
    return run->AllReduceSum(Floats(x));
  });
  for (const absl::Status& status : statuses) EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
}

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  return Cat(info.param.ranks, info.param.late_us < 0 ? "Prompt" : "Late");
}
INSTANTIATE_TEST_SUITE_P(Ranks, LoopbackTest,
                         testing::Values(Case{1}, Case{2}, Case{3}, Case{4}, Case{2, 20}, Case{3, 20}, Case{4, 20}), NameOf);

TEST(Loopback, CallsReturnBeforeTheDeviceIsDone) {
  cuda_on_host::MakeStreamsLate(milliseconds(20));
  const auto statuses = OnLoopback(2, 2, [](DeviceRank& rank, Communicator& comm) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Filled(10, 1));
    DROVER_RETURN_IF_ERROR(comm.AllReduceSum(Floats(x)));
    if (cudaStreamQuery(rank.device->stream()) != cudaErrorNotReady) return Internal("the host waited for the device");
    return rank.device->Finish();
  });
  cuda_on_host::MakeStreamsLate(std::chrono::microseconds(-1));
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

TEST(Loopback, ADeviceThatIsLateIsADeadline) {
  cuda_on_host::MakeStreamsLate(milliseconds(100));
  const auto statuses = OnLoopback(2, 2, [](DeviceRank& rank, Communicator& comm) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Filled(10, 1));
    DROVER_RETURN_IF_ERROR(comm.AllReduceSum(Floats(x)));
    comm.SetDeadline(Clock::now());
    return rank.device->Finish();
  });
  cuda_on_host::MakeStreamsLate(std::chrono::microseconds(-1));
  for (const absl::Status& status : statuses) EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
}

TEST(Loopback, TooManyRanksAreRefused) {
  std::vector<CudaDevice*> devices(kLoopbackRanksMax + 1, nullptr);
  EXPECT_EQ(Message(LoopbackCommunicator::MakeGroup(devices).status()), "loopback: found 17 ranks, expected 1 to 16");
}

}  // namespace
}  // namespace drover
