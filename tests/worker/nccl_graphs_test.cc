// Steps recorded with NCCL's calls, over the stand-ins for NCCL and CUDA: what is repeated, ranks that decide otherwise, ranks that die in
// the midst of it, and communicators that end after the graphs that hold their calls.
#include <gtest/gtest.h>
#include <nccl.h>

#include "tests/kernels/cuda_on_host/faults.h"
#include "tests/worker/recorded_sums.h"
#include "worker/comm/nccl_communicator.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using nccl_on_host::CountsNow;
using nccl_on_host::SetFaults;

constexpr auto kLong = std::chrono::minutes(1);
constexpr milliseconds kShort{300};

struct Case {
  int64_t ranks;
  int late_us = -1;  // below 0: streams that do all at once
};

class NcclGraphs : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    nccl_on_host::ClearFaults();
    cuda_on_host::MakeStreamsLate(std::chrono::microseconds(GetParam().late_us));
  }
  void TearDown() override {
    EXPECT_EQ(CountsNow().living, 0);
    EXPECT_EQ(CountsNow().foreign_calls, 0);
    EXPECT_EQ(CountsNow().early_calls, 0);
    EXPECT_EQ(CountsNow().ended_in_graphs, 0) << "NCCL would wait for ever";
    cuda_on_host::MakeStreamsLate(std::chrono::microseconds(-1));
    cuda_on_host::SetFaults({});
  }

  static absl::StatusOr<std::unique_ptr<Communicator>> Join(DeviceRank& rank, const std::string& meeting) {
    return NcclCommunicator::Join(meeting, *rank.device, {.rank = rank.rank, .ranks = GetParam().ranks}, Clock::now() + kLong);
  }
  // Runs `body` on every rank, with recordings that outlive its communicator.
  using Body = std::function<absl::Status(DeviceRank&, cuda::Recordings&, Communicator&)>;
  static std::vector<absl::Status> OnRanks(const Body& body) {
    const std::string meeting = *NcclCommunicator::MakeMeeting();
    return OnDevices(GetParam().ranks, [&](DeviceRank& rank) -> absl::Status {
      cuda::Recordings recordings(*rank.device);
      DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, meeting));
      return body(rank, recordings, *comm);
    });
  }
  // The body gets steps of which three of each shape are done.
  static std::vector<absl::Status> AfterReplays(const std::function<absl::Status(DeviceRank&, Communicator&, RecordedSums&)>& body) {
    return OnRanks([&](DeviceRank& rank, cuda::Recordings& recordings, Communicator& comm) -> absl::Status {
      DROVER_ASSIGN_OR_RETURN(RecordedSums sums, RecordedSums::Make(rank, recordings, comm));
      for (int64_t step = 0; step < 3 * RecordedSums::kShapes; ++step) DROVER_RETURN_IF_ERROR(sums.Step(step));
      return body(rank, comm, sums);
    });
  }
  static void ExpectOk(const std::vector<absl::Status>& statuses) {
    for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  }
  static absl::Status Expect(const absl::Status& found, absl::StatusCode code, const std::string& text) {
    if (found.code() == code && Message(found).find(text) != std::string::npos) return absl::OkStatus();
    return Internal("found ", found.ToString(), ", expected code ", code, " and ", text);
  }
};

TEST_P(NcclGraphs, RepeatWhatWasRecorded) {
  ExpectOk(OnRanks(ManyRecordedSums));
  EXPECT_EQ(CountsNow().aborted, 0) << "an orderly end destroys";
}

TEST_P(NcclGraphs, AreRecordedAnewInANewEpoch) {
  const std::string first = *NcclCommunicator::MakeMeeting(), second = *NcclCommunicator::MakeMeeting();
  ExpectOk(OnDevices(GetParam().ranks, [&](DeviceRank& rank) -> absl::Status {
    cuda::Recordings recordings(*rank.device);
    for (const std::string& meeting : {first, second}) {
      DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, meeting));
      DROVER_RETURN_IF_ERROR(ManyRecordedSums(rank, recordings, *comm));
    }
    return absl::OkStatus();
  }));
}

// As a rank whose rooms grew on its own would: what it does is no part of what the others repeat.
TEST_P(NcclGraphs, ARankThatDecidesOtherwiseIsADeadline) {
  ExpectOk(AfterReplays([](DeviceRank& rank, Communicator& comm, RecordedSums& sums) {
    comm.SetDeadline(Clock::now() + kShort);
    const bool odd = rank.rank + 1 == comm.size();
    const std::string where = Cat(" on rank ", rank.rank, " of ", comm.size(), " (CUDA device ", rank.rank, ")");
    return Expect(sums.Step(6, {1, odd ? 2 : 1}), absl::StatusCode::kDeadlineExceeded, Cat(odd ? "AllReduceSum" : "a recorded step", where));
  }));
}

// The last rank leaves after some steps; the others are in the midst of the next one, let go of it, and all meet again.
TEST_P(NcclGraphs, ARankThatDiesInAReplayIsADeadlineAndTheOthersGoOn) {
  const int64_t ranks = GetParam().ranks;
  const std::string first = *NcclCommunicator::MakeMeeting(), second = *NcclCommunicator::MakeMeeting();
  ExpectOk(OnDevices(ranks, [&](DeviceRank& rank) -> absl::Status {
    cuda::Recordings recordings(*rank.device);
    {
      DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, first));
      DROVER_ASSIGN_OR_RETURN(RecordedSums sums, RecordedSums::Make(rank, recordings, *comm));
      for (int64_t step = 0; step < 3 * RecordedSums::kShapes; ++step) DROVER_RETURN_IF_ERROR(sums.Step(step));
      if (rank.rank + 1 < ranks) {
        comm->SetDeadline(Clock::now() + kShort);
        const std::string text = Cat("a recorded step on rank ", rank.rank, " of ", ranks, " (CUDA device ", rank.rank, ") or a call before it: not done by");
        DROVER_RETURN_IF_ERROR(Expect(sums.Step(6), absl::StatusCode::kDeadlineExceeded, text));
        DROVER_RETURN_IF_ERROR(Expect(sums.Step(7), absl::StatusCode::kDeadlineExceeded, text));  // dead, for the same reason
      }
    }
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, second));
    return ManyRecordedSums(rank, recordings, *comm);
  }));
  EXPECT_EQ(CountsNow().aborted, ranks - 1);
}

TEST_P(NcclGraphs, AnErrorOfNcclEndsAReplay) {
  const int64_t ranks = GetParam().ranks;
  ExpectOk(AfterReplays([ranks](DeviceRank& rank, Communicator&, RecordedSums& sums) -> absl::Status {
    if (rank.rank + 1 == ranks) return absl::OkStatus();
    SetFaults(static_cast<int>(rank.rank), {.state = ncclRemoteError});
    return Expect(sums.Step(6), absl::StatusCode::kUnavailable, Cat("a recorded step on rank ", rank.rank));
  }));
}

TEST_P(NcclGraphs, AbortEndsAReplay) {
  const int64_t ranks = GetParam().ranks;
  ExpectOk(AfterReplays([ranks](DeviceRank& rank, Communicator& comm, RecordedSums& sums) -> absl::Status {
    if (rank.rank + 1 == ranks) return absl::OkStatus();
    std::thread aborter([&comm] {
      std::this_thread::sleep_for(milliseconds(30));
      comm.Abort();
    });
    const absl::Status found = sums.Step(6);
    aborter.join();
    return Expect(found, absl::StatusCode::kAborted, "a recorded step");
  }));
}

// Of the ranks one cannot record: it says so, and does not run the step as the others do not.
TEST_P(NcclGraphs, AStepThatOneRankCannotRecordIsItsError) {
  std::atomic<int> cannot = 0;
  ExpectOk(OnRanks([&](DeviceRank& rank, cuda::Recordings& recordings, Communicator& comm) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(RecordedSums sums, RecordedSums::Make(rank, recordings, comm));
    DROVER_RETURN_IF_ERROR(sums.Step(0));
    cuda_on_host::SetFaults({.capture = 1});  // all come here before one records, as the next step waits for all
    comm.SetDeadline(Clock::now() + kShort);
    const absl::Status found = sums.Step(2);
    if (found.code() == absl::StatusCode::kDeadlineExceeded) return absl::OkStatus();
    ++cannot;
    return Expect(found, absl::StatusCode::kInternal, "a step cannot be recorded, and other ranks record it: CUDA device");
  }));
  EXPECT_GE(cannot, 1);
}

// What is being recorded holds calls, too.
TEST_P(NcclGraphs, AnErrorWhileRecordingEndsTheRecordingFirst) {
  ExpectOk(OnRanks([](DeviceRank& rank, cuda::Recordings& recordings, Communicator& comm) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(RecordedSums sums, RecordedSums::Make(rank, recordings, comm));
    DROVER_RETURN_IF_ERROR(sums.Step(0));
    const auto fail = [&rank] { SetFaults(static_cast<int>(rank.rank), {.state = ncclSystemError}); };
    DROVER_RETURN_IF_ERROR(Expect(sums.Step(2, {1, 1}, fail), absl::StatusCode::kUnavailable, Cat("AllReduceSum on rank ", rank.rank)));
    cudaStreamCaptureStatus status{};
    cudaStreamIsCapturing(rank.device->stream(), &status);
    if (status != cudaStreamCaptureStatusNone) return Internal("the stream still records");
    return cudaStreamSynchronize(rank.device->stream()) == cudaSuccess ? absl::OkStatus() : Internal("the stream does not work");
  }));
}

// Nor does its end leave an error that the next epoch would take for one of its own.
TEST_P(NcclGraphs, ARecordingThatCannotBeEndedHarmsNoLaterEpoch) {
  const std::string first = *NcclCommunicator::MakeMeeting(), second = *NcclCommunicator::MakeMeeting();
  cuda_on_host::SetFaults({.capture = GetParam().ranks});
  ExpectOk(OnDevices(GetParam().ranks, [&](DeviceRank& rank) -> absl::Status {
    cuda::Recordings recordings(*rank.device);
    {
      DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, first));
      DROVER_ASSIGN_OR_RETURN(RecordedSums sums, RecordedSums::Make(rank, recordings, *comm));
      DROVER_RETURN_IF_ERROR(sums.Step(0));
      const auto fail = [&rank] { SetFaults(static_cast<int>(rank.rank), {.state = ncclSystemError}); };
      DROVER_RETURN_IF_ERROR(Expect(sums.Step(2, {1, 1}, fail), absl::StatusCode::kUnavailable, Cat("AllReduceSum on rank ", rank.rank)));
    }
    SetFaults(static_cast<int>(rank.rank), {});
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, second));
    return ManyRecordedSums(rank, recordings, *comm);
  }));
}

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  return Cat(info.param.ranks, info.param.late_us < 0 ? "Prompt" : "Late");
}
INSTANTIATE_TEST_SUITE_P(Ranks, NcclGraphs, testing::Values(Case{2}, Case{4}, Case{3, 20}, Case{4, 20}), NameOf);

}  // namespace
}  // namespace drover
