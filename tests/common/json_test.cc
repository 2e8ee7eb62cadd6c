// JSON under limits: what is refused, where, and why.
#include "common/json.h"

#include <gtest/gtest.h>

#include <chrono>

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

std::string ManyKeys(int count) {
  std::string text = "{\"first\":0";
  for (int i = 0; i < count; ++i) text += ",\"k" + std::to_string(i) + "\":" + std::to_string(i);
  return text + "}";
}

double SecondsToParse(int keys) {
  const std::string text = ManyKeys(keys);
  const auto begin = std::chrono::steady_clock::now();
  const absl::StatusOr<Json> value = ParseJson(text);
  EXPECT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->size(), static_cast<size_t>(keys) + 1);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Ten times the keys: ten times the work, where a search for every key would cost a hundred times (and then over a minute).
TEST(ParseJson, ManyKeysCostNoMoreThanTheirNumber) {
  const double few = SecondsToParse(9'000), many = SecondsToParse(90'000);
  EXPECT_LT(many, 40 * few + 1);
}

TEST(ParseJson, BuildsEverySortOfValueInPlace) {
  const char* text = R"({"a":[1,-2,3.5,"x",null,true,[],{}],"b":{"c":[{"d":[[]]}],"e":""},"f":false})";
  const absl::StatusOr<Json> value = ParseJson(text);
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->dump(), text);
  EXPECT_EQ(ParseJson(" 7 ")->get<int>(), 7);
}

TEST(ReadJsonFile, NamesTheMissingFile) {
  EXPECT_EQ(Message(ReadJsonFile("/nowhere/config.json", {}).status()), "/nowhere/config.json: no such file");
}

}  // namespace
}  // namespace drover
