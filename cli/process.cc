// See process.h. Between fork and exec only async-signal-safe calls are made: gRPC's threads may hold any lock.
#include "cli/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace drover {
namespace {

constexpr int kExecFailed = 127;

std::vector<std::string> MergedEnvironment(const Command& command) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view line = *entry;
    const std::string_view name = line.substr(0, line.find('='));
    bool replaced = false;
    for (const auto& [key, value] : command.environment) replaced = replaced || key == name;
    if (!replaced) merged.emplace_back(line);
  }
  for (const auto& [key, value] : command.environment) merged.push_back(Cat(key, "=", value));
  return merged;
}

std::vector<char*> Pointers(std::vector<std::string>& lines) {
  std::vector<char*> pointers;
  for (std::string& line : lines) pointers.push_back(line.data());
  pointers.push_back(nullptr);
  return pointers;
}

// In the child. Writes errno to `report` when exec fails; `report` closes by itself when it succeeds.
[[noreturn]] void BecomeCommand(const Command& command, char** argv, char** environment, pid_t parent, int report) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, command.death_signal);
  if (getppid() != parent) _exit(kExecFailed);  // the parent died before the line above
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGPIPE}) sigaction(signal, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = open("/dev/null", O_RDONLY);
  if (null >= 0) dup2(null, STDIN_FILENO);
  if (!command.keep_stdout) dup2(STDERR_FILENO, STDOUT_FILENO);
  close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  execvpe(argv[0], argv, environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(report, &error, sizeof error);
  _exit(kExecFailed);
}

// The parent of `pid` and whether it is a zombie, from /proc/PID/stat; nothing when it is gone.
std::optional<std::pair<pid_t, bool>> ParentOf(pid_t pid) {
  std::ifstream file(Cat("/proc/", pid, "/stat"));
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  const size_t name_end = line.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos || line.size() < name_end + 5) return std::nullopt;
  return std::pair(static_cast<pid_t>(std::atol(line.c_str() + name_end + 4)), line[name_end + 2] == 'Z');
}

}  // namespace

std::string ToString(const Exit& exit) {
  if (exit.signal != 0) return Cat("was ended by signal ", exit.signal, " (", strsignal(exit.signal), ")");
  return Cat("left with exit code ", exit.code);
}

absl::StatusOr<pid_t> StartProcess(const Command& command) {
  std::vector<std::string> arguments = command.argv, merged = MergedEnvironment(command);
  std::vector<char*> argv = Pointers(arguments), environment = Pointers(merged);
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return Internal("pipe: ", strerror(errno));
  const pid_t parent = getpid(), pid = fork();
  if (pid == 0) BecomeCommand(command, argv.data(), environment.data(), parent, report[1]);
  close(report[1]);
  if (pid < 0) {
    close(report[0]);
    return ResourceExhausted("cannot start ", command.argv[0], ": ", strerror(errno));
  }
  int error = 0;
  ssize_t got;
  do {
    got = read(report[0], &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  close(report[0]);
  if (got != sizeof error) return pid;
  waitpid(pid, nullptr, 0);
  return NotFound("cannot start ", command.argv[0], ": ", strerror(error));
}

std::optional<std::pair<pid_t, Exit>> ReapAny() {
  int status = 0;
  const pid_t pid = waitpid(-1, &status, WNOHANG);
  if (pid <= 0) return std::nullopt;
  if (WIFSIGNALED(status)) return std::pair(pid, Exit{.signal = WTERMSIG(status)});
  return std::pair(pid, Exit{.code = WEXITSTATUS(status)});
}

void SignalGroup(pid_t pid, int signal) { kill(-pid, signal); }

std::vector<pid_t> LiveChildren() {
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const pid_t pid = static_cast<pid_t>(std::atol(entry.path().filename().c_str()));
    if (pid <= 0) continue;
    const auto parent = ParentOf(pid);
    if (parent && parent->first == getpid() && !parent->second) children.push_back(pid);
  }
  return children;
}

absl::StatusOr<std::string> SiblingProgram(std::string_view name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return Internal("/proc/self/exe: ", error.message());
  const std::string path = (self.parent_path() / name).string();
  if (access(path.c_str(), X_OK) != 0) return NotFound(path, ": not there; it belongs beside ", self.filename().string());
  return path;
}

}  // namespace drover
