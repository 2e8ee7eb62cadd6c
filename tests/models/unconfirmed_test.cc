// Files named UNCONFIRMED: how a line is read, hostile files, and those of the published configs.
#include "models/checkpoint/unconfirmed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "common/file.h"
#include "models/checkpoint/text.h"
#include "tests/models/model_files.h"

namespace drover {
namespace {

struct Case {
  const char* name;
  const char* line;
  Unconfirmed read;
};

class Line : public testing::TestWithParam<Case> {};

TEST_P(Line, IsReadAs) {
  const auto lines = ParseUnconfirmed(GetParam().line);
  ASSERT_TRUE(lines.ok()) << lines.status();
  ASSERT_EQ(lines->size(), 1u);
  EXPECT_EQ((*lines)[0].file, GetParam().read.file);
  EXPECT_EQ((*lines)[0].fields, GetParam().read.fields);
  EXPECT_EQ((*lines)[0].note, GetParam().read.note);
}

INSTANTIATE_TEST_SUITE_P(All, Line, testing::Values(
    Case{"AField", "rope_theta\n", {"config.json", {"rope_theta"}, ""}},
    Case{"ANestedFieldWithANote", "a.b_c (34 is the default; a copy says 4)", {"config.json", {"a.b_c"}, "34 is the default; a copy says 4"}},
    Case{"AFieldWithAColon", "norm_eps / rms_norm_eps: two copies differ", {"config.json", {"norm_eps", "rms_norm_eps"}, "two copies differ"}},
    Case{"TwoFields", "architectures and model_type (once another)", {"config.json", {"architectures", "model_type"}, "once another"}},
    Case{"AnotherFile", "params.json: max_seq_len (one copy only)", {"params.json", {"max_seq_len"}, "one copy only"}},
    Case{"ANoteBeforeFields", "not seen in the file: alibi, use_cache", {"config.json", {"alibi", "use_cache"}, "not seen in the file"}},
    Case{"ConfirmedOnesAreNotListed", "confirmed by a preset: eps, dtype", {"config.json", {}, "confirmed by a preset: eps, dtype"}},
    Case{"AWholeFile", "every field was taken from a copy", {"config.json", {}, "every field was taken from a copy"}},
    Case{"AnOpenBracket", "alibi (why", {"config.json", {"alibi"}, "why"}},
    Case{"CarriageReturnAndSpaces", "  alibi \t\r\n", {"config.json", {"alibi"}, ""}},
    Case{"Controls", "\x1b[2J\xff" "alibi\n", {"config.json", {}, "?[2J?alibi"}}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Unconfirmed, EmptyLinesAreNothing) { EXPECT_TRUE(ParseUnconfirmed("\n \n\r\n")->empty()); }

TEST(Unconfirmed, HasBounds) {
  std::string lines;
  for (int i = 0; i < 1001; ++i) lines += "alibi\n";
  EXPECT_EQ(ParseUnconfirmed(lines).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_LT((*ParseUnconfirmed(std::string(60'000, 'x') + " y"))[0].note.size(), 1100u);
  const test::TempDir dir;
  test::WriteFile(dir.Path("UNCONFIRMED"), std::string(1 << 20, 'x'));
  EXPECT_NE(Message(ReadUnconfirmed(dir.path()).status()).find("UNCONFIRMED"), std::string::npos);
}

TEST(Unconfirmed, LiesBesideAConfigAlone) {
  const test::TempDir dir;
  EXPECT_TRUE(ReadUnconfirmed(dir.path())->empty());
  test::WriteFile(dir.Path("UNCONFIRMED"), "alibi\n");
  EXPECT_EQ(ReadUnconfirmed(dir.path())->size(), 1u);
  EXPECT_EQ(ReadUnconfirmed(dir.Path("config.json"))->size(), 1u);
  EXPECT_TRUE(ReadUnconfirmed(dir.Path("model.gguf"))->empty());
}

TEST(Unconfirmed, EveryLineOfPublishedConfigsIsReported) {
  const std::string root = DROVER_SHARED_DIR "/models/";
  if (!std::filesystem::exists(root)) GTEST_SKIP() << "no configs of published models at " << root;
  std::map<std::string, std::vector<std::string>> fields;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    const auto text = ReadFile((entry.path() / "UNCONFIRMED").string(), 1 << 16);
    if (!text.ok()) continue;
    const auto lines = ReadUnconfirmed(entry.path().string());
    ASSERT_TRUE(lines.ok()) << lines.status();
    EXPECT_EQ(static_cast<std::ptrdiff_t>(lines->size()), std::ranges::count(*text, '\n')) << entry.path();
    for (const Unconfirmed& line : *lines)
      fields[entry.path().filename().string()].insert(fields[entry.path().filename().string()].end(), line.fields.begin(), line.fields.end());
  }
  EXPECT_EQ(fields.size(), 15u);
  EXPECT_EQ(fields["tiiuae--falcon-7b"], (std::vector<std::string>{"transformers_version", "num_kv_heads"}));
  EXPECT_EQ(fields["google--gemma-2b"], (std::vector<std::string>{"hidden_activation"}));
  EXPECT_EQ(fields["01-ai--Yi-34B"], (std::vector<std::string>{"architectures", "model_type", "bos_token_id", "eos_token_id", "pad_token_id",
                                                               "initializer_range", "torch_dtype", "transformers_version", "use_cache"}));
  EXPECT_EQ(fields["mosaicml--mpt-7b"], std::vector<std::string>());
}

TEST(Printable, KeepsWhatATerminalCanShow) {
  EXPECT_EQ(Printable("<｜begin▁of▁sentence｜>é", 100), "<｜begin▁of▁sentence｜>é");
  EXPECT_EQ(Printable("a\x1b[31m\n\x7f\xc2\x9b\xe2\x80\xae" "b", 100), "a?[31m???????b");
  EXPECT_EQ(Printable("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82", 100), "???????????");
  EXPECT_EQ(Printable("abcé", 4), "abc...");
}

}  // namespace
}  // namespace drover
