// Small files and templates that ask for huge work: each is an answer or a clean error within seconds.
#include <gtest/gtest.h>

#include <ctime>

#include "tests/text/golden_text.h"
#include "text/chat_template.h"
#include "text/tokenizer_config.h"

namespace drover::text {
namespace {

constexpr double kMostSeconds = 60;  // of the processor; each took far longer, or all memory, without a bound

double Seconds(std::clock_t start) { return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC; }

// The text, or "error: " and what was said.
std::string Rendered(const std::string& source) {
  const std::clock_t start = std::clock();
  const absl::StatusOr<ChatTemplate> chat_template = ChatTemplate::Parse(source);
  EXPECT_TRUE(chat_template.ok()) << source << ": " << chat_template.status();
  if (!chat_template.ok()) return "";
  const absl::StatusOr<std::string> text = chat_template->Render({});
  EXPECT_LT(Seconds(start), kMostSeconds) << source;
  return text.ok() ? *text : "error: " + Message(text.status());
}

Json ManySpecialTokens(int count, int length = 0) {
  Json tokens = Json::array();
  for (int i = 0; i < count; ++i) tokens.push_back(Cat("<|extra_", i, "|>", std::string(length, 'x')));
  return {{"additional_special_tokens", tokens}};
}

TEST(BoundsOfTokens, ManySpecialTokensLoadAtOnce) {
  const std::string json = ReadAll(RepositoryText() / "features/bytelevel_gpt2/tokenizer.json");
  const absl::StatusOr<TokenizerConfig> config = ReadTokenizerConfig(ManySpecialTokens(2000), Json::object(), Json::object());
  ASSERT_TRUE(config.ok()) << config.status();
  const std::clock_t start = std::clock();
  const absl::StatusOr<Tokenizer> bare = Tokenizer::FromJson(json);
  const absl::StatusOr<Tokenizer> tokenizer = Tokenizer::FromJson(json, config->settings);
  ASSERT_TRUE(bare.ok() && tokenizer.ok());
  EXPECT_LT(Seconds(start), kMostSeconds);

  const auto first = static_cast<int32_t>(bare->VocabSize());
  for (const int i : {0, 1, 2, 10, 999, 1999}) EXPECT_EQ(tokenizer->TokenId(Cat("<|extra_", i, "|>")), first + i);
  EXPECT_EQ(*tokenizer->Encode("<|extra_7|>", {.add_special_tokens = false, .parse_special = true}), std::vector<int32_t>{first + 7});
}

TEST(BoundsOfTokens, LongSpecialTokensLoadAtOnceOrAreRefused) {
  const absl::StatusOr<TokenizerConfig> config = ReadTokenizerConfig(ManySpecialTokens(1000, 900), Json::object(), Json::object());
  ASSERT_TRUE(config.ok()) << config.status();
  const std::clock_t start = std::clock();
  const absl::StatusOr<Tokenizer> tokenizer =
      Tokenizer::FromJson(ReadAll(RepositoryText() / "features/bytelevel_gpt2/tokenizer.json"), config->settings);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_LT(Seconds(start), kMostSeconds);

  const absl::StatusOr<TokenizerConfig> longer = ReadTokenizerConfig(ManySpecialTokens(1100, 4000), Json::object(), Json::object());
  ASSERT_TRUE(longer.ok()) << longer.status();
  const absl::StatusOr<Tokenizer> refused =
      Tokenizer::FromJson(ReadAll(RepositoryText() / "features/bytelevel_gpt2/tokenizer.json"), longer->settings);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted) << refused.status();
}

TEST(BoundsOfTokens, OneNamedTwiceHasOneId) {
  const std::string json = ReadAll(RepositoryText() / "features/bytelevel_gpt2/tokenizer.json");
  const Json config = {{"additional_special_tokens", {"<|a|>", "<|b|>", "<|a|>", "<|c|>"}}};
  const absl::StatusOr<TokenizerConfig> read = ReadTokenizerConfig(config, Json::object(), Json::object());
  ASSERT_TRUE(read.ok()) << read.status();
  const absl::StatusOr<Tokenizer> bare = Tokenizer::FromJson(json), tokenizer = Tokenizer::FromJson(json, read->settings);
  ASSERT_TRUE(bare.ok() && tokenizer.ok());
  EXPECT_EQ(tokenizer->VocabSize(), bare->VocabSize() + 3);
  EXPECT_EQ(tokenizer->TokenId("<|c|>"), static_cast<int32_t>(bare->VocabSize()) + 2);
}

TEST(BoundsOfTokens, TooManyAreRefused) {
  const absl::StatusOr<TokenizerConfig> config = ReadTokenizerConfig(ManySpecialTokens(10'001), Json::object(), Json::object());
  EXPECT_EQ(config.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(Message(config.status()).find("10001"), std::string::npos) << config.status();
}

TEST(BoundsOfTokens, AddedAndSpecialTokensMeetQuickly) {
  Json config = ManySpecialTokens(10'000);
  for (int i = 0; i < 20'000; ++i) config["added_tokens_decoder"][Cat(i)] = {{"content", Cat("<|extra_", i, "|>")}};
  const std::clock_t start = std::clock();
  const absl::StatusOr<TokenizerConfig> read = ReadTokenizerConfig(config, Json::object(), Json::object());
  EXPECT_LT(Seconds(start), kMostSeconds);
  ASSERT_TRUE(read.ok()) << read.status();
  const absl::StatusOr<Json> settings = ParseJson(read->settings, {.bytes = 16 << 20, .elements = 1'000'000});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ((*settings)["added"][9999].value("special", false), true);
  EXPECT_EQ((*settings)["added"][10'000].value("special", false), false);
}

TEST(BoundsOfTemplates, NoStepMakesAHugeValue) {
  const std::string text = "{% set s='a'*1000000 %}", long_text = "{% set s='a'*16000000 %}";
  const std::string million = "a sequence of more than 100000 items", size = "result is too large";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {text + "{{ ([s]*300)|join|length }}", size},
      {text + "{{ '-'.join([s]*300)|length }}", size},
      {text + "{{ ([1]*100000)|join(s)|length }}", size},
      {"{% set ns=namespace(x=[1]) %}{% for i in range(34) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|length }}", million},
      {"{% set ns=namespace(x=(1,)) %}{% for i in range(34) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|length }}", million},
      {text + "{{ s|list|length }}", million},
      {text + "{{ s.split('a')|length }}", million},
      {text + "{{ ('\\n'*1000000).splitlines()|length }}", million},
      {text + "{{ ('%s'*300 % (([s]*300)|list))|length }}", size},
      {text + "{{ '{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}'.format(s)|length }}", size},
      {text + "{{ '%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s%(a)s'|format(a=s)|length }}", size},
      {text + "{{ 'x'.ljust(16000000, s)|length }}", "exactly one character"},
      {text + "{{ s|wordwrap(1, wrapstring=s)|length }}", size},
      {text + "{{ ([1]*1000)|tojson(indent=s)|length }}", size},
      {text + "{{ ([1]*1000)|tojson(separators=(s, ':'))|length }}", size},
      {text + "{{ ([s]*300)|tojson|length }}", size},
      {text + "{{ ([s]*300)|pprint|length }}", size},
      {text + "{{ ([s]*300)|string|length }}", size},
      {text + "{{ ([s]*300) ~ ''|length }}", size},
      {text + "{{ {'a': [s]*300}|xmlattr|length }}", size},
      {text + "{{ ([('k', s)]*300)|urlencode|length }}", size},
      {text + "{{ ([s]*300)|sort|length }}", size},
      {text + "{{ ([s]*300)|unique|list|length }}", size},
      {long_text + "{{ (s ~ s)|length }}", size},
      {long_text + "{{ (s + s)|length }}", size},
      {"{% set s='<'*16000000 %}{{ s|forceescape|length }}", size},
      {text + "{{ ([s]*100000)|map('upper')|list|length }}", "the template makes more than"},
      {text + "{% set ns=namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = ns.x + [s ~ i] %}{% endfor %}", "the template makes more than"},
      {long_text + "{% set t %}{% for i in range(100000) %}{{ s }}{% endfor %}{% endset %}{{ t|length }}", "the template makes more than"},
      {"{{ strftime_now('%c' * 5000)|length }}", "strftime_now: found a format"},
  };
  for (const auto& [source, says] : cases) {
    const std::string got = Rendered(source);
    EXPECT_TRUE(got.starts_with("error: ") && got.find(says) != std::string::npos) << source << "\ngave " << got.substr(0, 200);
  }
}

TEST(BoundsOfTemplates, LongTextsStayUsable) {
  const std::string text = "{% set s='ab'*1000000 %}";
  EXPECT_EQ(Rendered(text + "{{ s|length }} {{ s|count }} {{ s|first }}{{ s|last }} {{ s[1:-1]|length }} {{ s[::-1][:3] }}"),
            "2000000 2000000 ab 1999998 bab");
  EXPECT_EQ(Rendered(text + "{{ s|wordwrap(1)|length }} {{ s.strip(s)|length }} {{ (s ~ '<>'*1000000)|striptags|length }}"), "3999999 0 2000000");
  EXPECT_EQ(Rendered("{{ ([1]*50000 + [2]*50000)|unique|join }} {{ range(100000)|sort(reverse=true)|first }} {{ ([[1]]*1000)|sum(start=[])|length }}"),
            "12 99999 1000");
}

// Lists that hold one list twice, 60 deep, are small to keep and endless to walk.
TEST(BoundsOfTemplates, SharedListsAreWalkedInBounds) {
  const auto shared = [](const std::string& name, const std::string& made) {
    return "{% set " + name + "=namespace(x=(1,)) %}{% for i in range(60) %}{% set " + name + ".x=" + made + " %}{% endfor %}";
  };
  const std::string lists = shared("a", "[a.x, a.x]") + shared("b", "[b.x, b.x]");
  const std::string tuples = shared("a", "(a.x, a.x)") + shared("b", "(b.x, b.x)");
  const std::string dicts = shared("a", "{1: a.x, 2: a.x}") + shared("b", "{1: b.x, 2: b.x}");
  EXPECT_EQ(Rendered(lists + "{{ a.x == a.x }} {{ a.x in [a.x] }} {{ a.x < a.x }}"), "True True False");
  const std::string walked = "error: chat template: runtime: ";
  for (const std::string& made : {lists, tuples, dicts})
    for (const char* use : {"a.x == b.x", "a.x != b.x", "a.x in [b.x]", "[a.x].index(b.x)", "[a.x].count(b.x)", "a.x", "a.x|string", "a.x ~ ''", "a.x|pprint",
                            "a.x|tojson", "a.x|length ~ a", "a.x is eq b.x", "'%s' % (a.x,)", "[a.x]|join", "{1: a.x}.items()", "{1: a.x}.values()",
                            "'{}'.format(a.x)", "a.x|upper", "a == b ~ a"})
      EXPECT_TRUE(Rendered(made + "{{ " + use + " }}").starts_with(walked)) << use;
  for (const std::string& made : {lists, tuples})
    for (const char* use : {"a.x < b.x", "[a.x, b.x]|sort", "[a.x, b.x]|max", "[{'k': a.x}, {'k': b.x}]|groupby('k')", "{1: a.x, 2: b.x}|dictsort(by='value')"})
      EXPECT_TRUE(Rendered(made + "{{ " + use + " }}").starts_with(walked)) << use;
  for (const char* use : {"[a.x, b.x]|unique|list", "{a.x: 1}", "{1: 2}[a.x]", "{1: 2}.get(a.x)", "a.x in {1: 2}", "dict([(a.x, 1)])"})
    EXPECT_TRUE(Rendered(tuples + "{{ " + use + " }}").starts_with(walked)) << use;
  EXPECT_TRUE(Rendered(lists + "{% for i in [a.x, b.x] %}{% if loop.changed(i) %}x{% endif %}{% endfor %}").starts_with(walked));
}

TEST(BoundsOfTemplates, SortingWhatHasNoOrderIsAnError) {
  EXPECT_NE(Rendered("{{ ([3, 'a', 1, none, 2] * 20)|sort }}").find("not supported between"), std::string::npos);
  EXPECT_EQ(Rendered("{{ [(2, 'a'), (1, 'b'), (2, 'c'), (1, 'd')]|sort(attribute='0') }}"), "[(1, 'b'), (1, 'd'), (2, 'a'), (2, 'c')]");
  EXPECT_EQ(Rendered("{{ [(2, 'a'), (1, 'b'), (2, 'c')]|sort(attribute='0', reverse=true) }}"), "[(2, 'a'), (2, 'c'), (1, 'b')]");
}

}  // namespace
}  // namespace drover::text
