// Files and texts made to hurt: every one is an error or an answer in reasonable time, never a crash.
#include <gtest/gtest.h>

#include <ctime>
#include <functional>
#include <random>

#include "tests/text/golden_text.h"
#include "text/model_text.h"
#include "text/prompt.h"

namespace drover::text {
namespace {

Json Base() {
  absl::StatusOr<Json> json = ParseJson(ReadAll(RepositoryText() / "features/bytelevel_gpt2/tokenizer.json"), {.bytes = 1 << 20});
  EXPECT_TRUE(json.ok()) << json.status();
  return *std::move(json);
}

std::string Refusal(const Json& json) {
  const absl::StatusOr<Tokenizer> tokenizer = Tokenizer::FromJson(json.dump());
  return tokenizer.ok() ? "" : Message(tokenizer.status());
}

Json Added(int64_t id, const std::string& content) {
  return {{"id", id}, {"content", content}, {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

TEST(HostileTokenizer, EachFaultIsNamed) {
  struct Fault {
    const char* says;
    std::function<void(Json&)> make;
  };
  const std::vector<Fault> faults = {
      {"empty content", [](Json& j) { j["added_tokens"].push_back(Added(470, "")); }},
      {"has id 9999", [](Json& j) { j["added_tokens"].push_back(Added(9999, "<|gap|>")); }},
      {"belongs to both", [](Json& j) { j["model"]["vocab"]["\u00c4\u00c4"] = j["model"]["vocab"].begin().value(); }},
      {"found id", [](Json& j) { j["model"]["vocab"]["huge"] = 4000000000u; }},
      {"invalid value", [](Json& j) { j["model"]["vocab"]["bad"] = -1; }},
      {"out of vocabulary", [](Json& j) { j["model"]["merges"].push_back({"nosuch", "piece"}); }},
      {"4096", [](Json& j) { j["model"]["vocab"][std::string(5000, 'x')] = 480; }},
      {"Quantum", [](Json& j) { j["normalizer"] = {{"type", "Quantum"}}; }},
      {"Mystery", [](Json& j) { j["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Mystery"}}}}}; }},
      {"Odd", [](Json& j) { j["post_processor"] = {{"type", "Odd"}}; }},
      {"Strange", [](Json& j) { j["decoder"] = {{"type", "Strange"}}; }},
      {"Other", [](Json& j) { j["model"]["type"] = "Other"; }},
      {"dropout", [](Json& j) { j["model"]["dropout"] = 0.5; }},
      {"model", [](Json& j) { j.erase("model"); }},
      {"nesting", [](Json& j) {
         Json deep = Json::object();
         for (int i = 0; i < 60; ++i) deep = Json::array({deep});
         j["extra"] = deep;
       }},
  };
  for (const Fault& fault : faults) {
    Json json = Base();
    fault.make(json);
    const std::string refusal = Refusal(json);

    EXPECT_NE(refusal.find(fault.says), std::string::npos) << fault.says << " against " << refusal;
  }
  EXPECT_EQ(Refusal(Base()), "");
}

TEST(HostileTokenizer, TruncatedAndChangedBytesAreNeverFatal) {
  const std::string json = ReadAll(RepositoryText() / "features/bytelevel_gpt2/tokenizer.json");
  const std::string model = ReadAll(RepositoryText() / "features/sp_bpe_byte_fallback/tokenizer.model");
  std::mt19937 random(7);
  const auto pick = [&random](size_t below) { return static_cast<size_t>(random() % below); };
  for (int i = 0; i < 200; ++i) {
    std::string bad_json = json.substr(0, i % 2 == 0 ? pick(json.size()) : json.size());
    std::string bad_model = model.substr(0, i % 2 == 0 ? pick(model.size()) : model.size());
    for (int change = 0; change < 4; ++change) {
      if (!bad_json.empty()) bad_json[pick(bad_json.size())] = static_cast<char>(random());
      if (!bad_model.empty()) bad_model[pick(bad_model.size())] = static_cast<char>(random());
    }
    const absl::StatusOr<Tokenizer> from_json = Tokenizer::FromJson(bad_json);
    const absl::StatusOr<Tokenizer> from_model = Tokenizer::FromSentencePiece(bad_model);
    for (const absl::StatusOr<Tokenizer>* tokenizer : {&from_json, &from_model})
      if (tokenizer->ok()) (void)(*tokenizer)->Encode("some text <|end|> \xe4\xbd\xa0", {.parse_special = true});
  }
}

TEST(HostileTokenizer, ForeignFilesAreErrors) {
  for (const char* text : {"", "{}", "[]", "null", "\n", "\x0a\x05hello", "AA== 0\nbroken"}) {
    EXPECT_FALSE(Tokenizer::FromJson(text).ok()) << text;
    EXPECT_FALSE(Tokenizer::FromSentencePiece(text).ok()) << text;
    EXPECT_FALSE(Tokenizer::FromTekken(text).ok()) << text;
    EXPECT_FALSE(Tokenizer::FromTiktoken(text, "{}").ok()) << text;
  }
}

TEST(HostileVocabulary, IsRefusedByName) {
  Vocabulary vocabulary = {.model = "gpt2", .pre = "gpt-2", .tokens = {"a", "b", "ab"}, .merges = {"a b"}};
  EXPECT_TRUE(Tokenizer::FromVocabulary(vocabulary).ok()) << Tokenizer::FromVocabulary(vocabulary).status();
  const auto refusal = [&vocabulary](const std::function<void(Vocabulary&)>& change) {
    Vocabulary bad = vocabulary;
    change(bad);
    const absl::StatusOr<Tokenizer> tokenizer = Tokenizer::FromVocabulary(bad);
    return tokenizer.ok() ? std::string() : Message(tokenizer.status());
  };
  EXPECT_NE(refusal([](Vocabulary& v) { v.pre = "martian"; }).find("martian"), std::string::npos);
  EXPECT_NE(refusal([](Vocabulary& v) { v.model = "rwkv"; }).find("rwkv"), std::string::npos);
  EXPECT_NE(refusal([](Vocabulary& v) { v.tokens.push_back("a"); }).find("twice"), std::string::npos);
  EXPECT_NE(refusal([](Vocabulary& v) { v.merges.push_back("nospace"); }).find("two parts"), std::string::npos);
  EXPECT_NE(refusal([](Vocabulary& v) { v.types = {TokenType::kNormal}; }).find("token_type"), std::string::npos);
  EXPECT_NE(refusal([](Vocabulary& v) { v.bos = 7; }).find("bos"), std::string::npos);
  EXPECT_NE(refusal([](Vocabulary& v) { v.tokens[0] = "\xff"; }), "");
  EXPECT_NE(refusal([](Vocabulary& v) { v.tokens.clear(); }), "");
}

// The growth of the time from one size to the double one stays far from quadratic.
TEST(HostileText, CostsAboutItsLength) {
  const absl::StatusOr<Tokenizer> byte_level = LoadFeature(RepositoryText() / "features/bytelevel_gpt2");
  const absl::StatusOr<Tokenizer> pieces = LoadFeature(RepositoryText() / "features/sp_bpe_byte_fallback");
  ASSERT_TRUE(byte_level.ok() && pieces.ok());
  for (const Tokenizer* tokenizer : {&*byte_level, &*pieces}) {
    for (const std::string& unit : {std::string("a"), std::string(" "), std::string("\r\n"), std::string("a "), std::string("\xf0\x9f\x91\xa9\xe2\x80\x8d")}) {
      const auto seconds = [&](size_t bytes) {
        std::string text;
        while (text.size() < bytes) text += unit;
        const std::clock_t start = std::clock();  // of the processor: other work on the machine does not count
        EXPECT_TRUE(tokenizer->Encode(text).ok());
        return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      };
      const double small = seconds(64 << 10), large = seconds(512 << 10);
      // 8 times the text: 8 times the time when linear, 64 times when quadratic.
      EXPECT_LT(large, 32 * small + 0.5) << Json(unit).dump(-1, ' ', true);
    }
  }
  EXPECT_EQ(byte_level->Encode(std::string(100, 'a'), {.max_bytes = 99}).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(byte_level->Encode("\xff\xfe").ok());
}

// Many messages full of what could begin a special token.
TEST(HostileChat, CostsAboutItsLength) {
  const absl::StatusOr<Tokenizer> tokenizer = LoadFeature(RepositoryText() / "features/bytelevel_gpt2");
  const absl::StatusOr<ChatTemplate> chat_template =
      ChatTemplate::Parse("{% for m in messages %}<|begin|>{{ m['content'] }}<|end|>{% endfor %}");
  ASSERT_TRUE(tokenizer.ok() && chat_template.ok());
  const auto seconds = [&](int messages) {
    ChatContext context;
    for (int i = 0; i < messages; ++i)
      context.variables["messages"].push_back({{"role", "user"}, {"content", std::string(300, '<') + "<|end|>"}});
    const std::clock_t start = std::clock();
    EXPECT_TRUE(EncodeChat(*tokenizer, *chat_template, context).ok());
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  const double small = seconds(500), large = seconds(4000);
  EXPECT_LT(large, 16 * small + 0.5);
}

}  // namespace
}  // namespace drover::text
