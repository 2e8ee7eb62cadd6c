// NcclCommunicator over the stand-ins for NCCL and CUDA: the conformance suite, and everything that goes wrong between ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <ctime>

#include "tests/kernels/cuda_on_host/faults.h"
#include "tests/worker/comm_conformance.h"
#include "tests/worker/device_ranks.h"
#include "worker/comm/nccl_communicator.h"

namespace drover {
namespace {

using testing::HasSubstr;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using nccl_on_host::CountsNow;
using nccl_on_host::SetFaults;

constexpr auto kLong = std::chrono::minutes(1);

class NcclTest : public testing::Test {
 protected:
  void SetUp() override { nccl_on_host::ClearFaults(); }
  // The rules of NCCL: one thread, nothing while in progress, every communicator ended.
  void TearDown() override {
    EXPECT_EQ(CountsNow().living, 0);
    EXPECT_EQ(CountsNow().foreign_calls, 0);
    EXPECT_EQ(CountsNow().early_calls, 0);
    cuda_on_host::MakeStreamsLate(std::chrono::microseconds(-1));
  }

  static std::string NewMeeting() { return *NcclCommunicator::MakeMeeting(); }
  static absl::StatusOr<std::unique_ptr<Communicator>> Join(DeviceRank& rank, int64_t ranks, const std::string& meeting,
                                                            std::chrono::nanoseconds limit = kLong) {
    return NcclCommunicator::Join(meeting, *rank.device, {.rank = rank.rank, .ranks = ranks}, Clock::now() + limit);
  }
};

class NcclRanks : public NcclTest, public testing::WithParamInterface<int64_t> {};

TEST_P(NcclRanks, PassEveryCheck) {
  const std::string meeting = NewMeeting();
  const auto statuses = OnDevices(GetParam(), [&](DeviceRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, GetParam(), meeting));
    NearCommunicator near(*comm, *rank.memory);
    for (const CommCheck& check : CommChecks(SumOrder::kAny)) {
      near.SetDeadline(Clock::now() + kLong);
      DROVER_RETURN_IF_ERROR(Annotate(check.run(near), check.name));
    }
    return absl::OkStatus();
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(CountsNow().aborted, 0) << "an orderly end destroys";
}

TEST_P(NcclRanks, QueueManyCallsAndWaitOnce) {
  cuda_on_host::MakeStreamsLate(std::chrono::microseconds(50));
  const std::string meeting = NewMeeting();
  const int64_t ranks = GetParam();
  const auto statuses = OnDevices(ranks, [&](DeviceRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, ranks, meeting));
    DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Filled(33, 1));
    DROVER_ASSIGN_OR_RETURN(AlignedBytes all, rank.Filled(33 * ranks, -1));
    for (int i = 0; i < 8; ++i) DROVER_RETURN_IF_ERROR(comm->AllReduceSum(Floats(x)));
    DROVER_RETURN_IF_ERROR(comm->AllGather(Floats(x), std::vector<int64_t>(static_cast<size_t>(ranks), 33), Floats(all)));
    DROVER_ASSIGN_OR_RETURN(const std::vector<float> sums, rank.Fetch(all));
    const float expected = std::pow(static_cast<float>(ranks), 8.0f);
    for (const float sum : sums)
      if (sum != expected) return Internal("found ", sum, ", expected ", expected);
    return absl::OkStatus();
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

INSTANTIATE_TEST_SUITE_P(Ranks, NcclRanks, testing::Values(1, 2, 3, 4), testing::PrintToStringParamName());

TEST_F(NcclTest, TwoGroupsOnTheSameDevicesDoNotMix) {
  const std::string one = NewMeeting(), two = NewMeeting();
  const auto statuses = OnDevices(3, [&](DeviceRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto first, Join(rank, 3, one));
    DROVER_ASSIGN_OR_RETURN(const auto second, Join(rank, 3, two));
    DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Filled(5, 1));
    DROVER_ASSIGN_OR_RETURN(AlignedBytes y, rank.Filled(5, 2));
    for (int i = 0; i < 4; ++i) {
      DROVER_RETURN_IF_ERROR(first->AllReduceSum(Floats(x)));
      DROVER_RETURN_IF_ERROR(second->AllReduceSum(Floats(y)));
    }
    DROVER_ASSIGN_OR_RETURN(const std::vector<float> xs, rank.Fetch(x));
    DROVER_ASSIGN_OR_RETURN(const std::vector<float> ys, rank.Fetch(y));
    return xs[4] == 81 && ys[0] == 162 ? absl::OkStatus() : Internal("found ", xs[4], " and ", ys[0]);
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

TEST_F(NcclTest, ARankThatNeverJoinsIsADeadlineNotAHang) {
  const std::string meeting = NewMeeting();
  const auto statuses = OnDevices(2, [&](DeviceRank& rank) { return Join(rank, 3, meeting, milliseconds(100)).status(); });
  for (const absl::Status& status : statuses) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(Message(status), HasSubstr("joining on rank"));
  }
  EXPECT_EQ(CountsNow().aborted, 2);
}

TEST_F(NcclTest, AnInitThatStaysInProgressIsADeadline) {
  SetFaults(0, {.never_made = true});
  const std::string meeting = NewMeeting();
  const auto statuses = OnDevices(1, [&](DeviceRank& rank) { return Join(rank, 1, meeting, milliseconds(50)).status(); });
  EXPECT_EQ(statuses[0].code(), absl::StatusCode::kDeadlineExceeded) << statuses[0];
}

// The last of the ranks joins, and makes no call: `after` runs on the others, which have queued a sum that waits for it.
void WithASilentRank(int64_t ranks, const std::string& meeting, const std::function<absl::Status(DeviceRank&, Communicator&)>& after) {
  std::atomic<int64_t> done = 0;
  const auto statuses = OnDevices(ranks, [&](DeviceRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto comm,
                            NcclCommunicator::Join(meeting, *rank.device, {.rank = rank.rank, .ranks = ranks}, Clock::now() + kLong));
    if (rank.rank + 1 == ranks) {
      while (done + 1 < ranks) std::this_thread::sleep_for(milliseconds(1));
      return absl::OkStatus();
    }
    absl::Status status = absl::UnknownError("no memory");
    if (absl::StatusOr<AlignedBytes> x = rank.Filled(100, 1); x.ok()) {
      status = comm->AllReduceSum(Floats(*x));
      if (status.ok()) status = after(rank, *comm);
    }
    ++done;
    return status;
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

absl::Status Expect(const absl::Status& found, absl::StatusCode code, const std::string& text) {
  if (found.code() == code && Message(found).find(text) != std::string::npos) return absl::OkStatus();
  return Internal("found ", found.ToString(), ", expected code ", code, " and ", text);
}

TEST_F(NcclTest, ASilentRankIsADeadlineThatNamesCallAndRank) {
  WithASilentRank(3, NewMeeting(), [](DeviceRank& rank, Communicator& comm) -> absl::Status {
    comm.SetDeadline(Clock::now() + milliseconds(100));
    const std::string text = Cat("AllReduceSum on rank ", rank.rank, " of 3 (CUDA device ", rank.rank, ") or a call before it: not done by");
    DROVER_RETURN_IF_ERROR(Expect(rank.device->Finish(), absl::StatusCode::kDeadlineExceeded, text));
    std::byte byte{};
    return Expect(comm.Broadcast({&byte, 1}, 0), absl::StatusCode::kDeadlineExceeded, text);  // dead, for the same reason
  });
}

TEST_F(NcclTest, AnUploadThatWaitsForASilentRankEndsByTheDeadline) {
  WithASilentRank(2, NewMeeting(), [](DeviceRank& rank, Communicator& comm) -> absl::Status {
    comm.SetDeadline(Clock::now() + milliseconds(100));
    const std::vector<std::byte> much(40 << 20);
    DROVER_ASSIGN_OR_RETURN(AlignedBytes there, rank.memory->Allocate(40 << 20));
    rank.memory->Upload(much, there.data());
    return Expect(rank.device->Finish(), absl::StatusCode::kDeadlineExceeded, "AllReduceSum");
  });
}

TEST_F(NcclTest, AnErrorOfNcclEndsTheWait) {
  WithASilentRank(3, NewMeeting(), [](DeviceRank& rank, Communicator& comm) -> absl::Status {
    SetFaults(static_cast<int>(rank.rank), {.state = ncclRemoteError});
    const std::string text = Cat("AllReduceSum on rank ", rank.rank, " of 3 (CUDA device ", rank.rank, "): NCCL: remote process exited");
    DROVER_RETURN_IF_ERROR(Expect(rank.device->Finish(), absl::StatusCode::kUnavailable, text));
    return Expect(comm.Split(3).status(), absl::StatusCode::kUnavailable, text);
  });
}

// The stream is idle, yet what NCCL left there is worth nothing.
TEST_F(NcclTest, AnErrorOfNcclIsHeardWhenNothingIsWaitedFor) {
  const std::string meeting = NewMeeting();
  const auto statuses = OnDevices(1, [&](DeviceRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, 1, meeting));
    DROVER_RETURN_IF_ERROR(rank.device->Finish());
    SetFaults(0, {.state = ncclSystemError});
    return Expect(rank.device->Finish(), absl::StatusCode::kUnavailable, "NCCL: stand-in");
  });
  EXPECT_TRUE(statuses[0].ok()) << statuses[0];
}

TEST_F(NcclTest, AbortByAnotherThreadEndsTheWait) {
  WithASilentRank(2, NewMeeting(), [](DeviceRank& rank, Communicator& comm) -> absl::Status {
    std::thread aborter([&comm] {
      std::this_thread::sleep_for(milliseconds(30));
      comm.Abort();
    });
    const absl::Status found = rank.device->Finish();
    aborter.join();
    return Expect(found, absl::StatusCode::kAborted, "AllReduceSum on rank 0 of 2");
  });
  EXPECT_EQ(CountsNow().aborted, 1);
}

TEST_F(NcclTest, WaitingForLongLeavesTheCoreToOthers) {
  WithASilentRank(2, NewMeeting(), [](DeviceRank& rank, Communicator& comm) -> absl::Status {
    comm.SetDeadline(Clock::now() + milliseconds(500));
    timespec before{}, after{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    rank.device->Finish().IgnoreError();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    const double used = static_cast<double>(after.tv_sec - before.tv_sec) + static_cast<double>(after.tv_nsec - before.tv_nsec) / 1e9;
    return used < 0.25 ? absl::OkStatus() : Internal("found ", used, " s of processor time in 0.5 s");
  });
}

TEST_F(NcclTest, AFailedGroupCallEndsTheCommunicator) {
  const std::string meeting = NewMeeting();
  const auto statuses = OnDevices(2, [&](DeviceRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, 2, meeting));
    DROVER_ASSIGN_OR_RETURN(AlignedBytes send, rank.Filled(4, 1));
    DROVER_ASSIGN_OR_RETURN(AlignedBytes receive, rank.Filled(4, 1));
    SetFaults(static_cast<int>(rank.rank), {.group_fails = true});
    const std::vector<int64_t> counts = {2, 2};
    const absl::Status found = comm->AllToAll(Floats(send), counts, Floats(receive), counts);
    SetFaults(static_cast<int>(rank.rank), {});
    DROVER_RETURN_IF_ERROR(Expect(found, absl::StatusCode::kUnavailable, Cat("AllToAll on rank ", rank.rank)));
    return Expect(comm->AllReduceSum(Floats(send)), absl::StatusCode::kUnavailable, "AllToAll");
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

TEST_F(NcclTest, AnAbortThatDoesNotReturnIsReported) {
  SetFaults(0, {.abort_takes = milliseconds(300)});
  const std::string meeting = NewMeeting();
  std::atomic<int> wedged = 0;
  const auto statuses = OnDevices(1, [&](DeviceRank& rank) -> absl::Status {
    const NcclSettings settings{.end_limit = milliseconds(50), .wedged = [&wedged](const std::string& what) {
                                  EXPECT_THAT(what, HasSubstr("aborting NCCL after joining on rank 0 of 2"));
                                  ++wedged;
                                }};
    NcclSettings two = settings;
    two.ranks = 2;
    return NcclCommunicator::Join(meeting, *rank.device, two, Clock::now() + milliseconds(20)).status();
  });
  EXPECT_EQ(statuses[0].code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(wedged, 1);
}

TEST_F(NcclTest, ADeadlineCountsOnlyWhileOthersAreWaitedFor) {
  const std::string meeting = NewMeeting();
  const auto statuses = OnDevices(2, [&](DeviceRank& rank) -> absl::Status {
    cuda_on_host::MakeStreamsLate(std::chrono::microseconds(200));
    DeviceRank late{.rank = rank.rank};
    DROVER_RETURN_IF_ERROR(late.Open(static_cast<int>(rank.rank)));
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(late, 2, meeting));
    comm->SetDeadline(Clock::now() - milliseconds(1));
    const std::vector<std::byte> much(40 << 20);  // as weights do, long after ranks have met
    DROVER_ASSIGN_OR_RETURN(AlignedBytes there, late.memory->Allocate(40 << 20));
    late.memory->Upload(much, there.data());
    return late.device->Finish();
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

// A rank dies: the others notice, keep what is on their devices, and meet again with the one that takes its place.
TEST_F(NcclTest, SurvivorsMeetAgainUnderANewIdAndNeverUnderTheOld) {
  const std::string old = NewMeeting(), fresh = NewMeeting();
  std::atomic<int> failed = 0;
  const auto statuses = OnDevices(3, [&](DeviceRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(AlignedBytes weights, rank.Filled(1000, static_cast<float>(rank.rank + 1)));
    {
      DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, 3, old));
      DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Filled(10, 1));
      if (rank.rank != 2) {
        comm->SetDeadline(Clock::now() + milliseconds(50));
        DROVER_RETURN_IF_ERROR(comm->AllReduceSum(Floats(x)));
        DROVER_RETURN_IF_ERROR(Expect(rank.device->Finish(), absl::StatusCode::kDeadlineExceeded, "AllReduceSum"));
        ++failed;
      }
      while (failed < 2) std::this_thread::sleep_for(milliseconds(1));
    }
    DROVER_RETURN_IF_ERROR(Expect(Join(rank, 3, old, milliseconds(50)).status(), absl::StatusCode::kDeadlineExceeded, "joining"));
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, 3, fresh));
    DROVER_RETURN_IF_ERROR(comm->AllReduceSum(Floats(weights)));
    DROVER_ASSIGN_OR_RETURN(const std::vector<float> sums, rank.Fetch(weights));
    return sums[999] == 6 ? absl::OkStatus() : Internal("found ", sums[999], ", expected 6");
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

TEST_F(NcclTest, RunsDieWithTheWhole) {
  const std::string meeting = NewMeeting();
  const auto statuses = OnDevices(4, [&](DeviceRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, 4, meeting));
    DROVER_ASSIGN_OR_RETURN(const auto run, comm->Split(2));
    DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Filled(10, 1));
    DROVER_RETURN_IF_ERROR(run->AllReduceSum(Floats(x)));
    DROVER_RETURN_IF_ERROR(rank.device->Finish());
    run->Abort();
    DROVER_RETURN_IF_ERROR(Expect(run->AllReduceSum(Floats(x)), absl::StatusCode::kAborted, "the group was aborted"));
    return Expect(comm->AllReduceSum(Floats(x)), absl::StatusCode::kAborted, "the group was aborted");
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(CountsNow().aborted, 8);
}

TEST_F(NcclTest, AMeetingThatIsNoIdIsRefused) {
  const auto statuses = OnDevices(1, [&](DeviceRank& rank) { return Join(rank, 1, "somewhere").status(); });
  EXPECT_EQ(Message(statuses[0]), "meeting: found 9 bytes, expected the 128 of an NCCL id");
  EXPECT_EQ(NcclCommunicator::Version(), "2.28.9");
}

}  // namespace
}  // namespace drover
