// What a model's directory says about text.
#include "text/model_text.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/text/golden_text.h"

namespace drover::text {
namespace {

namespace fs = std::filesystem;

class Directory : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/model_text_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  void TearDown() override { fs::remove_all(path_); }

  void Write(const std::string& name, const std::string& text) { std::ofstream(path_ / name) << text; }
  void AddTokenizer() { fs::copy(RepositoryText() / "features/bytelevel_gpt2/tokenizer.json", path_ / "tokenizer.json"); }
  ModelText Load() {
    absl::StatusOr<ModelText> text = LoadModelText(path_.string());
    EXPECT_TRUE(text.ok()) << text.status();
    return *std::move(text);
  }
  static std::string Say(const ChatTemplate& chat_template) { return *chat_template.Render(ChatContext()); }

  fs::path path_;
};

TEST_F(Directory, WithoutTokenizerIsFine) {
  const ModelText text = Load();
  EXPECT_FALSE(text.tokenizer.has_value());
  EXPECT_FALSE(text.chat_template.has_value());
}

TEST_F(Directory, TokensMayBeTextOrObjects) {
  AddTokenizer();
  Write("tokenizer_config.json", R"({"bos_token": {"content": "<|begin|>", "lstrip": false}, "eos_token": "<|end|>", "pad_token": null})");
  Write("special_tokens_map.json", R"({"bos_token": "<other>", "unk_token": "<unk>"})");
  const ModelText text = Load();
  const std::map<std::string, std::string> want = {{"bos_token", "<other>"}, {"eos_token", "<|end|>"}, {"unk_token", "<unk>"}};
  EXPECT_EQ(text.special_tokens, want);
  EXPECT_EQ(text.end_ids, std::vector<int32_t>{*text.tokenizer->TokenId("<|end|>")});
}

TEST_F(Directory, EveryEndIdCounts) {
  AddTokenizer();
  Write("config.json", R"({"eos_token_id": 7})");
  Write("generation_config.json", R"({"eos_token_id": [5, 6, 5]})");
  EXPECT_EQ(Load().end_ids, (std::vector<int32_t>{5, 6}));
  Write("tokenizer_config.json", R"({"eos_token": "<|end|>"})");
  EXPECT_EQ(Load().end_ids, (std::vector<int32_t>{5, 6, 0}));
  Write("generation_config.json", "{}");
  EXPECT_EQ(Load().end_ids, (std::vector<int32_t>{7, 0}));
}

TEST_F(Directory, TemplatesHaveAnOrder) {
  Write("tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]})");
  const ModelText named = Load();
  EXPECT_EQ(Say(*named.TemplateFor(nullptr)), "d");
  EXPECT_EQ(Say(*named.TemplateFor(Json::array({1}))), "t");
  Write("chat_template.json", R"({"chat_template": "j"})");
  EXPECT_EQ(Say(*Load().chat_template), "j");
  Write("chat_template.jinja", "f");
  EXPECT_EQ(Say(*Load().chat_template), "f");
}

TEST_F(Directory, PiecesTakeBosAndEosFromTheConfig) {
  fs::copy(RepositoryText() / "features/sp_bpe_byte_fallback/tokenizer.model", path_ / "tokenizer.model");
  const auto around = [this](const char* config) {
    Write("tokenizer_config.json", config);
    const ModelText text = Load();
    const std::vector<int32_t> ids = *text.tokenizer->Encode("a");
    return std::pair(*text.tokenizer->IdToPiece(ids.front()) == "<s>", *text.tokenizer->IdToPiece(ids.back()) == "</s>");
  };
  EXPECT_EQ(around("{}"), std::pair(true, false));
  EXPECT_EQ(around(R"({"add_bos_token": false})"), std::pair(false, false));
  EXPECT_EQ(around(R"({"add_bos_token": true, "add_eos_token": true})"), std::pair(true, true));
  EXPECT_EQ(around(R"({"add_bos_token": 1, "add_eos_token": null, "pad_token": "<pad>"})"), std::pair(true, false));
}

TEST_F(Directory, HostileConfigsAreAnErrorOrLeftAlone) {
  AddTokenizer();
  for (const char* config : {R"({"added_tokens_decoder": {"x": 5, "-1": {"content": "q"}, "99999999999999999999": {"content": "r"}, "3": {"content": ""}}})",
                             R"({"added_tokens_decoder": [1], "eos_token": 5, "pad_token": {"content": 7}, "extra_special_tokens": [null, 4, ""]})",
                             R"({"chat_template": null, "additional_special_tokens": "x", "a_token": false})"}) {
    Write("tokenizer_config.json", config);
    EXPECT_EQ(*Load().tokenizer->Encode("Hello world"), (std::vector<int32_t>{41, 270, 440, 283, 259, 77, 69})) << config;
  }
  Write("tokenizer_config.json", R"({"pad_token": ")" + std::string(5000, 'p') + "\"}");
  EXPECT_EQ(LoadModelText(path_.string()).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(Directory, FaultsNameTheFile) {
  Write("tokenizer.json", "{\"version\": \"1.0\"");
  EXPECT_NE(Message(LoadModelText(path_.string()).status()).find("tokenizer.json"), std::string::npos);
  fs::remove(path_ / "tokenizer.json");
  Write("chat_template.jinja", "{% if x %}");
  const std::string problem = Message(LoadModelText(path_.string()).status());
  EXPECT_NE(problem.find("chat_template.jinja"), std::string::npos) << problem;
  fs::remove(path_ / "chat_template.jinja");
  Write("generation_config.json", "[1]");
  EXPECT_NE(Message(LoadModelText(path_.string()).status()).find("generation_config.json"), std::string::npos);
}

TEST(ModelTextOfAVocabulary, TakesTokensAndTemplateFromIt) {
  const Vocabulary vocabulary = {.model = "gpt2", .pre = "gpt-2", .tokens = {"a", "b", "ab", "<s>", "</s>"},
                                 .types = {TokenType::kNormal, TokenType::kNormal, TokenType::kNormal, TokenType::kControl, TokenType::kControl},
                                 .merges = {"a b"}, .bos = 3, .eos = 4, .end_ids = {4, 2}, .add_bos = true,
                                 .chat_template = "{{ bos_token }}{{ messages[0].content }}"};
  const absl::StatusOr<ModelText> text = ModelTextFromVocabulary(vocabulary);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->end_ids, (std::vector<int32_t>{4, 2}));
  EXPECT_EQ(*text->tokenizer->Encode("ab"), (std::vector<int32_t>{3, 2}));
  EXPECT_EQ(*text->tokenizer->Encode("</s>ab", {.add_special_tokens = false, .parse_special = true}), (std::vector<int32_t>{4, 2}));
  ChatContext context = {.special_tokens = text->special_tokens};
  context.variables["messages"] = Json::array({{{"content", "x"}}});
  EXPECT_EQ(*text->chat_template->Render(context), "<s>x");
}

TEST(ModelTextOfAVocabulary, MergesSentencePiecesByScore) {
  constexpr TokenType kNormal = TokenType::kNormal;
  const Vocabulary vocabulary = {
      .model = "llama", .pre = "default",
      .tokens = {"<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "\xe2\x96\x81", "a", "b", "ab", "\xe2\x96\x81""a", "\xe2\x96\x81""ab"},
      .scores = {0, 0, 0, 0, 0, -5, -6, -7, -1, -3, -2},
      .types = {TokenType::kUnknown, TokenType::kControl, TokenType::kControl, TokenType::kByte, TokenType::kByte, kNormal, kNormal,
                kNormal, kNormal, kNormal, kNormal},
      .bos = 1, .eos = 2};
  const absl::StatusOr<Tokenizer> tokenizer = Tokenizer::FromVocabulary(vocabulary);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(*tokenizer->Encode("ab a\u00e9"), (std::vector<int32_t>{1, 10, 9, 3, 4}));
  EXPECT_EQ(*tokenizer->Encode("a</s>a", {.parse_special = true}), (std::vector<int32_t>{1, 9, 2, 9}));
  EXPECT_EQ(*tokenizer->Decode(std::vector<int32_t>{1, 10, 9, 3, 4, 2}, true), "ab a\u00e9");
}

TEST(Pieces, ShowTheirBytes) {
  const absl::StatusOr<Tokenizer> byte_level = LoadFeature(RepositoryText() / "features/bytelevel_gpt2");
  const absl::StatusOr<Tokenizer> pieces = LoadFeature(RepositoryText() / "features/sp_bpe_byte_fallback");
  ASSERT_TRUE(byte_level.ok() && pieces.ok());
  EXPECT_EQ(*byte_level->IdToBytes(*byte_level->TokenId("\xc4\xa0")), " ");
  EXPECT_EQ(*pieces->IdToBytes(*pieces->TokenId("<0xE4>")), "\xe4");
  EXPECT_EQ(*pieces->IdToBytes(*pieces->TokenId("\xe2\x96\x81")), " ");
  EXPECT_FALSE(pieces->IdToBytes(-1).ok());
  EXPECT_FALSE(pieces->IdToPiece(static_cast<int32_t>(pieces->VocabSize())).ok());
  EXPECT_FALSE(pieces->TokenId("no such piece").has_value());
}

}  // namespace
}  // namespace drover::text
