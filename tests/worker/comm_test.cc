// The conformance suite on one rank and on threads; missing peers and aborts.
#include <gtest/gtest.h>

#include <thread>

#include "tests/worker/comm_conformance.h"
#include "worker/comm/solo_communicator.h"
#include "worker/comm/thread_communicator.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;

// Runs `body` on every rank of a thread group; the statuses by rank.
std::vector<absl::Status> OnEveryRank(std::vector<std::unique_ptr<Communicator>>& group,
                                      const std::function<absl::Status(Communicator&)>& body) {
  std::vector<absl::Status> statuses(group.size());
  std::vector<std::thread> threads;
  for (size_t r = 0; r < group.size(); ++r) threads.emplace_back([&, r] { statuses[r] = body(*group[r]); });
  for (std::thread& thread : threads) thread.join();
  return statuses;
}

TEST(SoloCommunicator, PassesEveryCheck) {
  for (const CommCheck& check : CommChecks()) {
    SoloCommunicator solo;
    EXPECT_TRUE(check.run(solo).ok()) << check.name << ": " << check.run(solo);
  }
}

TEST(SoloCommunicator, IsDeadAfterAbort) {
  SoloCommunicator solo;
  solo.Abort();
  std::vector<float> x(3);
  EXPECT_EQ(solo.AllReduceSum(x).code(), absl::StatusCode::kAborted);
}

class ThreadComm : public testing::TestWithParam<int64_t> {};

TEST_P(ThreadComm, PassesEveryCheck) {
  for (const CommCheck& check : CommChecks()) {
    auto group = ThreadCommunicator::MakeGroup(GetParam());
    for (const auto& comm : group) comm->SetDeadline(Clock::now() + std::chrono::minutes(1));
    for (const absl::Status& status : OnEveryRank(group, check.run)) EXPECT_TRUE(status.ok()) << check.name << ": " << status;
  }
}

TEST_P(ThreadComm, AMissingPeerIsADeadlineNotAHang) {
  auto group = ThreadCommunicator::MakeGroup(GetParam() + 1);
  std::vector<std::unique_ptr<Communicator>> present;
  for (int64_t r = 0; r < GetParam(); ++r) present.push_back(std::move(group[static_cast<size_t>(r)]));
  const Clock::time_point start = Clock::now();
  const auto statuses = OnEveryRank(present, [&](Communicator& comm) {
    comm.SetDeadline(start + std::chrono::milliseconds(100));
    std::vector<float> x(10);
    return comm.AllReduceSum(x);
  });
  for (const absl::Status& status : statuses) EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
  std::vector<float> x(10);
  EXPECT_FALSE(present[0]->AllReduceSum(x).ok()) << "the group is dead after its first failure";
}

TEST_P(ThreadComm, AbortEndsEveryWait) {
  auto group = ThreadCommunicator::MakeGroup(GetParam() + 1);
  Communicator& last = *group.back();
  std::vector<std::unique_ptr<Communicator>> present;
  for (int64_t r = 0; r < GetParam(); ++r) present.push_back(std::move(group[static_cast<size_t>(r)]));
  std::thread aborter([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));  // most likely the others wait by then; the result is the same if not
    last.Abort();
  });
  const auto statuses = OnEveryRank(present, [](Communicator& comm) {
    comm.SetDeadline(Clock::now() + std::chrono::minutes(1));
    std::vector<std::byte> bytes(10);
    return comm.Receive(bytes, comm.size() - 1);
  });
  aborter.join();
  for (const absl::Status& status : statuses) EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
}

INSTANTIATE_TEST_SUITE_P(Ranks, ThreadComm, testing::Values(1, 2, 3, 5), testing::PrintToStringParamName());

}  // namespace
}  // namespace drover
