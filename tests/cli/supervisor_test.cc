// Supervision with real processes: nothing survives a stop, failures are restarted, orphans are swept up.
#include "cli/supervisor.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "common/file.h"

namespace drover {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kDeadline = seconds(10);

bool Alive(pid_t pid) { return kill(pid, 0) == 0; }

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/drover_supervisor.XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  void TearDown() override {
    while (ReapAny()) {}
    EXPECT_TRUE(LiveChildren().empty());
    for (const char* name : {"/one", "/two"}) unlink((folder_ + name).c_str());
    rmdir(folder_.c_str());
  }

  static ChildSpec Shell(std::string script) {
    return {.name = "child", .command = [script] { return Command{.argv = {"sh", "-c", script}, .environment = {}}; },
            .restart = {.first_delay = milliseconds(10)}, .why = {}};
  }
  // A pid that a script wrote into `name`.
  pid_t Written(const std::string& name) const {
    const TimePoint deadline = SystemClock().Now() + kDeadline;
    while (SystemClock().Now() < deadline) {
      const auto text = ReadFile(folder_ + name, 100);
      if (text.ok() && text->ends_with("\n")) return std::atoi(text->c_str());
      std::this_thread::sleep_for(milliseconds(5));
    }
    return 0;
  }
  // Turns until `done` or an error.
  static absl::Status TurnUntil(Supervisor& supervisor, const std::function<bool()>& done) {
    const TimePoint deadline = SystemClock().Now() + kDeadline;
    while (!done()) {
      if (SystemClock().Now() > deadline) return DeadlineExceeded("nothing happened");
      DROVER_RETURN_IF_ERROR(supervisor.Turn(milliseconds(20)));
    }
    return absl::OkStatus();
  }

  std::string folder_;
};

TEST_F(SupervisorTest, StopsAChildThatLeavesOnRequest) {
  auto supervisor = Supervisor::Create();
  ASSERT_TRUE(supervisor.ok());
  const auto child = supervisor->Add(Shell("exec sleep 100"));
  ASSERT_TRUE(child.ok());
  const pid_t pid = supervisor->pid(*child);
  EXPECT_TRUE(Alive(pid));
  supervisor->Stop(seconds(5));
  EXPECT_FALSE(Alive(pid));
  EXPECT_FALSE(supervisor->running(*child));
}

TEST_F(SupervisorTest, KillsAChildThatIgnoresTheRequestWithItsOwnChildren) {
  auto supervisor = Supervisor::Create();
  ASSERT_TRUE(supervisor.ok());
  ASSERT_TRUE(supervisor->Add(Shell(Cat("trap '' TERM; sleep 100 & echo $! > ", folder_, "/one; while :; do sleep 0.1; done"))).ok());
  const pid_t grandchild = Written("/one");
  ASSERT_GT(grandchild, 0);
  supervisor->Stop(milliseconds(200));
  EXPECT_FALSE(Alive(grandchild));
}

TEST_F(SupervisorTest, OrphansThatLeftTheProcessGroupAreSweptUp) {
  auto supervisor = Supervisor::Create();
  ASSERT_TRUE(supervisor.ok());
  const auto child = supervisor->Add(Shell(Cat("setsid sh -c 'echo $$ > ", folder_, "/one; exec sleep 100' & wait")));
  ASSERT_TRUE(child.ok());
  const pid_t orphan = Written("/one");
  ASSERT_GT(orphan, 0);
  supervisor->Signal(*child, SIGKILL);
  EXPECT_FALSE(TurnUntil(*supervisor, [&] { return !supervisor->running(*child); }).ok());
  supervisor->Stop(seconds(1));
  EXPECT_FALSE(Alive(orphan));
}

TEST_F(SupervisorTest, RestartsAFailedChildAndGivesUpWithAClearError) {
  auto supervisor = Supervisor::Create();
  ASSERT_TRUE(supervisor.ok());
  supervisor->RestartsFromNow();
  ChildSpec spec = Shell("exit 7");
  spec.restart.failures_max = 3;
  spec.why = [] { return std::string("it said no"); };
  const auto child = supervisor->Add(spec);
  ASSERT_TRUE(child.ok());
  const absl::Status status = TurnUntil(*supervisor, [] { return false; });
  EXPECT_EQ(Message(status), "child left with exit code 7: it said no; 3 failures within 10 min: not started again");
  EXPECT_EQ(supervisor->starts(*child), 3);
}

TEST_F(SupervisorTest, BeforeRestartsAreWantedTheFirstFailureIsFinal) {
  auto supervisor = Supervisor::Create();
  ASSERT_TRUE(supervisor.ok());
  ASSERT_TRUE(supervisor->Add(Shell("kill -9 $$")).ok());
  EXPECT_EQ(Message(TurnUntil(*supervisor, [] { return false; })), "child was ended by signal 9 (Killed)");
}

TEST_F(SupervisorTest, AMissingProgramIsAnErrorAtOnce) {
  auto supervisor = Supervisor::Create();
  ASSERT_TRUE(supervisor.ok());
  ChildSpec spec = Shell("");
  spec.command = [] { return Command{.argv = {"/nonexistent/program"}, .environment = {}}; };
  EXPECT_EQ(Message(supervisor->Add(spec).status()), "cannot start /nonexistent/program: No such file or directory");
}

TEST_F(SupervisorTest, StopSignalsAreCountedAndEndRestarts) {
  auto supervisor = Supervisor::Create();
  ASSERT_TRUE(supervisor.ok());
  supervisor->RestartsFromNow();
  ASSERT_TRUE(supervisor->Add(Shell("exec sleep 100")).ok());
  kill(getpid(), SIGTERM);
  EXPECT_TRUE(TurnUntil(*supervisor, [&] { return supervisor->stop_requests() == 1; }).ok());
}

// The supervising process itself gets SIGKILL: the kernel must end what it started.
TEST_F(SupervisorTest, ChildrenDieWithASupervisorThatIsKilled) {
  const pid_t outer = fork();
  if (outer == 0) {
    auto supervisor = Supervisor::Create();
    if (!supervisor.ok() || !supervisor->Add(Shell(Cat("echo $$ > ", folder_, "/one; exec sleep 100"))).ok()) _exit(1);
    for (;;) pause();
  }
  const pid_t child = Written("/one");
  ASSERT_GT(child, 0);
  kill(outer, SIGKILL);
  waitpid(outer, nullptr, 0);
  const TimePoint deadline = SystemClock().Now() + kDeadline;
  while (Alive(child) && SystemClock().Now() < deadline) {
    while (ReapAny()) {}  // this process inherits it when an earlier test made it a subreaper
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_FALSE(Alive(child));
}

}  // namespace
}  // namespace drover
