// Grammars over every kind of tokenizer: what is allowed is what the grammar says, token by token, and nothing else.
#include "text/grammar.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <random>
#include <set>

#include "tests/text/golden_text.h"
#include "tests/text/grammar_walk.h"

namespace drover::text {
namespace {

constexpr const char* kPerson = R"({"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 6}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "tags": {"type": "array", "items": {"enum": ["red", "gr\u00fcn", 7]}, "maxItems": 3},
    "home": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/home"}]}},
  "required": ["name", "age", "tags", "home"], "additionalProperties": false,
  "$defs": {"home": {"type": "object", "properties": {"zip": {"type": "string", "pattern": "^[0-9]{5}$"}, "flat": {"type": "boolean"}},
                     "required": ["zip"], "additionalProperties": false}}})";

// nlohmann's reading of the text, and the schema above by hand; "" where both hold.
std::string WrongWithPerson(const std::string& text) {
  const absl::StatusOr<Json> json = ParseJson(text);
  if (!json.ok()) return Message(json.status());
  const auto has = [](const Json& object, std::vector<std::string> keys) {
    return object.is_object() && std::ranges::all_of(object.items(), [&](const auto& item) { return std::ranges::count(keys, item.key()) == 1; });
  };
  if (!has(*json, {"name", "age", "tags", "home"}) || json->size() != 4) return "the keys";
  if (!(*json)["name"].is_string() || !(*json)["age"].is_number_integer() || !(*json)["tags"].is_array()) return "a type";
  if ((*json)["age"] < 0 || (*json)["age"] > 150 || (*json)["tags"].size() > 3) return "a bound";
  for (const Json& tag : (*json)["tags"])
    if (tag != "red" && tag != "gr\u00fcn" && tag != 7) return "a tag";
  const Json& home = (*json)["home"];
  if (home.is_null()) return "";
  if (!has(home, {"zip", "flat"}) || !home.contains("zip") || (home.contains("flat") && !home["flat"].is_boolean())) return "the home";
  const auto zip = home["zip"].get<std::string>();
  return zip.size() == 5 && std::ranges::all_of(zip, [](char c) { return c >= '0' && c <= '9'; }) ? "" : "the zip code";
}

struct Source {
  std::string name;
  std::function<absl::StatusOr<Tokenizer>()> load;
  std::filesystem::path path;
};

std::vector<Source> Sources() {
  std::vector<Source> sources;
  for (const auto& folder : FeatureFolders()) sources.push_back({folder.filename().string(), [folder] { return LoadFeature(folder); }, folder});
  const std::set<std::string> kinds = {"llama3", "qwen3", "gemma3", "gptoss", "deepseek_v3", "gpt2", "llama2", "mistral_v1", "mistral_v3", "tekken_240911", "qwen_tiktoken", "smollm2"};
  for (const RealTokenizer& real : RealTokenizers())
    if (kinds.count(real.name) != 0) sources.push_back({Cat("real_", real.name), [real] { return LoadReal(real); }, real.path()});
  return sources;
}

class EveryTokenizer : public testing::TestWithParam<Source> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(GetParam().path)) GTEST_SKIP() << GetParam().path << " is absent: tools/fetch_text_packages.py fetches it";
    absl::StatusOr<Tokenizer> tokenizer = GetParam().load();
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_.emplace(*std::move(tokenizer));
    end_ = static_cast<int32_t>(tokenizer_->VocabSize()) + 1;
    const std::vector<int32_t> ends = {end_, end_ + 3};
    auto tokens = GrammarTokens::Create(*tokenizer_, tokenizer_->VocabSize() + 5, ends);
    if (absl::IsUnimplemented(tokens.status())) GTEST_SKIP() << tokens.status();
    ASSERT_TRUE(tokens.ok()) << tokens.status();
    tokens_ = *std::move(tokens);
  }

  GrammarWalk Walk(GrammarText text) { return GrammarWalk(*tokenizer_, tokens_, std::move(text)); }
  // Whether this tokenizer can write the text at all, ids in `ids`.
  bool Writes(const std::string& text, std::vector<int32_t>& ids) {
    ids = *tokenizer_->Encode(text, {.add_special_tokens = false});
    const absl::StatusOr<std::string> again = tokenizer_->Decode(ids, false);
    return again.ok() && *again == text;
  }

  bool Large() const { return tokenizer_->VocabSize() > 60'000; }
  // A token whose text is dropped at the beginning of an output, once.
  bool IsBlank(int32_t id, const std::string& inside) {
    const std::vector<int32_t> twice = {id, id};
    return !inside.empty() && *tokenizer_->Decode(twice, false) == inside;
  }

  std::optional<Tokenizer> tokenizer_;
  std::shared_ptr<const GrammarTokens> tokens_;
  int32_t end_ = 0;
};

TEST_P(EveryTokenizer, AllowsItsOwnIdsOfAValidText) {
  int written = 0;
  for (const std::string text : {"{\"name\":\"Al\",\"age\":42,\"tags\":[\"red\",7],\"home\":null}",
                                 "{\"name\": \"Zo\u00eb\", \"age\": 0, \"tags\": [], \"home\": {\"zip\": \"01234\", \"flat\": true}}",
                                 "{\n  \"name\": \"\u4f60\U0001f642x\",\n  \"age\": 150,\n  \"tags\": [\n    \"gr\u00fcn\"\n  ],\n  \"home\": null\n}"}) {
    std::vector<int32_t> ids;
    if (!Writes(text, ids)) continue;
    ++written;
    ASSERT_EQ(WrongWithPerson(text), "");
    GrammarWalk walk = Walk(JsonSchema(kPerson));
    for (const int32_t id : ids) {
      EXPECT_FALSE(walk.ended());
      const std::vector<int32_t> allowed = walk.Allowed();
      EXPECT_FALSE(std::ranges::binary_search(allowed, end_)) << walk.Text();
      ASSERT_TRUE(std::ranges::binary_search(allowed, id)) << walk.Text() << " + " << *tokenizer_->IdToPiece(id);
      ASSERT_TRUE(walk.Accept(id).ok()) << walk.Text();
    }
    EXPECT_TRUE(walk.ended());
    EXPECT_EQ(walk.Allowed(), (std::vector<int32_t>{end_, end_ + 3}));
    EXPECT_EQ(walk.Text(), text);
    EXPECT_TRUE(walk.Accept(end_ + 3).ok());
    EXPECT_TRUE(walk.ended());
  }
  if (written == 0) GTEST_SKIP() << "this tokenizer cannot write the texts";
}

TEST_P(EveryTokenizer, RandomWalksEndInTextsThatFit) {
  std::vector<int32_t> ids;
  std::string letters;
  for (char letter = ' '; letter <= '~'; ++letter) letters.push_back(letter);
  if (!Writes(letters + "gr\u00fcn", ids)) GTEST_SKIP() << "this tokenizer cannot write every key and value";
  std::mt19937 random(11);
  int ended = 0;
  const int walks = Large() ? 3 : 12;
  for (int i = 0; i < walks; ++i) {
    GrammarWalk walk = Walk(JsonSchema(kPerson));
    while (!walk.ended() && walk.ids().size() < 600) {
      const std::vector<int32_t> allowed = walk.Allowed();
      ASSERT_FALSE(allowed.empty()) << walk.Text();
      ASSERT_TRUE(walk.Accept(allowed[random() % allowed.size()]).ok()) << walk.Text();
    }
    if (!walk.ended()) continue;
    ++ended;
    EXPECT_EQ(WrongWithPerson(walk.Text()), "") << walk.Text();
  }
  EXPECT_GE(ended, walks * 3 / 4);
}

// Every text of a small language, so that a prefix of one is found by looking at all.
std::vector<std::string> SmallLanguage() {
  std::vector<std::string> texts;
  for (const std::string head : {"yes", "no", "\u4f60\u597d", " a"})
    for (const std::string middle : {"", " ", ", ab", " 12"})
      for (const std::string tail : {".", "\u00e9", "ing", "\n"}) texts.push_back(head + middle + tail);
  return texts;
}
constexpr const char* kSmallLanguage = "(yes|no|\u4f60\u597d| a)(| |, ab| 12)(\\.|\u00e9|ing|\\n)";

bool BeginsOne(const std::vector<std::string>& texts, const std::string& text) {
  return std::ranges::any_of(texts, [&text](const std::string& each) { return each.starts_with(text); });
}

// The bytes that may follow `text`; 256 where it may end.
std::set<int> NextBytes(const std::vector<std::string>& texts, const std::string& text) {
  std::set<int> bytes;
  for (const std::string& each : texts)
    if (each.starts_with(text)) bytes.insert(each.size() == text.size() ? 256 : static_cast<unsigned char>(each[text.size()]));
  return bytes;
}

// What each id adds to the output after `before`: what it prints there, or its bytes where it is a part of a character.
std::vector<std::string> Additions(const Tokenizer& tokenizer, std::vector<int32_t> before) {
  const std::string printed = *tokenizer.Decode(before, false);
  std::vector<std::string> additions(static_cast<size_t>(tokenizer.VocabSize()));
  before.push_back(0);
  for (int32_t id = 0; id < tokenizer.VocabSize(); ++id) {
    before.back() = id;
    const absl::StatusOr<std::string> text = tokenizer.Decode(before, false);
    if (!text.ok()) continue;  // a hole in the vocabulary
    const bool whole = text->find("\xef\xbf\xbd") == std::string::npos;
    additions[static_cast<size_t>(id)] = whole ? text->substr(printed.size()) : *tokenizer.IdToBytes(id);
  }
  for (const SpecialToken& token : tokenizer.special_tokens()) additions[static_cast<size_t>(token.id)] = "";
  return additions;
}

TEST_P(EveryTokenizer, AllowsWhatBeginsATextAndNothingElse) {
  if (Large()) GTEST_SKIP() << "takes seconds for so many ids";
  const std::vector<std::string> texts = SmallLanguage();
  const GrammarText free_cut = Lark(Cat("%llguidance {\"no_forcing\": true}\nstart: /", kSmallLanguage, "/\n"));
  const std::vector<std::string> first = Additions(*tokenizer_, {});
  const std::vector<std::string> inside = Additions(*tokenizer_, *tokenizer_->Encode("a", {.add_special_tokens = false}));
  std::mt19937 random(5);
  int places = 0;
  const auto walk_through = [&](bool forcing) {
    GrammarWalk walk = Walk(forcing ? Regex(kSmallLanguage) : free_cut);
    std::string text;
    while (!walk.ended()) {
      const std::vector<std::string>& adds = walk.ids().empty() ? first : inside;
      std::vector<int32_t> wanted;
      for (size_t id = 0; id < adds.size(); ++id)
        if (adds[id].empty() ? walk.ids().empty() && IsBlank(static_cast<int32_t>(id), inside[id]) : BeginsOne(texts, text + adds[id]))
          wanted.push_back(static_cast<int32_t>(id));
      if (wanted.empty()) return;  // this vocabulary lacks a byte of the text
      const std::vector<int32_t> allowed = walk.Allowed();
      // Where text is forced, only the tokenizer's own cut is allowed.
      if (!forcing || NextBytes(texts, text).size() > 1) {
        ASSERT_EQ(allowed, wanted) << text;
      }
      ASSERT_TRUE(!allowed.empty() && std::ranges::includes(wanted, allowed)) << text;
      const int32_t id = allowed[random() % allowed.size()];
      text += adds[static_cast<size_t>(id)];
      ASSERT_TRUE(walk.Accept(id).ok()) << text;
      ++places;
    }
    EXPECT_EQ(std::ranges::count(texts, text), 1) << text;
  };
  for (int i = 0; i < 8; ++i) walk_through(i % 2 == 1);
  EXPECT_GT(places, 0);
}

INSTANTIATE_TEST_SUITE_P(All, EveryTokenizer, testing::ValuesIn(Sources()), [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace drover::text
