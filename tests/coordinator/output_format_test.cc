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
  ClientRequest read;
  const absl::Status status = ReadOutputFormat(*ParseJson(GetParam().body), read);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(read.grammar, (GrammarText{GetParam().kind, GetParam().text}));
  EXPECT_NE(std::string(GetParam().body).find(read.grammar_field.substr(read.grammar_field.rfind('.') + 1)), std::string::npos);
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
    FormatCase{"StructuredRegex", R"({"structured_outputs": {"json_object": false, "regex": "a", "json": null, "disable_any_whitespace": false}})", GrammarKind::kRegex, "a"},
    FormatCase{"StructuredChoice", R"({"structured_outputs": {"choice": ["a"]}})", GrammarKind::kLark, R"(start: "a")"},
    FormatCase{"StructuredLark", R"({"structured_outputs": {"grammar": "start: /a/"}})", GrammarKind::kLark, "start: /a/"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(OutputFormat, AnyTextNeedsNone) {
  for (const char* body : {"{}", R"({"response_format": null})", R"({"response_format": {"type": "text"}})", R"({"guided_json": null})"}) {
    ClientRequest read;
    EXPECT_TRUE(ReadOutputFormat(*ParseJson(body), read).ok()) << body;
    EXPECT_FALSE(read.grammar.has_value()) << body;
  }
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
      {R"({"structured_outputs": {"json_object": false}})", "structured_outputs: expected one of"},
      {R"({"structured_outputs": {"json_object": 1}})", "structured_outputs.json_object: "},
      {R"({"structured_outputs": {"structural_tag": "x"}})", "structured_outputs.structural_tag: "},
      {R"({"structured_outputs": {"json": {}, "whitespace_pattern": " "}})", "structured_outputs.whitespace_pattern: "},
      {R"({"structured_outputs": 1})", "structured_outputs: "}};
  for (const auto& [body, expected] : cases) {
    ClientRequest read;
    const absl::Status status = ReadOutputFormat(*ParseJson(body), read);
    EXPECT_EQ(Message(status).rfind(expected, 0), 0u) << body << ": " << status;
  }
}

}  // namespace
}  // namespace drover
