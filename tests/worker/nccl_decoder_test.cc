// Steps of several ranks that are recorded with NCCL's calls and replayed, over the stand-ins for CUDA and NCCL: tensor and expert
// parallel, the same logits as one rank of the CPU.
#include <nccl.h>

#include <list>
#include <thread>

#include "kernels/cuda/cuda_ops.h"
#include "tests/kernels/cuda_on_host/faults.h"
#include "tests/worker/decoding_steps.h"
#include "worker/comm/nccl_communicator.h"

namespace drover {
namespace {

using Joined = absl::StatusOr<std::unique_ptr<Communicator>>;

struct Ways {
  bool record = true, peer_sums = false;
};

// A device for each rank; ranks join at once, each on a thread.
ThreadGroup::Computes ByNccl(const Ways& ways) {
  ThreadGroup::Computes computes;
  computes.make_ops = [devices = std::make_shared<int>(0)](const OpsBounds&) -> absl::StatusOr<std::unique_ptr<Ops>> {
    return CudaOps::Create({.device = (*devices)++});
  };
  const auto rooms = std::make_shared<std::list<PeerRooms>>();
  computes.make_ranks = [ways, rooms](std::span<const std::unique_ptr<Ops>> all) -> absl::StatusOr<std::vector<std::unique_ptr<Communicator>>> {
    DROVER_ASSIGN_OR_RETURN(const std::string meeting, NcclCommunicator::MakeMeeting());
    std::vector<Joined> joined(all.size());
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < all.size(); ++rank) {
      PeerRooms* const own = ways.peer_sums ? &rooms->emplace_back(all[rank]->memory()) : nullptr;
      threads.emplace_back([&, rank, own] {
        const NcclSettings settings{.rank = static_cast<int64_t>(rank), .ranks = static_cast<int64_t>(all.size()), .rooms = own,
                                    .peer_floats = kPeerFloatsMax, .record = ways.record};
        joined[rank] = NcclCommunicator::Join(meeting, static_cast<CudaOps&>(*all[rank]).device(), settings,
                                              std::chrono::steady_clock::now() + std::chrono::minutes(1));
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::vector<std::unique_ptr<Communicator>> ranks;
    for (Joined& comm : joined) {
      DROVER_RETURN_IF_ERROR(comm.status());
      ranks.push_back(*std::move(comm));
    }
    return ranks;
  };
  return computes;
}

class NcclDecoder : public testing::Test {
 protected:
  void SetUp() override { nccl_on_host::ClearFaults(); }
  void TearDown() override {
    EXPECT_EQ(nccl_on_host::CountsNow().living, 0);
    EXPECT_EQ(nccl_on_host::CountsNow().aborted, 0);
    EXPECT_EQ(nccl_on_host::CountsNow().ended_in_graphs, 0);
  }
  // In which steps calls of NCCL were made; in the others they were replayed, if at all.
  static std::vector<size_t> StepsWithCalls(const Grid& grid, const Ways& ways, std::span<const int64_t> steps) {
    std::vector<size_t> with;
    int64_t calls = 0;
    DecodingSteps{.grid = grid}.ExpectTheCpusLogits(ByNccl(ways), steps, 0, [&](size_t step) {
      const int64_t now = nccl_on_host::CountsNow().calls;
      if (now > calls) with.push_back(step);
      calls = now;
    });
    return with;
  }
};

class NcclGrids : public NcclDecoder, public testing::WithParamInterface<Grid> {};

TEST_P(NcclGrids, ReplayedStepsGiveTheCpusLogits) {
  constexpr int64_t kSteps[] = {11, 11, 11, 11, 1, 1, 11, 1, 5, 12};  // 11 is padded to 12
  EXPECT_EQ(StepsWithCalls(GetParam(), {}, kSteps), (std::vector<size_t>{0, 1, 4, 5, 8}));
}

// The same with sums over peer memory, for which NCCL is called less often.
TEST_F(NcclDecoder, SumsOverPeerMemoryInReplayedSteps) {
  constexpr int64_t kSteps[] = {5, 5, 5, 1};
  int64_t calls[2];
  for (const bool peer_sums : {false, true}) {
    nccl_on_host::ClearFaults();
    DecodingSteps{.grid = {3, 1}}.ExpectTheCpusLogits(ByNccl({.peer_sums = peer_sums}), kSteps, 0);
    calls[peer_sums] = nccl_on_host::CountsNow().calls;
  }
  EXPECT_LT(2 * calls[true], calls[false]);
  EXPECT_EQ(cuda_on_host::OpenMemory(), 0);
}

INSTANTIATE_TEST_SUITE_P(Grids, NcclGrids, testing::Values(Grid{2, 1}, Grid{2, 2}, Grid{3, 1}, Grid{4, 1}, Grid{4, 2}, Grid{4, 4}),
                         [](const auto& test) { return Cat(test.param.ranks, "_in_", test.param.expert_parts, "_parts_of_experts"); });

TEST_F(NcclDecoder, RecordsNothingWhenToldSo) {
  constexpr int64_t kSteps[] = {1, 1, 1, 1};
  EXPECT_EQ(StepsWithCalls({2, 1}, {.record = false}, kSteps), (std::vector<size_t>{0, 1, 2, 3}));
}

// Two of seven ranks have no heads, so no room of attention grows there: they repeat a step when the others do.
TEST_F(NcclDecoder, RanksWithRoomsOfTheirOwnDecideAlike) {
  DecodingSteps steps{.grid = {7, 1}};
  steps.settings.kv_blocks = 240;
  constexpr int64_t kSteps[] = {1, 1, 1, 3, 3, 1, 1};
  steps.ExpectTheCpusLogits(ByNccl({}), kSteps, 260);
}

}  // namespace
}  // namespace drover
