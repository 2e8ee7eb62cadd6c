// NCCL with 2 to 4 processes that share a GPU; it takes them for hosts of their own, joined by sockets. That proves call order, ids,
// abort and re-init; it says nothing of speed or of links between GPUs. The test starts itself again for each rank.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/worker/comm_conformance.h"
#include "tests/worker/recorded_sums.h"
#include "worker/comm/nccl_communicator.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr seconds kJoinLimit{60}, kCallLimit{60}, kSilence{8};

// The test gives a process its place by these, as a launcher does.
struct Place {
  std::string mode, folder;
  int64_t rank = 0, ranks = 1;
  bool replaces = false;  // a rank that was killed
};

// Rank 0 writes the id for the others: whole, under its final name.
absl::StatusOr<std::string> Meet(const Place& place, int epoch) {
  const std::string path = Cat(place.folder, "/", epoch);
  if (place.rank == 0) {
    DROVER_ASSIGN_OR_RETURN(const std::string meeting, NcclCommunicator::MakeMeeting());
    std::ofstream(path + ".part", std::ios::binary) << meeting;
    std::filesystem::rename(path + ".part", path);
    return meeting;
  }
  for (const auto end = Clock::now() + kJoinLimit; Clock::now() < end; std::this_thread::sleep_for(std::chrono::milliseconds(5))) {
    std::ifstream file(path, std::ios::binary);
    if (file) return std::string(std::istreambuf_iterator<char>(file), {});
  }
  return DeadlineExceeded(path, ": rank 0 wrote no id");
}

absl::StatusOr<std::unique_ptr<Communicator>> Join(DeviceRank& rank, const Place& place, int epoch, PeerRooms* rooms = nullptr) {
  DROVER_ASSIGN_OR_RETURN(const std::string meeting, Meet(place, epoch));
  NcclSettings settings{.rank = place.rank, .ranks = place.ranks, .rooms = rooms, .peer_floats = kPeerFloatsMax};
  settings.wedged = [](const std::string& what) {
    std::fprintf(stderr, "wedged: %s\n", what.c_str());
    _exit(1);
  };
  return NcclCommunicator::Join(meeting, *rank.device, settings, Clock::now() + kJoinLimit);
}

absl::Status Conformance(DeviceRank& rank, const Place& place) {
  DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, place, 1));
  NearCommunicator near(*comm, *rank.memory);
  for (const CommCheck& check : CommChecks(SumOrder::kAny)) {
    near.SetDeadline(Clock::now() + kCallLimit);
    DROVER_RETURN_IF_ERROR(Annotate(check.run(near), check.name));
  }
  return absl::OkStatus();
}

// Graphs that all ranks have recorded, in each of two epochs.
absl::Status Recorded(DeviceRank& rank, const Place& place) {
  cuda::Recordings recordings(*rank.device);
  for (const int epoch : {1, 2}) {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, place, epoch));
    comm->SetDeadline(Clock::now() + kCallLimit);
    DROVER_RETURN_IF_ERROR(Annotate(ManyRecordedSums(rank, recordings, *comm), Cat("epoch ", epoch)));
  }
  return absl::OkStatus();
}

// Sums over peer memory: what NCCL and the loopback have to do, and steps that are recorded with them.
absl::Status Peers(DeviceRank& rank, const Place& place) {
  PeerRooms rooms(*rank.memory);
  cuda::Recordings recordings(*rank.device);
  for (const int epoch : {1, 2}) {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, place, epoch, &rooms));
    NearCommunicator near(*comm, *rank.memory);
    for (const CommCheck& check : CommChecks(SumOrder::kAny)) {
      near.SetDeadline(Clock::now() + kCallLimit);
      DROVER_RETURN_IF_ERROR(Annotate(check.run(near), Cat(check.name, ", epoch ", epoch)));
    }
    comm->SetDeadline(Clock::now() + kCallLimit);
    DROVER_RETURN_IF_ERROR(Annotate(ManyRecordedSums(rank, recordings, *comm), Cat("epoch ", epoch)));
  }
  return absl::OkStatus();
}

absl::Status SumOnce(DeviceRank& rank, Communicator& comm, std::chrono::nanoseconds limit) {
  comm.SetDeadline(Clock::now() + limit);
  DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Filled(1000, 1));
  DROVER_RETURN_IF_ERROR(comm.AllReduceSum(Floats(x)));
  DROVER_ASSIGN_OR_RETURN(const std::vector<float> sums, rank.Fetch(x));
  return sums[999] == static_cast<float>(comm.size()) ? absl::OkStatus() : Internal("found ", sums[999], ", expected ", comm.size());
}

// The last rank is killed between two calls; the others fail in time, keep their memory, and meet its replacement by a new id.
absl::Status Killed(DeviceRank& rank, const Place& place) {
  DROVER_ASSIGN_OR_RETURN(AlignedBytes weights, rank.Filled(100, static_cast<float>(place.rank)));
  if (!place.replaces) {
    DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, place, 1));
    DROVER_RETURN_IF_ERROR(SumOnce(rank, *comm, kCallLimit));
    if (place.rank + 1 == place.ranks) raise(SIGKILL);
    const absl::Status found = SumOnce(rank, *comm, kSilence);
    std::printf("rank %d: %s\n", static_cast<int>(place.rank), Message(found).c_str());
    if (!absl::IsDeadlineExceeded(found) && !absl::IsUnavailable(found)) return Internal("found ", found.ToString(), ", expected a dead peer");
  }
  DROVER_ASSIGN_OR_RETURN(const auto comm, Join(rank, place, 2));
  DROVER_RETURN_IF_ERROR(SumOnce(rank, *comm, kCallLimit));
  DROVER_ASSIGN_OR_RETURN(const std::vector<float> kept, rank.Fetch(weights));
  return kept[99] == static_cast<float>(place.rank) ? absl::OkStatus() : Internal("found ", kept[99], " in memory that should stay");
}

int RunRank(const Place& place) {
  DeviceRank rank{.rank = place.rank};
  absl::Status status = rank.Open({.device = 0, .wait_for_each = true});  // kernels of other processes are no help to a spinning one
  constexpr std::pair<std::string_view, absl::Status (*)(DeviceRank&, const Place&)> kModes[] = {
      {"conformance", Conformance}, {"recorded", Recorded}, {"peers", Peers}, {"killed", Killed}};
  for (const auto& [mode, run] : kModes)
    if (status.ok() && place.mode == mode) status = run(rank, place);
  std::printf("%s: rank %d of %d, NCCL %s: %s\n", place.mode.c_str(), static_cast<int>(place.rank), static_cast<int>(place.ranks),
              NcclCommunicator::Version().c_str(), status.ok() ? "PASSED" : status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

// A process of its own that NCCL takes for a host of its own, connected by sockets of this machine.
pid_t Start(const Place& place) {
  const std::pair<const char*, std::string> environment[] = {
      {"NCCL_HOSTID", Cat("drover-", place.rank)}, {"NCCL_SOCKET_IFNAME", "lo"}, {"NCCL_IB_DISABLE", "1"}, {"NCCL_P2P_DISABLE", "1"},
      {"NCCL_SHM_DISABLE", "1"}, {"NCCL_NVLS_ENABLE", "0"}, {"NCCL_MNNVL_ENABLE", "0"}, {"NCCL_ALGO", "Ring"},
      {"NCCL_PROTO", "Simple"}, {"NCCL_MAX_CTAS", "2"}, {"NCCL_DEBUG", "WARN"}};
  const pid_t pid = fork();
  if (pid != 0) return pid;
  for (const auto& [name, value] : environment) setenv(name, value.c_str(), 1);
  execl("/proc/self/exe", "nccl_ranks", place.mode.c_str(), Cat(place.ranks).c_str(), Cat(place.rank).c_str(), place.folder.c_str(),
        place.replaces ? "replaces" : "first", nullptr);
  _exit(1);
}

// How many processes failed. A rank that kills itself is replaced.
int RunProcesses(const std::string& mode, int64_t ranks) {
  std::string folder = (std::filesystem::temp_directory_path() / "nccl_ranks.XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return 1;
  std::vector<pid_t> pids;
  for (int64_t r = 0; r < ranks; ++r) pids.push_back(Start({mode, folder, r, ranks}));
  int failed = 0;
  for (size_t left = pids.size(); left > 0; --left) {
    int status = 0;
    const pid_t ended = wait(&status);
    if (mode == "killed" && ended == pids[static_cast<size_t>(ranks - 1)] && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
      pids.push_back(Start({mode, folder, ranks - 1, ranks, true}));
      ++left;
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      ++failed;
    }
  }
  std::filesystem::remove_all(folder);
  return failed;
}

// Asked in a process that ends: one that has seen the device is no parent for others.
bool HasDevice() {
  const pid_t probe = fork();
  int count = 0;
  if (probe == 0) _exit(cudaGetDeviceCount(&count) == cudaSuccess && count > 0 ? 0 : 1);
  int found = 0;
  return probe > 0 && waitpid(probe, &found, 0) == probe && WIFEXITED(found) && WEXITSTATUS(found) == 0;
}

class NcclProcesses : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    if (!HasDevice()) GTEST_SKIP() << "no CUDA device";
  }
};

TEST_P(NcclProcesses, PassEveryCheck) { EXPECT_EQ(RunProcesses("conformance", GetParam()), 0); }

TEST_P(NcclProcesses, SumOverPeerMemory) { EXPECT_EQ(RunProcesses("peers", GetParam()), 0); }

TEST_P(NcclProcesses, ReplayWhatTheyRecorded) { EXPECT_EQ(RunProcesses("recorded", GetParam()), 0); }

INSTANTIATE_TEST_SUITE_P(Ranks, NcclProcesses, testing::Values(2, 3, 4), testing::PrintToStringParamName());

TEST(NcclProcess, ThatIsKilledIsReplacedInANewEpoch) {
  if (!HasDevice()) GTEST_SKIP() << "no CUDA device";
  EXPECT_EQ(RunProcesses("killed", 3), 0);
}

}  // namespace

int RunRankOf(std::span<char*> arguments) {
  return RunRank({arguments[1], arguments[4], std::atoll(arguments[3]), std::atoll(arguments[2]),
                  std::string_view(arguments[5]) == "replaces"});
}

}  // namespace drover

int main(int argc, char** argv) {
  if (argc == 6) return drover::RunRankOf({argv, 6});
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
