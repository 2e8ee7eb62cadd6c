// Sums over peer memory, over the stand-ins for NCCL and CUDA: bits, sizes, recorded steps, ranks that die in one, and ranks out of reach.
#include "worker/comm/peer_group.h"

#include <gtest/gtest.h>
#include <nccl.h>

#include <latch>
#include <random>

#include "tests/kernels/cuda_on_host/faults.h"
#include "tests/worker/comm_conformance.h"
#include "tests/worker/recorded_sums.h"
#include "worker/comm/nccl_communicator.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using nccl_on_host::CountsNow;

constexpr auto kLong = std::chrono::minutes(1);

// A rank with rooms, of a group that sums by them alone.
struct PeerRank {
  std::unique_ptr<CudaOps> ops;
  std::unique_ptr<PeerRooms> rooms;

  absl::Status Open(int64_t rank) {
    DROVER_ASSIGN_OR_RETURN(ops, CudaOps::Create({.device = static_cast<int>(rank)}));
    rooms = std::make_unique<PeerRooms>(ops->memory());
    return absl::OkStatus();
  }
  absl::StatusOr<AlignedBytes> Put(std::span<const float> values) {
    DROVER_ASSIGN_OR_RETURN(AlignedBytes bytes, ops->memory().Allocate(static_cast<int64_t>(values.size_bytes())));
    ops->memory().Upload(std::as_bytes(values), bytes.data());
    return bytes;
  }
  absl::StatusOr<std::vector<float>> Fetch(const AlignedBytes& bytes) {
    std::vector<float> floats(static_cast<size_t>(bytes.size()) / 4);
    DROVER_RETURN_IF_ERROR(ops->memory().Download(bytes.data(), std::as_writable_bytes(std::span(floats))));
    return floats;
  }
};

std::vector<float> Random(int64_t count, int64_t seed) {
  std::mt19937 engine(static_cast<unsigned>(seed));
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& x : values) x = normal(engine);
  return values;
}

// Σ over ranks in their order of what each draws by its own seed.
std::vector<float> SumInOrder(int64_t ranks, int64_t count, int64_t seed) {
  std::vector<float> sums = Random(count, seed);
  for (int64_t r = 1; r < ranks; ++r) {
    const std::vector<float> next = Random(count, seed + r);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += next[i];
  }
  return sums;
}

absl::Status Same(std::span<const float> found, std::span<const float> expected, std::string_view what) {
  for (size_t i = 0; i < expected.size(); ++i)
    if (std::bit_cast<uint32_t>(found[i]) != std::bit_cast<uint32_t>(expected[i]))
      return Internal(what, ": at ", i, " found ", found[i], ", expected ", expected[i]);
  return absl::OkStatus();
}

struct Case {
  int64_t ranks;
  int late_us = -1;  // below 0: streams are as prompt as they can be
};

class PeerGroups : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    nccl_on_host::ClearFaults();
    cuda_on_host::MakeStreamsLate(std::chrono::microseconds(GetParam().late_us));
  }
  void TearDown() override {
    EXPECT_EQ(CountsNow().living, 0);
    EXPECT_EQ(CountsNow().ended_in_graphs, 0);
    EXPECT_EQ(cuda_on_host::OpenMemory(), 0) << "memory of other ranks is left open";
    cuda_on_host::MakeStreamsLate(std::chrono::microseconds(-1));
    cuda_on_host::SetFaults({});
  }

  using Body = std::function<absl::Status(int64_t, PeerRank&)>;
  static void OnRanks(const Body& body) {
    std::vector<std::thread> threads;
    for (int64_t r = 0; r < GetParam().ranks; ++r) {
      threads.emplace_back([&body, r] {
        PeerRank rank;
        absl::Status status = rank.Open(r);
        if (status.ok()) status = body(r, rank);
        EXPECT_TRUE(status.ok()) << "rank " << r << ": " << status;
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  static absl::StatusOr<std::unique_ptr<Communicator>> Join(int64_t r, PeerRank& rank, const std::string& meeting,
                                                            int64_t floats = kPeerFloatsMax) {
    const NcclSettings settings{.rank = r, .ranks = GetParam().ranks, .rooms = rank.rooms.get(), .peer_floats = floats};
    DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> comm,
                            NcclCommunicator::Join(meeting, rank.ops->device(), settings, Clock::now() + kLong));
    comm->SetDeadline(Clock::now() + kLong);
    return comm;
  }
  static std::string NewMeeting() { return *NcclCommunicator::MakeMeeting(); }
};

TEST_P(PeerGroups, PassEveryCheck) {
  const std::string meeting = NewMeeting();
  OnRanks([&](int64_t r, PeerRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(r, rank, meeting));
    NearCommunicator near(*comm, rank.ops->memory());
    for (const CommCheck& check : CommChecks(SumOrder::kAny)) {
      near.SetDeadline(Clock::now() + kLong);
      DROVER_RETURN_IF_ERROR(Annotate(check.run(near), check.name));
    }
    return absl::OkStatus();
  });
}

// Sums of changing sizes, none waited for, with the bits of sums in rank order; NCCL is asked for none.
TEST_P(PeerGroups, SumInRankOrderWhateverTheSizes) {
  constexpr int64_t kSizes[] = {1, 1025, 7, kPeerFloatsMax, 2048, 33, 5000, 1, 4096, 31};
  const std::string meeting = NewMeeting();
  std::atomic<int64_t> calls = -1;
  OnRanks([&](int64_t r, PeerRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(r, rank, meeting));
    const int64_t before = CountsNow().calls;
    std::vector<AlignedBytes> all;
    for (int64_t i = 0; i < 30; ++i) {
      DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Put(Random(kSizes[i % 10], 100 * i + r)));
      all.push_back(std::move(x));
      DROVER_RETURN_IF_ERROR(comm->AllReduceSum(Floats(all.back())));
    }
    if (r == 0) calls = CountsNow().calls - before;
    for (int64_t i = 0; i < 30; ++i) {
      DROVER_ASSIGN_OR_RETURN(const std::vector<float> found, rank.Fetch(all[static_cast<size_t>(i)]));
      DROVER_RETURN_IF_ERROR(Same(found, SumInOrder(comm->size(), kSizes[i % 10], 100 * i), Cat("sum ", i)));
    }
    return absl::OkStatus();
  });
  if (GetParam().late_us >= 0) return;  // another rank may have been joining still
  EXPECT_LE(calls, 2 * GetParam().ranks);
}

TEST_P(PeerGroups, SumAddAndNormAsOneByOne) {
  const std::string meeting = NewMeeting();
  OnRanks([&](int64_t r, PeerRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(r, rank, meeting));
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {3, 100}, {kPeerRowsMax, 7}, {kPeerRowsMax + 1, 7}, {2, 2500}}) {
      for (const bool layer_norm : {false, true}) {
        const int64_t size = rows * cols;
        const std::vector<float> start = Random(size, 7), gains = Random(cols, 8), biases = Random(cols, 9);
        std::vector<AlignedBytes> at;
        for (const std::vector<float>& values : {Random(size, 50 + r), start, gains, biases, Random(size, 50 + r), start})
          if (auto bytes = rank.Put(values); bytes.ok()) at.push_back(std::move(*bytes));
        const RowNorm norm{layer_norm, 1e-5f, Floats(at[2]), layer_norm ? Floats(at[3]) : std::span<const float>()};
        const Tensor a{Floats(at[0]).data(), rows, cols}, x{Floats(at[1]).data(), rows, cols};
        const Tensor b{Floats(at[4]).data(), rows, cols}, y{Floats(at[5]).data(), rows, cols};
        DROVER_RETURN_IF_ERROR(comm->SumAddNorm(*rank.ops, a, norm, x, a));
        DROVER_RETURN_IF_ERROR(comm->AllReduceSum(b.all()));
        rank.ops->AddNorm(b, norm, y, b);
        for (const auto& [once, single] : {std::pair<size_t, size_t>{0, 4}, {1, 5}}) {
          DROVER_ASSIGN_OR_RETURN(const std::vector<float> found, rank.Fetch(at[once]));
          DROVER_ASSIGN_OR_RETURN(const std::vector<float> expected, rank.Fetch(at[single]));
          DROVER_RETURN_IF_ERROR(Same(found, expected, Cat(rows, " x ", cols, " part ", once)));
        }
      }
    }
    return absl::OkStatus();
  });
}

TEST_P(PeerGroups, AreRecordedInEachEpochOverTheSameRooms) {
  const std::string first = NewMeeting(), second = NewMeeting();
  OnRanks([&](int64_t r, PeerRank&) -> absl::Status {
    DeviceRank other{.rank = r};
    DROVER_RETURN_IF_ERROR(other.Open(static_cast<int>(r)));
    cuda::Recordings recordings(*other.device);
    PeerRooms rooms(*other.memory);
    for (const std::string& meeting : {first, second}) {
      const NcclSettings settings{.rank = r, .ranks = GetParam().ranks, .rooms = &rooms, .peer_floats = kPeerFloatsMax};
      DROVER_ASSIGN_OR_RETURN(const auto comm, NcclCommunicator::Join(meeting, *other.device, settings, Clock::now() + kLong));
      DROVER_RETURN_IF_ERROR(ManyRecordedSums(other, recordings, *comm));
    }
    return absl::OkStatus();
  });
}

// The last rank leaves; what the others spin for ends by the deadline, and all meet again over the rooms they have.
TEST_P(PeerGroups, ASilentRankIsADeadlineAndTheOthersGoOn) {
  const std::string first = NewMeeting(), second = NewMeeting();
  OnRanks([&](int64_t r, PeerRank& rank) -> absl::Status {
    const std::vector<float> ones(3000, 1);
    DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Put(ones));
    {
      DROVER_ASSIGN_OR_RETURN(const auto comm, Join(r, rank, first));
      DROVER_RETURN_IF_ERROR(comm->AllReduceSum(Floats(x)));
      DROVER_RETURN_IF_ERROR(rank.ops->Finish());
      if (r + 1 < comm->size()) {
        const auto deadline = Clock::now() + milliseconds(200);  // of a step
        comm->SetDeadline(deadline);
        rank.ops->SetDeadline(deadline);
        DROVER_RETURN_IF_ERROR(comm->AllReduceSum(Floats(x)));
        const absl::Status found = rank.ops->Finish();
        const std::string text = Cat("AllReduceSum on rank ", r, " of ", comm->size(), " (CUDA device ", r, ") or a call before it: not done by");
        if (!absl::IsDeadlineExceeded(found) || Message(found).find(text) == std::string::npos) return Internal("found ", found.ToString());
      }
    }
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(r, rank, second));
    DROVER_ASSIGN_OR_RETURN(AlignedBytes y, rank.Put(ones));
    DROVER_RETURN_IF_ERROR(comm->AllReduceSum(Floats(y)));
    DROVER_ASSIGN_OR_RETURN(const std::vector<float> sums, rank.Fetch(y));
    return sums[2999] == static_cast<float>(comm->size()) ? absl::OkStatus() : Internal("found ", sums[2999]);
  });
}

// NCCL's end waits for the whole device, and so for a sum that waits for a rank that has left.
TEST_P(PeerGroups, ASumThatStillWaitsIsGivenUpBeforeNcclEnds) {
  const std::string meeting = NewMeeting();
  const int64_t before = CountsNow().aborted;
  std::latch ended(GetParam().ranks);
  OnRanks([&](int64_t r, PeerRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Put(std::vector<float>(100, 1)));
    const NcclSettings settings{.rank = r, .ranks = GetParam().ranks, .rooms = rank.rooms.get(), .peer_floats = kPeerFloatsMax,
                                .end_limit = milliseconds(1000)};
    auto comm = NcclCommunicator::Join(meeting, rank.ops->device(), settings, Clock::now() + kLong);
    absl::Status status = comm.status();
    if (status.ok() && r + 1 < (*comm)->size()) status = (*comm)->AllReduceSum(Floats(x));
    if (status.ok()) comm->reset();
    ended.arrive_and_wait();  // others may write into this rank's room still
    return status;
  });
  EXPECT_EQ(CountsNow().aborted - before, GetParam().ranks - 1);
}

// One rank that cannot reach the others leaves all sums to NCCL, on every rank.
TEST_P(PeerGroups, ARankOutOfReachLeavesSumsToNccl) {
  cuda_on_host::SetFaults({.apart = static_cast<long>(GetParam().ranks - 1)});
  const std::string meeting = NewMeeting();
  std::atomic<int64_t> calls = 0;
  OnRanks([&](int64_t r, PeerRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(r, rank, meeting));
    DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Put(std::vector<float>(100, 1)));
    const int64_t before = CountsNow().calls;
    DROVER_RETURN_IF_ERROR(comm->AllReduceSum(Floats(x)));
    calls += CountsNow().calls - before;
    DROVER_ASSIGN_OR_RETURN(const std::vector<float> sums, rank.Fetch(x));
    return sums[99] == static_cast<float>(comm->size()) ? absl::OkStatus() : Internal("found ", sums[99]);
  });
  EXPECT_GE(calls, GetParam().ranks);
}

// All these words pass through kernels on the host: two ranks are enough.
TEST_P(PeerGroups, MeasureAndThenSum) {
  if (GetParam().ranks > 2) return;
  const std::string meeting = NewMeeting();
  OnRanks([&](int64_t r, PeerRank& rank) -> absl::Status {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(r, rank, meeting, NcclSettings::kMeasured));
    for (const int64_t size : {10, 3000, 200'000}) {
      DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Put(std::vector<float>(static_cast<size_t>(size), 1)));
      DROVER_RETURN_IF_ERROR(comm->AllReduceSum(Floats(x)));
      DROVER_ASSIGN_OR_RETURN(const std::vector<float> sums, rank.Fetch(x));
      if (sums.back() != static_cast<float>(comm->size())) return Internal("found ", sums.back());
    }
    return absl::OkStatus();
  });
}

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  return Cat(info.param.ranks, info.param.late_us < 0 ? "Prompt" : "Late");
}
INSTANTIATE_TEST_SUITE_P(Ranks, PeerGroups, testing::Values(Case{2}, Case{4}, Case{3, 20}), NameOf);

// Whatever its blocks: on a device they run in no order.
TEST(PeerSum, CountsASumOnce) {
  PeerRank rank;
  ASSERT_TRUE(rank.Open(0).ok());
  absl::StatusOr<AlignedBytes> at = rank.ops->memory().AllocateZeros(sizeof(PeerCounter)), x = rank.Put(Random(5000, 1));
  ASSERT_TRUE(at.ok() && x.ok());
  PeerPlaces places;
  places.counter = static_cast<PeerCounter*>(static_cast<void*>(at->data()));
  for (uint64_t sums = 1; sums <= 3; ++sums) {
    PeerSum(rank.ops->device(), places, Floats(*x));
    PeerCounter counter;
    ASSERT_TRUE(rank.ops->memory().Download(at->data(), std::as_writable_bytes(std::span(&counter, 1))).ok());
    EXPECT_EQ(counter.done, sums);
    EXPECT_EQ(counter.ended, 0);
  }
}

// What a rank computes from a sum that it gave up must not look to the others like its part of a later one.
TEST(PeerSum, SendsNothingAfterOneThatItGaveUp) {
  PeerRank rank;
  ASSERT_TRUE(rank.Open(0).ok());
  constexpr int64_t kCount = 5000, kHalf = 2 * kPeerFloatsMax;
  const std::vector<float> stop = {1}, ones(kCount, 1), none(static_cast<size_t>(2 * PeerRoomWords(2)));
  absl::StatusOr<AlignedBytes> counter = rank.ops->memory().AllocateZeros(sizeof(PeerCounter)), x = rank.Put(ones);
  absl::StatusOr<AlignedBytes> own = rank.Put(none), other = rank.Put(none), asked = rank.Put(stop);
  ASSERT_TRUE(counter.ok() && x.ok() && own.ok() && other.ok() && asked.ok());
  const auto at = [](absl::StatusOr<AlignedBytes>& bytes) { return static_cast<void*>(bytes->data()); };
  PeerPlaces places{.rooms = {static_cast<uint64_t*>(at(own)), static_cast<uint64_t*>(at(other))}, .ranks = 2};
  places.counter = static_cast<PeerCounter*>(at(counter));
  places.stop = static_cast<int*>(at(asked));
  for (int sums = 0; sums < 3; ++sums) PeerSum(rank.ops->device(), places, Floats(*x));
  std::vector<uint64_t> words(static_cast<size_t>(PeerRoomWords(2)));
  ASSERT_TRUE(rank.ops->memory().Download(other->data(), std::as_writable_bytes(std::span(words))).ok());
  EXPECT_EQ(words[0], uint64_t{0x80000000} << 32 | std::bit_cast<uint32_t>(1.0f)) << "the first sum's, sent before it was given up";
  EXPECT_EQ(std::ranges::count(std::span(words).subspan(kHalf), uint64_t{0}), kHalf) << "words of the second";
}

TEST(PeerFloats, AreAsManyAsNotSlower) {
  EXPECT_EQ(PeerFloats(std::vector<SumTimes>{}), 0);
  EXPECT_EQ(PeerFloats(std::vector<SumTimes>{{1, 2, 1}, {4, 1, 2}}), 0);
  EXPECT_EQ(PeerFloats(std::vector<SumTimes>{{1, 1, 2}, {4, 2, 2}, {16, 3, 2}, {64, 1, 2}}), 4);
  EXPECT_EQ(PeerFloats(std::vector<SumTimes>{{1, std::nanf(""), 2}}), 0);
}

}  // namespace
}  // namespace drover
