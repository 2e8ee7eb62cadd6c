// See loop.h.
#include "coordinator/loop.h"

namespace drover {
namespace {
constexpr auto kTick = std::chrono::milliseconds(100);
constexpr auto kIdleWait = std::chrono::seconds(1);
}  // namespace

Loop::Loop(Task tick) : tick_(std::move(tick)), tasks_(kTasksMax), thread_([this] { Run(); }) {}
Loop::~Loop() { Stop(); }

void Loop::Stop() {
  tasks_.Close();
  if (thread_.joinable()) thread_.join();
}

void Loop::Run() {
  auto next_tick = std::chrono::steady_clock::now() + kTick;
  while (true) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_tick) {
      tick_();
      next_tick = std::chrono::steady_clock::now() + kTick;
      continue;
    }
    if (std::optional<Task> task = tasks_.Pop(next_tick - now)) {
      (*task)();
    } else if (tasks_.closed()) {
      return;
    }
  }
}

Pool::Pool(int threads, size_t waiting_max) : tasks_(waiting_max) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      while (true) {
        if (std::optional<Task> task = tasks_.Pop(kIdleWait)) {
          (*task)();
        } else if (tasks_.closed()) {
          return;
        }
      }
    });
  }
}

Pool::~Pool() { Stop(); }

void Pool::Stop() {
  tasks_.Close();
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

}  // namespace drover
