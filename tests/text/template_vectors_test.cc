// Chat templates and template features: the prompt, or the error, of the reference library.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/text/golden_text.h"
#include "text/chat_template.h"

namespace drover::text {
namespace {

namespace fs = std::filesystem;

fs::path Root() { return fs::exists(SharedText() / "templates") ? SharedText() / "templates" : RepositoryText() / "templates"; }

std::vector<fs::path> Folders() {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(Root()))
    if (entry.is_directory()) folders.push_back(entry.path());
  std::ranges::sort(folders);
  return folders;
}

class TemplateVectors : public testing::TestWithParam<fs::path> {};

TEST_P(TemplateVectors, AreReproduced) {
  const absl::StatusOr<ChatTemplate> chat_template = ChatTemplate::Parse(ReadAll(GetParam() / "template.jinja"));
  ASSERT_TRUE(chat_template.ok()) << chat_template.status();
  const std::vector<Json> rows = ReadLines(GetParam() / "vectors.jsonl");
  EXPECT_FALSE(rows.empty());
  for (const Json& row : rows) {
    ChatContext context = {.variables = row["kwargs"], .now = row.value("now", "2025-03-09T14:05:06")};
    for (const char* key : {"messages", "tools", "documents", "add_generation_prompt"})
      if (row.contains(key)) context.variables[key] = row[key];
    EXPECT_EQ(JudgeTemplate(row, chat_template->Render(context)), "") << row["name"] << "\nwanted " << row.dump(-1, ' ', true).substr(0, 1500);
  }
}

INSTANTIATE_TEST_SUITE_P(All, TemplateVectors, testing::ValuesIn(Folders()),
                         [](const auto& each) { return each.param.filename().string(); });

TEST(TemplateVectorsCorpus, IsComplete) {
  if (!fs::exists(SharedText() / "templates"))
    GTEST_SKIP() << SharedText() / "templates" << " is absent: only the templates in tests/testdata/text were run";
  EXPECT_EQ(Folders().size(), 21u);
}

TEST(TemplateFeatures, AreReproduced) {
  const fs::path path = Root() / "features.jsonl";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is absent";
  const std::vector<Json> rows = ReadLines(path);
  EXPECT_EQ(rows.size(), 622u);
  for (const Json& row : rows) {
    const auto got = [&]() -> absl::StatusOr<std::string> {
      DROVER_ASSIGN_OR_RETURN(const ChatTemplate snippet, ChatTemplate::Parse(row["template"].get<std::string>()));
      ChatContext context = {.variables = row["context"], .now = row.value("now", "2025-03-09T14:05:06")};
      return snippet.Render(context);
    }();
    EXPECT_EQ(JudgeTemplate(row, got), "") << row.dump(-1, ' ', true).substr(0, 600);
  }
}

}  // namespace
}  // namespace drover::text
