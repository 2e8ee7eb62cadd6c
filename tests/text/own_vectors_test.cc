// Our own vectors (tools/make_text_vectors.py): what expressions mean, and what the files beside a tokenizer change.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "tests/text/golden_text.h"
#include "text/chat_template.h"
#include "text/model_text.h"

namespace drover::text {
namespace {

namespace fs = std::filesystem;

TEST(OwnSnippets, AreReproduced) {
  const std::vector<Json> rows = ReadLines(RepositoryText() / "snippets.jsonl");
  ASSERT_GT(rows.size(), 1500u);
  for (size_t i = 1; i < rows.size(); ++i) {
    const auto got = [&]() -> absl::StatusOr<std::string> {
      DROVER_ASSIGN_OR_RETURN(const ChatTemplate snippet, ChatTemplate::Parse(rows[i]["template"].get<std::string>()));
      return snippet.Render({.variables = rows[0], .now = "2025-03-09T14:05:06"});
    }();
    EXPECT_EQ(JudgeTemplate(rows[i], got), "") << rows[i].dump(-1, ' ', true).substr(0, 600);
  }
}

std::vector<Json> Directories() { return ReadLines(RepositoryText() / "directories.jsonl"); }

class OwnDirectories : public testing::TestWithParam<Json> {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/directory_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
    fs::copy(RepositoryText() / "features/bytelevel_gpt2/tokenizer.json", path_ / "tokenizer.json");
    for (const auto& [name, content] : GetParam()["files"].items()) {
      fs::create_directories((path_ / name).parent_path());
      std::ofstream(path_ / name) << (content.is_string() ? content.get<std::string>() : content.dump());
    }
  }
  void TearDown() override { fs::remove_all(path_); }

  fs::path path_;
};

std::string Prompt(const ModelText& text, const Json& tools) {
  const ChatTemplate* chat_template = text.TemplateFor(tools);
  if (chat_template == nullptr) return "none";
  ChatContext context = {.special_tokens = text.special_tokens};
  context.variables = {{"messages", Json::array({{{"role", "user"}, {"content", "x"}}})}, {"tools", tools}};
  return *chat_template->Render(context);
}

TEST_P(OwnDirectories, AreReproduced) {
  const Json& row = GetParam();
  const absl::StatusOr<ModelText> text = LoadModelText(path_.string());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->special_tokens, (row["special_tokens"].get<std::map<std::string, std::string>>()));
  Json specials = Json::array();
  for (const Json& added : row["added"])
    if (added[2].get<bool>()) specials.push_back({added[0], added[1]});
  Json found = Json::array();
  for (const SpecialToken& token : text->tokenizer->special_tokens()) found.push_back({token.id, token.content});
  EXPECT_EQ(found, specials);
  for (const Json& each : row["texts"]) {
    const auto ids = each["ids"].get<std::vector<int32_t>>();
    const auto got = text->tokenizer->Encode(each["text"].get<std::string>(), {.parse_special = true});
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(*got, ids) << each["text"];
    EXPECT_EQ(*text->tokenizer->Decode(ids, true), each["decoded_skip"].get<std::string>());
  }
  EXPECT_EQ(Prompt(*text, nullptr), row["prompt"].is_null() ? "none" : row["prompt"].get<std::string>());
  EXPECT_EQ(Prompt(*text, Json::array({Json::object()})), row["prompt_with_tools"].is_null() ? "none" : row["prompt_with_tools"].get<std::string>());
}

INSTANTIATE_TEST_SUITE_P(All, OwnDirectories, testing::ValuesIn(Directories()),
                         [](const auto& each) { return each.param["name"].template get<std::string>(); });

}  // namespace
}  // namespace drover::text
