// See thread_pool.h.
#include "kernels/cpu/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>

#include "common/check.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(60);  // longer than the gap between two operations of a step
constexpr auto kParkMax = std::chrono::seconds(10);    // a bound on the wait, not a period of anything
constexpr uint64_t kChunkMask = 0xffffffff;
constexpr int kPausesPerLook = 32;

// True once `ready` holds; false after `limit`. Gives the core away now and then, in case there are more threads than cores.
template <class Ready>
bool SpinUntil(const Ready& ready, Clock::duration limit) {
  const Clock::time_point end = Clock::now() + limit;
  do {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (ready()) return true;
      std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    sched_yield();
  } while (Clock::now() < end);
  return ready();
}

}  // namespace

ThreadPool::ThreadPool(int64_t threads) {
  for (int64_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { Work(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  {
    MutexLock lock(mutex_);
    wake_.NotifyAll();
  }
  for (std::thread& worker : workers_) worker.join();
}

bool ThreadPool::HasWork() const { return (ticket_.load() & kChunkMask) != 0; }

void ThreadPool::RunJob(Job job, int64_t chunks) {
  DROVER_CHECK(chunks >= 0 && chunks < (int64_t{1} << 31));
  if (workers_.empty() || chunks <= 1) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) job.call(job.context, chunk, 0);
    return;
  }
  job_ = job;
  done_.store(0, std::memory_order_relaxed);
  const uint64_t generation = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  ticket_.store(generation << 32 | static_cast<uint64_t>(chunks));
  if (parked_.load() > 0) {  // sequentially consistent with Park: either we see it parked or it sees the ticket
    MutexLock lock(mutex_);
    wake_.NotifyAll();
  }
  while (TakeChunk(0)) {
  }
  while (!SpinUntil([this, chunks] { return done_.load(std::memory_order_acquire) == chunks; }, kSpin)) {
  }
}

bool ThreadPool::TakeChunk(int64_t thread) {
  uint64_t ticket = ticket_.load();
  do {
    if ((ticket & kChunkMask) == 0) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket - 1));
  job_.call(job_.context, static_cast<int64_t>(ticket & kChunkMask) - 1, thread);
  done_.fetch_add(1, std::memory_order_release);
  return true;
}

void ThreadPool::Work(int64_t thread) {
  while (!stop_.load(std::memory_order_relaxed)) {
    while (TakeChunk(thread)) {
    }
    if (!SpinUntil([this] { return HasWork() || stop_.load(std::memory_order_relaxed); }, kSpin)) Park();
  }
}

void ThreadPool::Park() {
  MutexLock lock(mutex_);
  parked_.fetch_add(1);
  while (!HasWork() && !stop_.load()) wake_.WaitUntil(mutex_, Clock::now() + kParkMax);
  parked_.fetch_sub(1);
}

}  // namespace drover
