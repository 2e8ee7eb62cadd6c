// The exact words that start a group: people copy them from logs, and every option is there for a measured reason.
#include "cli/launch_line.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace drover {
namespace {

std::string Joined(const Command& command) {
  std::string line;
  for (const std::string& word : command.argv) line += (line.empty() ? "" : " ") + word;
  return line;
}

GroupLaunch Example() {
  return {.worker = "/opt/drover/drover-worker", .coordinator = "127.0.0.1:8002", .group = "g0", .launch = "ab12", .ranks = 2};
}

constexpr char kMpirunWords[] =
    "--mca mpi_yield_when_idle 1 --mca plm isolated --mca btl_vader_single_copy_mechanism none "
    "--mca oob_tcp_keepalive_time 4 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3";
constexpr char kWorkerWords[] =
    "/opt/drover/drover-worker --coordinator 127.0.0.1:8002 --group g0 --launch ab12 --log-level warning";

TEST(LaunchLine, TwoRanksRunUnderMpirun) {
  const Command command = LaunchLine(Example());
  EXPECT_EQ(Joined(command), Cat("mpirun -np 2 --oversubscribe --bind-to none --quiet ", kMpirunWords, " ", kWorkerWords));
  EXPECT_EQ(command.death_signal, SIGTERM);
}

TEST(LaunchLine, RootSaysSoAndAskedSettingsAreHandedOn) {
  GroupLaunch launch = Example();
  launch.as_root = true;
  launch.threads = 3;
  launch.memory_bytes = 1000;
  launch.session_dir = "/var/tmp/s";
  EXPECT_EQ(Joined(LaunchLine(launch)),
            Cat("mpirun -np 2 --oversubscribe --bind-to none --quiet --allow-run-as-root ", kMpirunWords,
                " --mca orte_tmpdir_base /var/tmp/s --mca btl_vader_backing_directory /var/tmp/s ", kWorkerWords, " --threads 3 --memory 1000"));
}

TEST(LaunchLine, RanksOnOneGpuMeetThroughTheHost) {
  GroupLaunch launch = Example();
  launch.device = "cuda";
  launch.attention = "flashinfer";
  EXPECT_TRUE(Joined(LaunchLine(launch)).ends_with(Cat(kWorkerWords, " --device cuda --attention flashinfer")));
  launch.device = "cuda:1";
  EXPECT_TRUE(Joined(LaunchLine(launch)).ends_with(" --device cuda:1 --attention flashinfer --transport host"));
  launch.ranks = 1;
  EXPECT_TRUE(Joined(LaunchLine(launch)).ends_with(" --device cuda:1 --attention flashinfer"));
}

TEST(LaunchLine, OneRankNeedsNoMpirunAndDiesAtOnceWithItsParent) {
  GroupLaunch launch = Example();
  launch.ranks = 1;
  const Command command = LaunchLine(launch);
  EXPECT_EQ(Joined(command), kWorkerWords);
  EXPECT_EQ(command.death_signal, SIGKILL);
}

TEST(LaunchLine, WorkerThreadsOfOpenMpWaitPassively) {
  for (int64_t ranks : {1, 4}) {
    GroupLaunch launch = Example();
    launch.ranks = ranks;
    const Command command = LaunchLine(launch);
    ASSERT_EQ(command.environment.size(), 2u);
    EXPECT_EQ(command.environment[0], std::pair(std::string("OMP_WAIT_POLICY"), std::string("passive")));
  }
}

TEST(LaunchLine, BenchUsesTheSameLine) {
  EXPECT_EQ(Joined(BenchLine(Example(), {"--model", "m"})),
            Cat("mpirun -np 2 --oversubscribe --bind-to none --quiet ", kMpirunWords, " /opt/drover/drover-worker bench --model m"));
}

}  // namespace
}  // namespace drover
