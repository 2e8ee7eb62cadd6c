// Help texts fit a terminal.
#include "common/help.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

TEST(Help, LinesBreakAtSpacesAndLongWordsStayWhole) {
  EXPECT_EQ(Wrap("", 5), "");
  EXPECT_EQ(Wrap("ab cd", 5), "ab cd");
  EXPECT_EQ(Wrap("ab cde", 5), "ab\ncde");
  EXPECT_EQ(Wrap("a longerword b", 5), "a\nlongerword\nb");
}

TEST(Help, NoLineIsWiderThanATerminal) {
  CLI::App app("Does what it says, and says what it does in so many words that they need more than one line of a terminal.");
  app.formatter(HelpFormat(20));
  int value = 0;
  app.add_option("--a-rather-long-option", value, "Stands for something that takes a good many words to tell, more than a line");
  std::istringstream lines(app.help());
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), kHelpColumns) << line;
}

}  // namespace
}  // namespace drover
