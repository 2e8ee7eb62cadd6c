// JSON under limits: what is refused, where, and why.
#include "common/json.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

struct BadCase {
  const char* name;
  std::string text;
  const char* message;  // part of the error
};

class BadJson : public testing::TestWithParam<BadCase> {};

TEST_P(BadJson, IsRefusedWithAReason) {
  const JsonLimits limits{.bytes = 4096, .depth = 8, .elements = 100};
  const absl::StatusOr<Json> value = ParseJson(GetParam().text, limits);
  ASSERT_FALSE(value.ok());
  EXPECT_NE(Message(value.status()).find(GetParam().message), std::string::npos) << value.status();
}

std::string Nested(int depth) { return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']'); }
std::string Many(int count) {
  std::string text = "[0";
  for (int i = 1; i < count; ++i) text += ",0";
  return text + "]";
}

INSTANTIATE_TEST_SUITE_P(All, BadJson, testing::Values(
    BadCase{"Empty", "", "byte"},
    BadCase{"Truncated", "{\"a\": 1", "byte 8"},
    BadCase{"TrailingBytes", "{} x", "byte"},
    BadCase{"Comment", "{} // no", "byte"},
    BadCase{"SingleQuotes", "{'a': 1}", "byte"},
    BadCase{"DuplicateKey", R"({"a": 1, "b": 2, "a": 3})", "duplicate key \"a\""},
    BadCase{"DuplicateKeyInside", R"({"x": {"a": 1, "a": 3}})", "duplicate key \"a\""},
    BadCase{"NaN", "[NaN]", "byte"},
    BadCase{"InvalidUtf8", "[\"\xff\"]", "byte"},
    BadCase{"LoneSurrogate", R"(["\ud800"])", "byte"},
    BadCase{"NumberTooLarge", "[1e400]", "number overflow"},
    BadCase{"TooDeep", Nested(9), "deeper than 8"},
    BadCase{"TooDeepByFar", Nested(2000), "deeper than 8"},
    BadCase{"TooManyValues", Many(101), "more than 100 values"},
    BadCase{"TooLong", std::string(5000, ' '), "larger than the limit of 4096"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ParseJson, KeepsMemberOrderAndAllowsEqualKeysInDifferentObjects) {
  const absl::StatusOr<Json> value = ParseJson(R"({"z": {"k": 1}, "a": {"k": 2}})");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->dump(), R"({"z":{"k":1},"a":{"k":2}})");
  EXPECT_TRUE(ParseJson(Nested(8), {.depth = 8}).ok());
}

TEST(ReadJsonFile, NamesTheMissingFile) {
  EXPECT_EQ(Message(ReadJsonFile("/nowhere/config.json", {}).status()), "/nowhere/config.json: no such file");
}

}  // namespace
}  // namespace drover
