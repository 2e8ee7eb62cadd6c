// See thread_group.h.
#include "tests/support/thread_group.h"

#include <thread>

#include "worker/comm/thread_communicator.h"
#include "worker/weights/load.h"

namespace drover {
namespace {
constexpr auto kStepLimit = std::chrono::minutes(5);
}  // namespace

absl::StatusOr<std::unique_ptr<ThreadGroup>> ThreadGroup::Create(const ModelSpec& spec, const Grid& grid,
                                                                 const DecoderSettings& settings, const MakeWeights& make_weights) {
  auto group = std::unique_ptr<ThreadGroup>(new ThreadGroup);
  group->ranks_ = ThreadCommunicator::MakeGroup(grid.ranks);
  for (int64_t rank = 0; rank < grid.ranks; ++rank) {
    const RankCut cut{grid, rank};
    DROVER_ASSIGN_OR_RETURN(RankWeights weights, make_weights(cut));
    DROVER_ASSIGN_OR_RETURN(RankRuns runs, SplitRanks(grid, group->ranks(rank)));
    DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Decoder> decoder,
                            Decoder::Create(spec, cut, std::move(weights), settings, group->ranks(rank), std::move(runs)));
    group->decoders_.push_back(std::move(decoder));
  }
  return group;
}

absl::StatusOr<std::unique_ptr<ThreadGroup>> ThreadGroup::Load(const Checkpoint& checkpoint, const Grid& grid,
                                                               const DecoderSettings& settings) {
  return Create(checkpoint.spec, grid, settings,
                [&checkpoint](const RankCut& cut) { return LoadRankWeights(checkpoint, cut, LoadOptions{}); });
}

absl::StatusOr<StepLogits> ThreadGroup::Run(const StepPlan& plan) {
  std::vector<absl::StatusOr<StepLogits>> results(decoders_.size(), absl::UnknownError("did not run"));
  const auto run_rank = [&](size_t rank) {
    ranks_[rank]->SetDeadline(std::chrono::steady_clock::now() + kStepLimit);
    results[rank] = decoders_[rank]->Run(plan);
    if (!results[rank].ok() && results[rank].status().code() != absl::StatusCode::kInvalidArgument) ranks_[rank]->Abort();
  };
  std::vector<std::thread> threads;
  for (size_t rank = 1; rank < decoders_.size(); ++rank) threads.emplace_back(run_rank, rank);
  run_rank(0);
  for (std::thread& thread : threads) thread.join();
  for (size_t rank = 1; rank < results.size(); ++rank) DROVER_RETURN_IF_ERROR(results[rank].status());
  return std::move(results[0]);
}

}  // namespace drover
