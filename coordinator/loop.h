// Threads of the coordinator: the loop, which owns all changing state, and a small pool for slow pure work. Both are fed through
// bounded queues and stop with their owner.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "common/queue.h"

namespace drover {

using Task = std::function<void()>;

// One thread that runs tasks in order and `tick` ten times a second.
class Loop {
 public:
  static constexpr size_t kTasksMax = 65'536;  // above what streams, requests and ticks can have under way
  explicit Loop(Task tick);
  ~Loop();

  // False when the loop is stopped or its queue is full.
  bool Post(Task task) { return tasks_.TryPush(std::move(task)); }
  void Stop();  // runs what is queued, then joins; not from the loop itself

 private:
  void Run();
  const Task tick_;
  BoundedQueue<Task> tasks_;
  std::thread thread_;
};

// A few threads for work that may take milliseconds.
class Pool {
 public:
  Pool(int threads, size_t waiting_max);
  ~Pool();
  // False when `waiting_max` tasks wait already.
  bool TryRun(Task task) { return tasks_.TryPush(std::move(task)); }
  void Stop();

 private:
  BoundedQueue<Task> tasks_;
  std::vector<std::thread> threads_;
};

}  // namespace drover
