// See thread_group.h.
#include "tests/support/thread_group.h"

#include <thread>

#include "worker/comm/solo_communicator.h"
#include "worker/comm/staged_communicator.h"
#include "worker/comm/thread_communicator.h"
#include "worker/weights/load.h"

namespace drover {
namespace {
constexpr auto kStepLimit = std::chrono::minutes(5);
}  // namespace

ThreadGroup::Computes ThreadGroup::OnCpu(int64_t threads) {
  return {.make_ops = [threads](const OpsBounds& bounds) { return MakeOps({.threads = threads, .bounds = bounds}); }};
}

// The host's own communicators stay: the group is aborted through them, too.
absl::StatusOr<std::vector<RankPeers>> ThreadGroup::Meet(const Grid& grid, const AllOps& all, const MakeRanks& make_ranks) {
  ranks_ = ThreadCommunicator::MakeGroup(grid.ranks);
  std::vector<std::unique_ptr<Communicator>> made(all.size());
  if (make_ranks) {
    DROVER_ASSIGN_OR_RETURN(made, make_ranks(all));
  }
  std::vector<RankPeers> peers;
  for (size_t rank = 0; rank < all.size(); ++rank) {
    Memory& memory = all[rank]->memory();
    std::unique_ptr<Communicator> own = std::move(made[rank]);
    if (own == nullptr && !memory.on_host() && grid.ranks == 1) own = std::make_unique<SoloCommunicator>(memory);
    if (own == nullptr && !memory.on_host()) own = std::make_unique<StagedCommunicator>(*ranks_[rank], memory);
    DROVER_ASSIGN_OR_RETURN(RankPeers met, own != nullptr ? MeetPeers(grid, std::move(own)) : MeetPeers(grid, *ranks_[rank]));
    peers.push_back(std::move(met));
  }
  return peers;
}

absl::StatusOr<std::unique_ptr<ThreadGroup>> ThreadGroup::Create(const ModelSpec& spec, const Grid& grid,
                                                                 const DecoderSettings& settings, const MakeWeights& make_weights,
                                                                 const Computes& computes) {
  auto group = std::unique_ptr<ThreadGroup>(new ThreadGroup);
  AllOps all;
  for (int64_t rank = 0; rank < grid.ranks; ++rank) {
    DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Ops> ops, computes.make_ops(BoundsOf(spec, settings)));
    all.push_back(std::move(ops));
  }
  DROVER_ASSIGN_OR_RETURN(std::vector<RankPeers> peers, group->Meet(grid, all, computes.make_ranks));
  for (int64_t rank = 0; rank < grid.ranks; ++rank) {
    const auto at = static_cast<size_t>(rank);
    const RankCut cut{grid, rank};
    DROVER_ASSIGN_OR_RETURN(RankWeights weights, make_weights(cut, *all[at]));
    group->device_ranks_.push_back(peers[at].ranks);
    DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Decoder> decoder,
                            Decoder::Create(spec, cut, settings, std::move(weights), {std::move(all[at]), std::move(peers[at])}));
    group->decoders_.push_back(std::move(decoder));
  }
  return group;
}

absl::StatusOr<std::unique_ptr<ThreadGroup>> ThreadGroup::Load(const Checkpoint& checkpoint, const Grid& grid,
                                                               const DecoderSettings& settings, const Computes& computes) {
  const auto load = [&checkpoint](const RankCut& cut, Ops& ops) { return LoadRankWeights(checkpoint, cut, {.memory = &ops.memory()}); };
  return Create(checkpoint.spec, grid, settings, load, computes);
}

absl::StatusOr<StepLogits> ThreadGroup::RunWhile(const StepPlan& plan, const Meanwhile& meanwhile) {
  std::vector<absl::StatusOr<StepLogits>> results(decoders_.size(), absl::UnknownError("did not run"));
  const auto run_rank = [&](size_t rank) {
    results[rank] = decoders_[rank]->Run(plan, std::chrono::steady_clock::now() + kStepLimit, rank == 0 ? meanwhile : [] {});
    if (!results[rank].ok() && results[rank].status().code() != absl::StatusCode::kInvalidArgument) device_ranks_[rank]->Abort();
  };
  std::vector<std::thread> threads;
  for (size_t rank = 1; rank < decoders_.size(); ++rank) threads.emplace_back(run_rank, rank);
  run_rank(0);
  for (std::thread& thread : threads) thread.join();
  for (size_t rank = 1; rank < results.size(); ++rank) DROVER_RETURN_IF_ERROR(results[rank].status());
  return std::move(results[0]);
}

}  // namespace drover
