// ThreadPool: a fixed team that shares the chunks of one job at a time. Workers spin for a moment between jobs, then park, so that
// an idle process uses no CPU. One thread calls Run; results must not depend on which thread takes which chunk.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace drover {

class ThreadPool {
 public:
  explicit ThreadPool(int64_t threads);  // the caller counts as one of them
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int64_t threads() const { return static_cast<int64_t>(workers_.size()) + 1; }

  // Calls body(chunk, thread) once for each chunk in [0, chunks), thread in [0, threads()). Returns when all are done.
  template <class Body>
  void Run(int64_t chunks, const Body& body) {
    RunJob({[](const void* context, int64_t chunk, int64_t thread) { (*static_cast<const Body*>(context))(chunk, thread); }, &body},
           chunks);
  }

 private:
  struct Job {
    void (*call)(const void* context, int64_t chunk, int64_t thread) = nullptr;
    const void* context = nullptr;
  };
  void RunJob(Job job, int64_t chunks);
  bool TakeChunk(int64_t thread);
  void Work(int64_t thread);
  void Park();
  bool HasWork() const;

  // generation << 32 | chunks that nobody has taken. A chunk is taken by compare-and-swap, so job_ is stable while one is held.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<int64_t> done_{0};
  std::atomic<int64_t> parked_{0};
  std::atomic<bool> stop_{false};
  Job job_;
  Mutex mutex_;
  CondVar wake_;
  std::vector<std::thread> workers_;
};

}  // namespace drover
