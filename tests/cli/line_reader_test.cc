// Lines that arrive in pieces, without a last line's end, or never.
#include "cli/line_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace drover {
namespace {

class LineReaderTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pipe(ends_), 0); }
  void TearDown() override {
    close(ends_[0]);
    CloseWriter();
  }
  void Write(const std::string& text) { ASSERT_EQ(write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size())); }
  void CloseWriter() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }
  int ends_[2] = {-1, -1};
};

TEST_F(LineReaderTest, GivesLinesAndTheUnfinishedLast) {
  Write("one\n\nthree");
  CloseWriter();
  LineReader lines(ends_[0], [] { return true; });
  EXPECT_EQ(lines.Next(), "one");
  EXPECT_EQ(lines.Next(), "");
  EXPECT_EQ(lines.Next(), "three");
  EXPECT_EQ(lines.Next(), std::nullopt);
}

TEST_F(LineReaderTest, EndsWhenWaitingIsGivenUp) {
  LineReader lines(ends_[0], [] { return false; });
  EXPECT_EQ(lines.Next(), std::nullopt);
}

TEST_F(LineReaderTest, ALineWithoutEndIsBounded) {
  LineReader lines(ends_[0], [this] {
    Write(std::string(4096, 'x'));
    return true;
  });
  EXPECT_EQ(lines.Next(), std::nullopt);
}

}  // namespace
}  // namespace drover
