// Watchdog: it speaks when nobody disarmed it, and only then.
#include "worker/watchdog.h"

#include <gtest/gtest.h>

#include "common/queue.h"

namespace drover {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(WatchdogTest, SpeaksOnceWithWhatWasArmedLast) {
  BoundedQueue<std::string> said(8);
  Watchdog dog([&](const std::string& what) { said.TryPush(what); });
  dog.Arm("far", seconds(100));
  dog.Arm("near", milliseconds(20));
  EXPECT_EQ(said.Pop(seconds(10)), "near");
  EXPECT_EQ(said.Pop(milliseconds(60)), std::nullopt);
  dog.Arm("again", milliseconds(1));
  EXPECT_EQ(said.Pop(seconds(10)), "again");
}

TEST(WatchdogTest, DisarmedInTimeItIsSilent) {
  BoundedQueue<std::string> said(8);
  Watchdog dog([&](const std::string& what) { said.TryPush(what); });
  dog.Arm("step", milliseconds(500));
  dog.Disarm();
  dog.Arm("later", seconds(100));
  EXPECT_EQ(said.Pop(milliseconds(700)), std::nullopt);
}

}  // namespace
}  // namespace drover
