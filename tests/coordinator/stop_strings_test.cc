// Stop strings over every way of cutting a text into pieces.
#include "coordinator/stop_strings.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

struct StopCase {
  const char* name;
  std::vector<std::string> stops;
  std::string text, expected;
  std::optional<std::string> matched;
  bool include = false;
};

class Stops : public testing::TestWithParam<StopCase> {};

// What comes out does not depend on how the text was cut.
TEST_P(Stops, CutAnywhere) {
  const StopCase& c = GetParam();
  for (size_t first = 0; first <= c.text.size(); ++first) {
    for (size_t second = first; second <= c.text.size(); ++second) {
      StopMatcher matcher(c.stops, c.include);
      std::string out = matcher.Append(c.text.substr(0, first));
      out += matcher.Append(c.text.substr(first, second - first));
      out += matcher.Append(c.text.substr(second));
      out += matcher.Finish();
      EXPECT_EQ(out, c.expected) << "cut at " << first << " and " << second;
      EXPECT_EQ(matcher.matched(), c.matched);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Stops, testing::Values(
    StopCase{"NoStops", {}, "hello", "hello", std::nullopt},
    StopCase{"NoMatch", {"xyz"}, "hello", "hello", std::nullopt},
    StopCase{"InTheMiddle", {"ll"}, "hello", "he", "ll"},
    StopCase{"AtTheStart", {"he"}, "hello", "", "he"},
    StopCase{"AtTheEnd", {"lo"}, "hello", "hel", "lo"},
    StopCase{"HeldBackThenGivenOut", {"lox"}, "hello", "hello", std::nullopt},
    StopCase{"AFalseStartInsideAMatch", {"aab"}, "aaab", "a", "aab"},
    StopCase{"IncludedInTheAnswer", {"ll"}, "hello", "hell", "ll", true},
    StopCase{"TheOneThatEndsFirst", {"world", "lo w"}, "hello world", "hel", "lo w"},
    StopCase{"OfTwoThatEndTogetherTheLonger", {"o", "lo"}, "hello", "hel", "lo"},
    StopCase{"LineBreaks", {"\n\n"}, "a\nb\n\nc", "a\nb", "\n\n"},
    StopCase{"WholeText", {"hello"}, "hello", "", "hello"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(StopMatcher, GivesOutWhatCanNoLongerMatch) {
  StopMatcher matcher({"END"}, false);
  EXPECT_EQ(matcher.Append("abE"), "ab");
  EXPECT_EQ(matcher.Append("N"), "");
  EXPECT_EQ(matcher.Append("x"), "ENx");
}

}  // namespace
}  // namespace drover
