// A rank of the MPI tests, started by mpirun: the conformance suite, a peer that never comes, or golden cases through real processes.
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <thread>

#include "models/checkpoint/checkpoint.h"
#include "tests/support/reference_run.h"
#include "tests/worker/comm_conformance.h"
#include "tests/worker/golden_cases.h"
#include "worker/comm/mpi_session.h"
#include "worker/model/decoder.h"
#include "worker/weights/load.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kStepLimit = std::chrono::minutes(2);

// The second round forces every transfer into pieces.
absl::Status Conformance(MpiSession& session) {
  for (const int64_t elements_max : {int64_t{1} << 30, int64_t{1000}}) {
    DROVER_ASSIGN_OR_RETURN(const std::unique_ptr<Communicator> comm, session.MakeCommunicator(elements_max));
    for (const CommCheck& check : CommChecks()) {
      comm->SetDeadline(Clock::now() + kStepLimit);
      DROVER_RETURN_IF_ERROR(Annotate(check.run(*comm), check.name));
    }
  }
  return absl::OkStatus();
}

// The last rank stays away: the others must fail in time, and the group is dead.
absl::Status MissingPeer(MpiSession& session) {
  DROVER_ASSIGN_OR_RETURN(const std::unique_ptr<Communicator> comm, session.MakeCommunicator());
  if (session.rank() + 1 == session.size()) {
    std::this_thread::sleep_for(std::chrono::seconds(2));
    return absl::OkStatus();
  }
  comm->SetDeadline(Clock::now() + std::chrono::milliseconds(300));
  std::vector<float> x(100);
  const Clock::time_point start = Clock::now();
  const absl::Status status = comm->AllReduceSum(x);
  if (status.code() != absl::StatusCode::kDeadlineExceeded) return Internal("found ", Message(status), ", expected a deadline");
  if (Clock::now() - start > std::chrono::seconds(10)) return Internal("the deadline came late");
  if (!session.dead() || comm->AllReduceSum(x).ok()) return Internal("the group is not dead");
  return absl::OkStatus();
}

// Every rank gets rank 0's logits, so that all make the same next plan.
class EchoRunner : public StepRunner {
 public:
  EchoRunner(Decoder& decoder, Communicator& ranks) : decoder_(decoder), ranks_(ranks) {}
  absl::StatusOr<StepLogits> Run(const StepPlan& plan) override {
    DROVER_ASSIGN_OR_RETURN(StepLogits logits, decoder_.Run(plan, Clock::now() + kStepLimit));
    logits.rows = plan.logit_rows();
    logits.values.resize(static_cast<size_t>(logits.rows * logits.vocab));
    DROVER_RETURN_IF_ERROR(ranks_.Broadcast(std::as_writable_bytes(std::span(logits.values)), 0));
    return logits;
  }

 private:
  Decoder& decoder_;
  Communicator& ranks_;
};

absl::Status GoldenCase(const std::string& name, Communicator& comm, const Grid& grid) {
  const std::string folder = GoldenFolder(name);
  if (folder.empty()) {
    if (comm.rank() == 0) std::printf("%s: skipped, not here (shared corpus)\n", name.c_str());
    return absl::OkStatus();
  }
  DROVER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(GoldenModel(folder)));
  DROVER_ASSIGN_OR_RETURN(const Reference reference, ReadReference(folder + "/reference.safetensors"));
  const RankCut cut{grid, comm.rank()};
  DROVER_ASSIGN_OR_RETURN(RankPeers peers, MeetPeers(grid, comm));
  const RunShape shape{.kv_blocks = 64, .block_tokens = 5, .step_tokens = 29, .key_lengths = KeyLengthsOf(checkpoint.spec),
                       .attention_parts = grid.attention_parts};
  const DecoderSettings settings{.max_step_tokens = 48, .max_sequences = 4, .kv_blocks = 64, .block_tokens = 5};
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Ops> ops, MakeOps({.bounds = BoundsOf(checkpoint.spec, settings)}));
  DROVER_ASSIGN_OR_RETURN(RankWeights weights, LoadRankWeights(checkpoint, cut, LoadOptions{}));
  DROVER_ASSIGN_OR_RETURN(const std::unique_ptr<Decoder> decoder,
                          Decoder::Create(checkpoint.spec, cut, settings, std::move(weights), {std::move(ops), std::move(peers)}));
  EchoRunner runner(*decoder, comm);
  DROVER_ASSIGN_OR_RETURN(const std::vector<PromptResult> results, RunReference(runner, reference, shape));
  for (const PromptResult& result : results)
    if (!(result.logit_error <= kGoldenTolerance) || result.first_difference >= 0)
      return Internal(name, " ", result.name, ": logit error ", result.logit_error, ", first greedy difference ", result.first_difference);
  if (comm.rank() == 0)
    std::printf("%s on %d processes in %d stages, attention in %d parts: largest logit error %.2e\n", name.c_str(),
                static_cast<int>(grid.ranks), static_cast<int>(grid.stages), static_cast<int>(grid.attention_parts),
                WorstLogitError(results));
  return absl::OkStatus();
}

// Attention in as many parts as ranks; of four ranks in two parts too, on one stage and on two.
absl::Status DataParallelCase(const std::string& name, Communicator& comm) {
  const int64_t ranks = comm.size();
  if (ranks == 1 || std::ranges::find(kDataParallelCases, name) == std::end(kDataParallelCases)) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(GoldenCase(name, comm, {ranks, ranks, 1, ranks}));
  if (ranks != 4) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(GoldenCase(name, comm, {4, 4, 1, 2}));
  return GoldenCase(name, comm, {4, 2, 2, 2});
}

// `all` cases, or eleven that cover every form.
absl::Status GoldenCases(MpiSession& session, bool all) {
  constexpr std::string_view kSome[] = {"deepseek-v3", "smollm2-tied", "llama31-gqa", "mistral-window", "mixtral-6", "qwen2-tied", "qwen3",
                                       "qwen3-moe-mixed", "llama4-scout", "gguf-llama-q4_1", "gguf-mixtral-q4_0"};
  DROVER_ASSIGN_OR_RETURN(const std::unique_ptr<Communicator> comm, session.MakeCommunicator());
  for (const std::string_view name : kGoldenCases) {
    if (!all && std::ranges::find(kSome, name) == std::end(kSome)) continue;
    DROVER_RETURN_IF_ERROR(GoldenCase(std::string(name), *comm, {comm->size(), comm->size()}));
    const bool pipelined = std::ranges::find(kPipelinedCases, name) != std::end(kPipelinedCases);
    if (pipelined && comm->size() == 4) DROVER_RETURN_IF_ERROR(GoldenCase(std::string(name), *comm, {4, 2, 2}));
    DROVER_RETURN_IF_ERROR(DataParallelCase(std::string(name), *comm));
  }
  return absl::OkStatus();
}

absl::Status Run(MpiSession& session, std::string_view mode) {
  if (mode == "conformance") return Conformance(session);
  if (mode == "missing-peer") return MissingPeer(session);
  if (mode == "golden-ten") return GoldenCases(session, false);
  if (mode == "golden-all") return GoldenCases(session, true);
  return InvalidArgument("mode: found ", mode);
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  absl::StatusOr<std::unique_ptr<drover::MpiSession>> session = drover::MpiSession::Start(&argc, &argv);
  if (!session.ok()) return 2;
  const std::string mode = argc > 1 ? argv[1] : "";
  const absl::Status status = drover::Run(**session, mode);
  std::printf("%s: rank %d of %d: %s\n", mode.c_str(), static_cast<int>((*session)->rank()), static_cast<int>((*session)->size()),
              status.ok() ? "PASSED" : drover::Message(status).c_str());
  std::fflush(stdout);
  if (!status.ok() || (*session)->dead()) _exit(status.ok() ? 0 : 1);  // finalising with a dead peer could hang
  session->reset();
  return 0;
}
