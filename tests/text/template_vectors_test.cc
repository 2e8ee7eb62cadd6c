// Chat templates and template features: the prompt, or the error, of the reference library.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

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

// "" when `got` is what the row wants.
std::string Judge(const Json& row, const absl::StatusOr<std::string>& got) {
  if (row.contains("expected")) {
    if (!got.ok()) return Message(got.status());
    return *got == row["expected"].get<std::string>() ? "" : "rendered " + *got;
  }
  const auto kind = row["error"]["kind"].get<std::string>();
  const auto message = row["error"]["message"].get<std::string>();
  if (got.ok()) return Cat("expected the error ", kind, ", rendered ", *got);
  if (kind == "raised" && (got.status().code() != absl::StatusCode::kFailedPrecondition || Message(got.status()) != message))
    return Cat("expected ", message, ", found ", Message(got.status()));
  if ((kind == "syntax" || kind == "undefined") && Message(got.status()).find(kind) == std::string::npos)
    return Cat("expected a message of kind ", kind, ", found ", Message(got.status()));
  return "";
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
    EXPECT_EQ(Judge(row, chat_template->Render(context)), "") << row["name"] << "\nwanted " << row.dump(-1, ' ', true).substr(0, 1500);
  }
}

INSTANTIATE_TEST_SUITE_P(All, TemplateVectors, testing::ValuesIn(Folders()),
                         [](const auto& each) { return each.param.filename().string(); });

TEST(TemplateVectorsCorpus, IsComplete) {
  if (!fs::exists(SharedText() / "templates"))
    GTEST_SKIP() << SharedText() / "templates" << " is absent: only the templates in tests/testdata/text were run";
  EXPECT_EQ(Folders().size(), 21u);
}

// Snippets that this engine answers otherwise than the reference, each with why. None of them is known from a model's template.
const std::set<int> kKnownDifferences = {
    10,   // {1: .., true: ..} are one key in Python
    85,   // 2 ** -1 is refused instead of 0.5
    101,  // [1] == (1,) is true
    131,  // a dict member called like a method hides the method
    146,  // a slice of a tuple prints as a list
    247,  // macros have no varargs and kwargs
    254,  // a macro default cannot name an earlier parameter
    279, 382,  // methods are no values of their own
    408,  // tojson prints a namespace
    483,  // no autoescape blocks
    507,  // 1 / 0 is inf
    516, 517, 524,  // values of different types compare instead of failing
    529,  // a list may be a key
};

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
    const bool known = kKnownDifferences.contains(row["id"].get<int>());
    const std::string problem = Judge(row, got);
    EXPECT_EQ(problem.empty(), !known) << row.dump(-1, ' ', true).substr(0, 600) << "\n" << problem;
  }
}

}  // namespace
}  // namespace drover::text
