// Where an output may end, what never is text, and what an id that may not come leaves behind.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/text/grammar_walk.h"

namespace drover::text {
namespace {

class Ends : public OnSmallTokenizer {
 protected:
  void SetUp() override {
    OnSmallTokenizer::SetUp();
    if (HasFatalFailure()) return;
    end_ = *tokenizer_->TokenId("<|end|>");
  }
  GrammarWalk Walk(const GrammarText& text, const std::vector<int32_t>& ends, int64_t more_ids = 0) {
    return GrammarWalk(*tokenizer_, MakeTokens(*tokenizer_, ends, more_ids), text);
  }
  int32_t Id(const std::string& piece) {
    const std::optional<int32_t> id = tokenizer_->TokenId(piece);
    EXPECT_TRUE(id.has_value()) << piece;
    return id.value_or(0);
  }

  int32_t end_ = 0;
};

TEST_F(Ends, AreAllowedWhereTheOutputMayEnd) {
  const int32_t other = Id("!");  // an end id need not be special
  GrammarWalk walk = Walk(Regex("a{2,3}!?"), {end_, other});
  EXPECT_FALSE(walk.Allows(end_) || walk.Allows(other));
  EXPECT_EQ(walk.Accept(end_).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(walk.Accept(Id("a")).ok() && walk.Accept(Id("a")).ok());
  EXPECT_TRUE(walk.Allows(end_) && walk.Allows(other) && walk.Allows(Id("a")));
  EXPECT_FALSE(walk.ended());
  ASSERT_TRUE(walk.Accept(other).ok());
  EXPECT_TRUE(walk.ended());
  EXPECT_EQ(walk.Accept(other).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(walk.Accept(Id("a")).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(Ends, MayBeNone) {
  GrammarWalk walk = Walk(Regex("ab?"), {});
  EXPECT_FALSE(walk.Allows(end_));
  ASSERT_TRUE(walk.Accept(Id("a")).ok());
  EXPECT_EQ(walk.Allowed(), std::vector<int32_t>{Id("b")});
  EXPECT_FALSE(walk.ended());
  ASSERT_TRUE(walk.Accept(Id("b")).ok());
  EXPECT_TRUE(walk.ended());
  EXPECT_TRUE(walk.Allowed().empty());
}

TEST_F(Ends, CompleteAtOnce) {
  GrammarWalk walk = Walk(Regex(""), {end_});
  EXPECT_TRUE(walk.ended());
  EXPECT_EQ(walk.Allowed(), std::vector<int32_t>{end_});
}

TEST_F(Ends, RegexMayEndAfterAnyMatch) {
  GrammarWalk walk = Walk(Regex("[a-z]*"), {end_});
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(walk.Allows(end_));
    ASSERT_TRUE(walk.Accept(Id("x")).ok());
  }
  EXPECT_FALSE(walk.ended());
}

TEST_F(Ends, LarkRuleThatStopsAtTheEnd) {
  GrammarWalk walk = Walk(Lark("start: a\na[stop=\"\"]: /[a-z]+/"), {end_});
  EXPECT_FALSE(walk.Allows(end_));
  ASSERT_TRUE(walk.Accept(Id("x")).ok());
  EXPECT_TRUE(walk.Allows(end_) && walk.Allows(Id("y")));
  ASSERT_TRUE(walk.Accept(end_).ok());
  EXPECT_TRUE(walk.ended());
}

TEST_F(Ends, IdsThatAreNoTextAreNeverAllowed) {
  const int32_t begin = Id("<|begin|>");
  const auto size = static_cast<int32_t>(tokenizer_->VocabSize());
  for (const GrammarText& text : {Regex("(?s:.)*"), Lark("start: <[*]>*"), Lark(Cat("start: <[0-", size + 40, "]>+"))}) {
    const bool ranges = text.kind == GrammarKind::kLark;
    GrammarWalk walk = Walk(text, {end_, size + 3}, 41);
    const std::vector<int32_t> allowed = walk.Allowed();
    EXPECT_TRUE(std::ranges::binary_search(allowed, Id("a")));
    EXPECT_EQ(std::ranges::binary_search(allowed, begin), ranges);  // a grammar that names special tokens gets them
    for (const int32_t id : {size, size + 1, size + 40}) {
      EXPECT_FALSE(std::ranges::binary_search(allowed, id));
      EXPECT_EQ(walk.Accept(id).code(), absl::StatusCode::kInvalidArgument);
    }
    for (const int32_t id : {-1, size + 41, 1 << 30}) EXPECT_EQ(walk.Accept(id).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(walk.Accept(begin).ok(), ranges);
  }
}

TEST_F(Ends, SpecialTokensSpelledAsTextAreText) {
  GrammarWalk walk = Walk(Regex(R"(<\|begin\|>)"), {end_});
  while (!walk.ended()) {
    const std::vector<int32_t> allowed = walk.Allowed();
    ASSERT_FALSE(allowed.empty());
    EXPECT_FALSE(std::ranges::binary_search(allowed, Id("<|begin|>")));
    ASSERT_TRUE(walk.Accept(allowed.front()).ok());
  }
  EXPECT_EQ(walk.Text(), "<|begin|>");
  GrammarWalk named = Walk(Lark("start: \"a\" <|begin|> \"b\""), {end_});
  ASSERT_TRUE(named.Accept(Id("a")).ok());
  EXPECT_EQ(named.Allowed(), std::vector<int32_t>{Id("<|begin|>")});
  ASSERT_TRUE(named.Accept(Id("<|begin|>")).ok());
  EXPECT_EQ(named.Allowed(), std::vector<int32_t>{Id("b")});
}

TEST_F(Ends, AVocabularyOfFewerIdsThanTheTokenizer) {
  absl::StatusOr<std::shared_ptr<const GrammarTokens>> tokens = GrammarTokens::Create(*tokenizer_, 100, {});
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  GrammarWalk walk(*tokenizer_, *tokens, Regex("(?s:.)*"));
  EXPECT_LT(walk.Allowed().back(), 100);
  for (const int64_t vocab : {int64_t{0}, int64_t{-1}, int64_t{1} << 40})
    EXPECT_EQ(GrammarTokens::Create(*tokenizer_, vocab, {}).status().code(), absl::StatusCode::kInvalidArgument);
  for (const int32_t end : {-1, 100}) {
    const std::vector<int32_t> ends = {end};
    EXPECT_EQ(GrammarTokens::Create(*tokenizer_, 100, ends).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(Ends, AnIdThatMayNotComeChangesNothing) {
  const GrammarText schema = JsonSchema(R"({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})");
  GrammarWalk disturbed = Walk(schema, {end_}), plain = Walk(schema, {end_});
  const std::vector<int32_t> ids = *tokenizer_->Encode("{\"a\": 12}");
  for (const int32_t id : ids) {
    for (const std::string wrong : {"z", "]", "<|begin|>"})
      EXPECT_EQ(disturbed.Accept(Id(wrong)).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(disturbed.Allowed(), plain.Allowed());
    ASSERT_TRUE(disturbed.Accept(id).ok() && plain.Accept(id).ok());
  }
}

// As after a restart: the ids alone, without having asked what is allowed.
TEST_F(Ends, WhatIsAllowedDependsOnTheIdsAlone) {
  const GrammarText schema = JsonSchema(R"({"type": "object", "properties": {"first_name": {"type": "string"}, "second_name": {"const": "x y"}},
                                            "required": ["first_name", "second_name"], "additionalProperties": false})");
  GrammarWalk asked = Walk(schema, {end_});
  std::vector<int32_t> fed;
  uint32_t turn = 3;
  while (!asked.ended() && fed.size() < 200) {
    GrammarWalk again = Walk(schema, {end_});
    for (const int32_t id : fed) ASSERT_TRUE(again.Accept(id).ok());
    const std::vector<int32_t> allowed = asked.Allowed();
    ASSERT_EQ(again.Allowed(), allowed) << asked.Text();
    turn = turn * 1664525 + 1013904223;
    fed.push_back(allowed[(turn >> 8) % allowed.size()]);
    ASSERT_TRUE(asked.Accept(fed.back()).ok());
  }
  EXPECT_GT(fed.size(), 10u);
}

TEST_F(Ends, AnotherCutOfForcedTextIsAccepted) {
  const std::string story = "the end of the story";
  GrammarWalk walk = Walk(Regex(story), {end_});
  for (const char letter : story) {
    const std::vector<int32_t> allowed = walk.Allowed();  // one token: what the tokenizer makes of the rest
    ASSERT_EQ(allowed.size(), 1u) << walk.Text();
    EXPECT_TRUE(story.substr(walk.Text().size()).starts_with(*tokenizer_->IdToBytes(allowed.front()))) << walk.Text();
    ASSERT_TRUE(walk.Accept((*tokenizer_->Encode(std::string(1, letter), {.add_special_tokens = false})).front()).ok()) << letter;
  }
  EXPECT_TRUE(walk.ended());
}

TEST(GrammarTokens, RefuseADecoderThatLooksAhead) {
  const Json json = {{"model", {{"type", "WordLevel"}, {"vocab", {{"a</w>", 0}, {"[UNK]", 1}}}, {"unk_token", "[UNK]"}}},
                     {"decoder", {{"type", "BPEDecoder"}, {"suffix", "</w>"}}}};
  const absl::StatusOr<Tokenizer> tokenizer = Tokenizer::FromJson(json.dump());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(GrammarTokens::Create(*tokenizer, 2, {}).status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace drover::text
