// The JSON-lines engines of the tokenize and render commands.
#include "cli/text_lines.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/text/golden_text.h"

namespace drover {
namespace {

text::ModelText Open(const std::filesystem::path& path) {
  const auto no_gguf = [](const std::string&) -> absl::StatusOr<Vocabulary> { return Unimplemented("no GGUF here"); };
  absl::StatusOr<text::ModelText> opened = OpenText(path.string(), no_gguf);
  EXPECT_TRUE(opened.ok()) << opened.status();
  return *std::move(opened);
}

TEST(TokenizeLines, AnswersBothWaysAndGoesOnAfterErrors) {
  const text::ModelText model = Open(text::RepositoryText() / "features/bytelevel_gpt2/tokenizer.json");
  std::istringstream in(
      "{\"text\": \"a<|end|>\", \"parse_special\": true}\n"
      "not json\n\n"
      "{\"ids\": [-1]}\n"
      "{\"text\": 5}\n"
      "{\"ids\": [99999999]}\n"
      "{\"add_special_tokens\": true}\n"
      "{\"text\": \"\"}");
  std::ostringstream out;
  EXPECT_EQ(RunTokenizeLines(*model.tokenizer, in, out), 5);
  std::istringstream lines(out.str());
  std::vector<Json> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(*ParseJson(line));
  ASSERT_EQ(rows.size(), 7u) << out.str();
  ASSERT_TRUE(rows[0].contains("ids")) << out.str();
  EXPECT_EQ(rows[0]["ids"].back(), *model.tokenizer->TokenId("<|end|>"));
  for (size_t i = 1; i < 6; ++i) EXPECT_TRUE(rows[i].contains("error")) << i << " " << out.str();
  EXPECT_EQ(rows[6], Json({{"ids", Json::array()}}));
}

TEST(RenderLines, PutKeywordsAndOtherMembersBeforeTheTemplate) {
  const text::ModelText model = Open(text::RepositoryText() / "templates/llama3_1/template.jinja");
  const std::vector<Json> rows = text::ReadLines(text::RepositoryText() / "templates/llama3_1/vectors.jsonl");
  std::stringstream in;
  for (const Json& row : rows) in << row.dump() << '\n';
  std::stringstream out;
  RunRenderLines(*model.chat_template, {}, in, out);
  for (const Json& row : rows) {
    std::string line;
    ASSERT_TRUE(std::getline(out, line));
    const Json answer = *ParseJson(line);
    if (row.contains("expected")) {
      EXPECT_EQ(answer["prompt"], row["expected"]) << row["name"];
    } else {
      EXPECT_TRUE(answer.contains("error")) << line;
    }
  }
}

TEST(OpenText, RefusesWhatIsNoTextFileByName) {
  const auto no_gguf = [](const std::string& path) -> absl::StatusOr<Vocabulary> { return Unimplemented(path, ": no GGUF here"); };
  EXPECT_EQ(OpenText("/nowhere/tokenizer.json", no_gguf).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(OpenText("/nowhere/model.gguf", no_gguf).status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace drover
