// The thread pool: every chunk once, whatever the timing; parked workers wake.
#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <ctime>

namespace drover {
namespace {

TEST(ThreadPool, RunsEveryChunkOnce) {
  for (const int64_t threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 300; ++round) {
      const int64_t chunks = round % 23;
      std::vector<std::atomic<int>> counts(static_cast<size_t>(chunks));
      pool.Run(chunks, [&](int64_t chunk, int64_t thread) {
        EXPECT_TRUE(thread >= 0 && thread < threads);
        counts[static_cast<size_t>(chunk)].fetch_add(1);
      });
      for (const auto& count : counts) EXPECT_EQ(count.load(), 1);
    }
  }
}

TEST(ThreadPool, WakesParkedWorkers) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // long enough to park; the result does not depend on it
    std::atomic<int> sum{0};
    pool.Run(100, [&](int64_t chunk, int64_t) { sum.fetch_add(static_cast<int>(chunk)); });
    EXPECT_EQ(sum.load(), 4950);
  }
}

TEST(ThreadPool, IdleWorkersUseNoCpu) {
  ThreadPool pool(4);
  pool.Run(8, [](int64_t, int64_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  const double cpu_seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(cpu_seconds, 0.1);  // a spinning team would use 0.4 s or more
}

}  // namespace
}  // namespace drover
