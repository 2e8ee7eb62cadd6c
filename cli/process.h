// A child process: in its own process group, ended by the kernel when its parent's thread dies, reaped by Poll.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status.h"

namespace drover {

struct Command {
  std::vector<std::string> argv;  // argv[0]: a path, or a name looked up in PATH
  std::vector<std::pair<std::string, std::string>> environment;  // added to the caller's
  int death_signal = 9;           // sent to the child when the thread that started it dies
  bool keep_stdout = false;       // else its standard output goes to standard error
};

// How a process ended, as people say it.
struct Exit {
  int code = 0;    // when it left by itself
  int signal = 0;  // when a signal ended it, else 0
  bool clean() const { return code == 0 && signal == 0; }
};
std::string ToString(const Exit& exit);

// Starts `command` with standard input from /dev/null. Call from the main thread only: the death signal belongs to the starting
// thread. kNotFound when the program is not there.
absl::StatusOr<pid_t> StartProcess(const Command& command);

// Reaps one ended child, whichever it is, without waiting; also orphans that a subreaper inherited.
std::optional<std::pair<pid_t, Exit>> ReapAny();

// To the whole process group that StartProcess made; a group that is gone is no error.
void SignalGroup(pid_t pid, int signal);

// Children of this process now, inherited orphans included, except zombies.
std::vector<pid_t> LiveChildren();

// The program `name` beside this executable, as build and packages lay them out.
absl::StatusOr<std::string> SiblingProgram(std::string_view name);

}  // namespace drover
