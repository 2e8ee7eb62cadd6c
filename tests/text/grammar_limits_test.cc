// Grammars that clients may send to hurt or by mistake: each is an error that says what is wrong, or takes bounded time and memory.
#include <gtest/gtest.h>

#include <ctime>
#include <functional>
#include <random>

#include "tests/text/grammar_walk.h"

namespace drover::text {
namespace {

std::string Times(int count, const std::function<std::string(int)>& part) {
  std::string text;
  for (int i = 0; i < count; ++i) text += part(i);
  return text;
}
std::string Times(int count, const std::string& part) {
  return Times(count, [&part](int) { return part; });
}

class GrammarLimits : public OnSmallTokenizer {
 protected:
  void SetUp() override {
    OnSmallTokenizer::SetUp();
    if (HasFatalFailure()) return;
    tokens_ = MakeTokens(*tokenizer_, {0});
  }

  absl::Status Refusal(const GrammarText& text) { return Grammar::Create(tokens_, text).status(); }

  // Some steps of a random walk; the processor's longest time for one call.
  double LongestCall(const GrammarText& text, int steps) {
    std::mt19937 random(3);
    double longest = 0;
    const auto timed = [&longest](const std::function<bool()>& call) {
      const std::clock_t start = std::clock();
      const bool go_on = call();
      longest = std::max(longest, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
      return go_on;
    };
    absl::StatusOr<std::unique_ptr<Grammar>> grammar;
    std::vector<uint32_t> words(static_cast<size_t>(MaskWords(tokens_->vocab())));
    if (!timed([&] { return (grammar = Grammar::Create(tokens_, text)).ok(); })) return longest;
    for (int step = 0; step < steps && !(*grammar)->ended(); ++step) {
      if (!timed([&] { return (*grammar)->Allow(words).ok(); })) break;
      std::vector<int32_t> ids;
      for (int32_t id = 1; id < tokens_->vocab(); ++id)
        if ((words[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0) ids.push_back(id);
      if (ids.empty() || !timed([&] { return (*grammar)->Accept(ids[random() % ids.size()]).ok(); })) break;
    }
    return longest;
  }

  std::shared_ptr<const GrammarTokens> tokens_;
};

struct Fault {
  GrammarText text;
  const char* says;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};

TEST_F(GrammarLimits, EachFaultIsNamed) {
  const std::vector<Fault> faults = {
      {JsonSchema(""), "EOF"},
      {JsonSchema("{"), "EOF"},
      {JsonSchema("[]"), "found no object"},
      {JsonSchema("false"), "found no object"},
      {JsonSchema(R"({"type": "martian"})"), "martian"},
      {JsonSchema(R"({"type": 3})"), "type must be"},
      {JsonSchema(R"({"not": {"type": "string"}})"), "not"},
      {JsonSchema(R"({"type": "array", "uniqueItems": true})"), "uniqueItems"},
      {JsonSchema(R"({"type": "array", "contains": {"const": 1}})"), "contains"},
      {JsonSchema(R"({"if": {"const": 1}, "then": {"const": 1}})"), "if"},
      {JsonSchema(R"({"properties": {"a": {"dependentRequired": {}}}})"), "dependentRequired"},
      {JsonSchema(R"({"type": "string", "format": "phone"})"), "phone"},
      {JsonSchema(R"({"oneOf": [{"type": "string"}, {"minLength": 2}]})"), "oneOf"},
      {JsonSchema(R"({"type": "string", "pattern": "["})"), "regex"},
      {JsonSchema(R"-({"type": "string", "pattern": "a(?=b)"})-"), "look-ahead"},
      {JsonSchema(R"({"type": "integer", "minimum": 5, "maximum": 3})"), "minimum"},
      {JsonSchema(R"({"$ref": "#/$defs/none"})"), "does not exist"},
      {JsonSchema(R"({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "$ref": "#/$defs/b"}, "b": {"type": "object", "$ref": "#/$defs/a"}}})"), "circular"},
      {JsonSchema(R"({"$ref": "http://localhost:1/schema"})"), "does not fetch"},
      {JsonSchema(R"({"$ref": "file:///etc/hostname"})"), "does not fetch"},
      {JsonSchema(R"({"$ref": "other.json#/a"})"), "does not fetch"},
      {JsonSchema(R"({"x-guidance": {"lenient": true}, "type": "string"})"), "x-guidance"},
      {JsonSchema(Times(200, "{\"items\":") + "{}" + Times(200, "}")), "recursion"},
      {Regex("("), "unclosed"},
      {Regex("a\\"), "at its end"},
      {Regex("(a)\\1"), "backreferences"},
      {Regex("a(?!b)"), "look-ahead"},
      {Regex("\xff"), "utf-8"},
      {Lark(""), "start"},
      {Lark("start: a"), "unknown name"},
      {Lark("start: \"a"), "lexer"},
      {Lark("start: <|nosuch|>"), "nosuch"},
      {Lark("start: A\nA: A \"a\""), "circular"},
      {Lark("start: %json {\"not\": {}}"), "not"},
  };
  for (const Fault& fault : faults) {
    const absl::Status refusal = Refusal(fault.text);
    EXPECT_EQ(refusal.code(), fault.code) << fault.text.text << ": " << refusal;
    EXPECT_NE(Message(refusal).find(fault.says), std::string::npos) << fault.text.text << ": " << refusal;
    EXPECT_LT(Message(refusal).size(), 2000u);
  }
}

TEST_F(GrammarLimits, TooMuchIsRefusedAsThat) {
  const std::vector<GrammarText> texts = {
      JsonSchema(std::string(kGrammarBytesMax, ' ') + "{}"),
      Lark(std::string(20 << 10, '\n') + "start: \"a\""),
      Lark("start: " + Times(40, "(") + "\"a\"" + Times(40, ")")),
      Regex("a{1000000000}"),
      Regex("(((a{1000}){1000}){1000}){1000}"),
      JsonSchema("{\"patternProperties\":{" + Times(60, [](int i) { return Cat(i == 0 ? "" : ",", "\"^", i, "x\":{}"); }) + "}}"),
      JsonSchema("{\"patternProperties\":{\"a\":{},\"b\":{}},\"allOf\":[" + Times(40, [](int i) { return i == 0 ? "{}" : ",{}"; }) + "]}"),
      Lark("start: %json {\"p\\u0061tternProperties\":{" + Times(60, [](int i) { return Cat(i == 0 ? "" : ",", "\"^", i, "x\":{}"); }) + "}}"),
  };
  for (const GrammarText& text : texts) {
    const std::clock_t start = std::clock();
    const absl::Status refusal = Refusal(text);
    EXPECT_EQ(refusal.code(), absl::StatusCode::kResourceExhausted) << text.text.substr(0, 200) << ": " << refusal;
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 5) << text.text.substr(0, 200);
  }
}

// Nothing may end the process (chains as long as the text may recurse) or hold a thread for long.
TEST_F(GrammarLimits, HostileTextsTakeBoundedTime) {
  const auto list = [](int count, const std::function<std::string(int)>& part) {
    return Times(count, [&part](int i) { return (i == 0 ? "" : ",") + part(i); });
  };
  const std::vector<GrammarText> texts = {
      JsonSchema(R"({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})"),
      JsonSchema(R"({"$ref": "#"})"),
      JsonSchema(R"({"type": "object", "additionalProperties": {"$ref": "#"}})"),
      JsonSchema("{\"$ref\":\"#/$defs/0\",\"$defs\":{" + list(1900, [](int i) { return Cat("\"", i, "\":{\"$ref\":\"#/$defs/", i + 1, "\"}"); }) + ",\"1900\":{}}}"),
      JsonSchema("{\"$ref\":\"#/$defs/0\",\"$defs\":{" + list(1100, [](int i) { return Cat("\"", i, "\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/", i + 1, "\"}}"); }) + ",\"1100\":{}}}"),
      JsonSchema(Times(60, "{\"items\":") + "{}" + Times(60, "}")),
      JsonSchema("{\"enum\":[" + list(3500, [](int i) { return Cat("\"word ", i * 7919, "\""); }) + "]}"),
      JsonSchema("{\"enum\":[\"" + std::string(30000, 'a') + "b\",\"" + std::string(30000, 'a') + "c\"]}"),
      JsonSchema("{\"const\":\"" + std::string(29000, 'x') + "\"}"),
      JsonSchema("{\"type\":\"object\",\"properties\":{" + list(2000, [](int i) { return Cat("\"p", i, "\":{\"type\":\"string\"}"); }) + "}}"),
      JsonSchema("{\"type\":\"object\",\"patternProperties\":{" + list(40, [](int i) { return Cat("\"^(.*a){", i + 1, "}$\":{}"); }) + "}}"),
      JsonSchema("{\"allOf\":[" + list(12, [&list](int i) {
                   return "{\"anyOf\":[" + list(8, [i](int k) { return Cat("{\"properties\":{\"p", i, "_", k, "\":{\"type\":\"string\"}}}"); }) + "]}";
                 }) + "]}"),
      JsonSchema("{\"anyOf\":[" + list(1900, [](int) { return std::string("{\"type\":\"null\"}"); }) + "],\"properties\":{" +
                 list(2500, [](int i) { return Cat("\"", i, "\":{}"); }) + "}}"),
      JsonSchema("{\"oneOf\":[" + list(900, [](int i) { return Cat("{\"properties\":{\"a\":{\"const\":\"", i, "\"}},\"required\":[\"a\"]}"); }) + "]}"),
      JsonSchema(R"({"$ref": "#/$defs/0", "$defs": {)" + list(40, [](int i) {
                   return Cat("\"", i, "\":{\"allOf\":[{\"$ref\":\"#/$defs/", i + 1, "\"},{\"$ref\":\"#/$defs/", i + 1, "\"}]}");
                 }) + R"(,"40":{"anyOf":[{"type":"string"},{"type":"object"}]}}})"),
      JsonSchema(R"({"type": "array", "items": {"type": "integer"}, "minItems": 1000000000})"),
      JsonSchema(R"({"type": "string", "minLength": 100000, "maxLength": 1000000000})"),
      JsonSchema(R"({"type": "number", "multipleOf": 0.000000001, "minimum": 3})"),
      JsonSchema(R"({"type": "integer", "multipleOf": 999999937})"),
      Regex(Times(240, "(") + "a" + Times(240, ")*")),
      Regex(Times(240, "(") + "a" + Times(240, "b)+")),
      Regex(Times(2000, "(a|aa)*")),
      Regex("(.*a){50}(.*b){50}"),
      Regex("(a|b|ab)*c(a|b|ab){1000,2000}"),
      Regex("[ab]*a[ab]{400}"),
      Regex("(\\p{L}|\\p{N}){500}(\\w|\\W){500}"),
      Regex("(?i)" + Times(6000, [](int i) { return Cat(i == 0 ? "" : "|", "foo", i * 31); })),
      Lark("start: r0\n" + Times(1000, [](int i) { return Cat("r", i, ": r", i + 1, "\n"); }) + "r1000: \"x\""),
      Lark("start: T0\n" + Times(800, [](int i) { return Cat("T", i, ": T", i + 1, " \"a\"\n"); }) + "T800: \"x\""),
      Lark("start: T0\n" + Times(600, [](int i) { return Cat("T", i, ": (T", i + 1, " \"a\" | \"b\")+\n"); }) + "T600: \"x\""),
      Lark("start: a\na: a a | \"x\" | \"\""),
      Lark("start: a\na: b\nb: a"),
      Lark("start: e\ne: e \"+\" e | e \"-\" e | e e | /[a-z]+/ | \"(\" e \")\""),
      Lark("start: a{1000000}\na: b{1000000}\nb: \"x\"{1000000}"),
      Lark("start: (\"a\" | \"aa\" | \"aaa\"){5000}"),
      Lark("start: /a/ & ~/(a|b)*a(a|b){30}/"),
      Lark("start: A\nA: /(a|b)*a(a|b){18}/ & ~/(a|b)*b(a|b){18}/"),
  };
  for (const GrammarText& text : texts) {
    EXPECT_LE(text.text.size(), kGrammarBytesMax) << text.text.substr(0, 200);
    EXPECT_LT(LongestCall(text, 60), 3) << text.text.substr(0, 200);
  }
}

TEST_F(GrammarLimits, AForcedTextIsCutOnce) {
  GrammarWalk walk(*tokenizer_, tokens_, JsonSchema("{\"const\":\"" + Times(3000, "one two ") + "\"}"));
  const std::clock_t start = std::clock();
  while (!walk.ended()) {
    const std::vector<int32_t> allowed = walk.Allowed();
    ASSERT_FALSE(allowed.empty());
    ASSERT_TRUE(walk.Accept(allowed.front()).ok());
  }
  EXPECT_GT(walk.ids().size(), 4000u);
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 10);
}

TEST_F(GrammarLimits, WhitespaceHasAnEnd) {
  GrammarWalk walk(*tokenizer_, tokens_, JsonSchema(R"({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]})"));
  ASSERT_TRUE(walk.Accept(*tokenizer_->TokenId("{")).ok());
  int spaces = 0;
  for (const char* piece : {"\u010a", "\u0120"})  // a line break, spaces
    while (spaces < 1000 && walk.Accept(*tokenizer_->TokenId(piece)).ok()) ++spaces;
  EXPECT_GT(spaces, 16);
  EXPECT_LT(spaces, 100);
  EXPECT_FALSE(walk.Allowed().empty());
}

// After an error that is not about one id.
TEST_F(GrammarLimits, AnUnusableGrammarSaysSo) {
  absl::StatusOr<std::unique_ptr<Grammar>> grammar = Grammar::Create(tokens_, Lark("start: T0\n" + Times(600, [](int i) { return Cat("T", i, ": (T", i + 1, " \"a\" | \"b\")+\n"); }) + "T600: \"x\""));
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  absl::Status status;
  std::vector<uint32_t> words(static_cast<size_t>(MaskWords(tokens_->vocab())));
  for (int step = 0; step < 50 && status.ok(); ++step) {
    status = (*grammar)->Allow(words);
    for (int32_t id = 1; status.ok() && id < tokens_->vocab(); ++id) {
      if ((words[static_cast<size_t>(id) / 32] >> (id % 32) & 1) == 0) continue;
      status = (*grammar)->Accept(id);
      break;
    }
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ((*grammar)->Allow(words).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ((*grammar)->Accept(5).code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace drover::text
