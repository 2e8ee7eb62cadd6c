// BoundedQueue: full, closed, timed out, and handed over between threads in order.
#include "common/queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace drover {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(BoundedQueue, RefusesWhenFullOrClosed) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  EXPECT_TRUE(queue.TryPush(2));
  EXPECT_FALSE(queue.TryPush(3));
  queue.Close();
  EXPECT_EQ(queue.Pop(seconds(1)), 1);
  EXPECT_FALSE(queue.TryPush(4));
  EXPECT_EQ(queue.TakeAll(), std::vector<int>{2});
  EXPECT_EQ(queue.Pop(seconds(10)), std::nullopt);
}

TEST(BoundedQueue, PopGivesUpAtItsTimeout) {
  BoundedQueue<int> queue(1);
  EXPECT_EQ(queue.Pop(milliseconds(5)), std::nullopt);
  EXPECT_FALSE(queue.WaitForItem(milliseconds(5)));
}

TEST(BoundedQueue, HandsOverInOrderBetweenThreads) {
  BoundedQueue<int> queue(4);
  std::thread producer([&] {
    for (int i = 0; i < 1000;) {
      if (queue.TryPush(i)) ++i;
      else std::this_thread::yield();
    }
    queue.Close();
  });
  int expected = 0;
  while (const std::optional<int> item = queue.Pop(seconds(10))) EXPECT_EQ(*item, expected++);
  producer.join();
  EXPECT_EQ(expected, 1000);
}

}  // namespace
}  // namespace drover
