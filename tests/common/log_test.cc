// What a value may look like in a line of the log.
#include "common/log.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

TEST(Log, AValueStaysInItsLineAndCommandsNoTerminal) {
  testing::internal::CaptureStderr();
  StartLog("test", "info");
  Log(LogLevel::kInfo, "event", {{"plain", "x"}, {"hostile", "a\"b\n\x1b[2J\x7f"}});
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_NE(line.find("event plain=x hostile=\"a\\\"b  [2J \"\n"), std::string::npos) << line;
}

}  // namespace
}  // namespace drover
