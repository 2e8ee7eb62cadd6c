// Signals as calls: SIGTERM, SIGINT and SIGUSR1 are blocked everywhere and waited for by one thread.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace drover {

class SignalThread {
 public:
  // Blocks SIGTERM, SIGINT and SIGUSR1 in the calling thread and those it starts later: call it before any other thread exists.
  static void Block();

  // Calls `on_signal` with how many have come (1, 2, ...) on a thread of its own.
  explicit SignalThread(std::function<void(int count)> on_signal);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  void Wait();

  const std::function<void(int)> on_signal_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace drover
