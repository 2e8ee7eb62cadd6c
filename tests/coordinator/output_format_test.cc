// What a body says that the answer must look like.
#include "coordinator/http/output_format.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

struct FormatCase {
  const char* name;
  const char* body;
  GrammarKind kind;
  const char* text;
};

class Formats : public ::testing::TestWithParam<FormatCase> {};
TEST_P(Formats, AreRead) {
  const absl::StatusOr<std::optional<GrammarText>> read = ReadOutputFormat(*ParseJson(GetParam().body));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_TRUE(read->has_value());
  EXPECT_EQ((*read)->kind, GetParam().kind);
  EXPECT_EQ((*read)->text, GetParam().text);
}
INSTANTIATE_TEST_SUITE_P(All, Formats, ::testing::Values(
    FormatCase{"AnyObject", R"({"response_format": {"type": "json_object"}})", GrammarKind::kJsonSchema, R"({"type": "object"})"},
    FormatCase{"Schema", R"({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": {"type":"null"}}}})",
               GrammarKind::kJsonSchema, R"({"type":"null"})"},
    FormatCase{"KeysKeepTheirOrder", R"({"guided_json": {"z":1,"a":2}})", GrammarKind::kJsonSchema, R"({"z":1,"a":2})"},
    FormatCase{"SchemaAsText", R"({"guided_json": "{}"})", GrammarKind::kJsonSchema, "{}"},
    FormatCase{"Regex", R"({"guided_regex": "[a-c]+\\d"})", GrammarKind::kRegex, "[a-c]+\\d"},
    FormatCase{"Choice", R"({"guided_choice": ["yes", "\"no\""]})", GrammarKind::kLark, R"(start: "yes" | "\"no\"")"},
    FormatCase{"Lark", R"({"guided_grammar": "start: \"a\""})", GrammarKind::kLark, "start: \"a\""},
    FormatCase{"StructuredSchema", R"({"structured_outputs": {"json": true}})", GrammarKind::kJsonSchema, "true"},
    FormatCase{"StructuredObject", R"({"structured_outputs": {"json_object": true}})", GrammarKind::kJsonSchema, R"({"type": "object"})"},
    FormatCase{"StructuredRegex", R"({"structured_outputs": {"regex": "a", "json": null}})", GrammarKind::kRegex, "a"},
    FormatCase{"StructuredChoice", R"({"structured_outputs": {"choice": ["a"]}})", GrammarKind::kLark, R"(start: "a")"},
    FormatCase{"StructuredLark", R"({"structured_outputs": {"grammar": "start: /a/"}})", GrammarKind::kLark, "start: /a/"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(OutputFormat, AnyTextNeedsNone) {
  for (const char* body : {"{}", R"({"response_format": null})", R"({"response_format": {"type": "text"}})", R"({"guided_json": null})"})
    EXPECT_EQ(*ReadOutputFormat(*ParseJson(body)), std::nullopt) << body;
}

TEST(OutputFormat, WhatIsNoneNamesItsField) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"response_format": "json"})", "response_format: "},
      {R"({"response_format": {"type": "xml"}})", "response_format.type: expected text, json_object or json_schema"},
      {R"({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}})", "response_format.json_schema.schema: "},
      {R"({"response_format": {"type": "json_schema", "json_schema": {"schema": 3}}})", "response_format.json_schema.schema: "},
      {R"({"guided_choice": []})", "guided_choice: "},
      {R"({"guided_choice": ["a", 1]})", "guided_choice[1]: "},
      {R"({"guided_regex": 1})", "guided_regex: "},
      {R"({"guided_regex": "a", "guided_json": {}})", "guided_regex: found with another field"},
      {R"({"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}})", "structured_outputs.regex: found with another field"},
      {R"({"structured_outputs": {}})", "structured_outputs: expected one of"},
      {R"({"structured_outputs": {"json_object": false}})", "structured_outputs.json_object: "},
      {R"({"structured_outputs": {"structural_tag": "x"}})", "structured_outputs: expected one of"},
      {R"({"structured_outputs": 1})", "structured_outputs: "}};
  for (const auto& [body, expected] : cases)
    EXPECT_EQ(Message(ReadOutputFormat(*ParseJson(body)).status()).rfind(expected, 0), 0u) << body << ": " << ReadOutputFormat(*ParseJson(body)).status();
}

}  // namespace
}  // namespace drover
