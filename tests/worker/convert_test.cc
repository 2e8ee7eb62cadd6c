// Conversions: what is written can be read, and what must not be believed is refused by name.
#include "worker/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace drover {
namespace {

using testing::ElementsAre;

v1::CoordinatorMessage GoodAssignment() {
  v1::CoordinatorMessage message;
  message.set_epoch(3);
  v1::Plan& plan = *message.mutable_assignment()->mutable_plan();
  plan.set_model_path("m");
  plan.set_fingerprint("f");
  plan.set_ranks(4);
  plan.set_expert(2);
  plan.set_attention(2);
  plan.set_block_tokens(16);
  plan.set_kv_blocks(10);
  plan.set_max_step_tokens(8);
  plan.set_max_sequences(2);
  plan.set_max_model_len(64);
  plan.set_threads(1);
  plan.set_step_timeout_ms(1000);
  return message;
}

TEST(ConvertTest, AnAssignmentIsRead) {
  const absl::StatusOr<ControlMessage> read = ReadControl(GoodAssignment());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->epoch, Epoch{3});
  EXPECT_EQ(std::get<Assignment>(read->order).plan.expert_parts, 2);
  EXPECT_EQ(std::get<Assignment>(read->order).plan.attention_parts, 2);
}

TEST(ConvertTest, PlansOutOfRangeAreRefusedByName) {
  const std::pair<std::function<void(v1::Plan&)>, std::string> cases[] = {
      {[](v1::Plan& p) { p.clear_model_path(); }, "plan.model_path: found nothing, expected a path"},
      {[](v1::Plan& p) { p.set_ranks(0); }, "plan.ranks: found 0, expected 1 to 65536"},
      {[](v1::Plan& p) { p.set_expert(3); }, "plan.expert: found 3, expected a divisor of 4 ranks"},
      {[](v1::Plan& p) { p.set_attention(3); }, "plan.attention: found 3, expected a divisor of 4 ranks"},
      {[](v1::Plan& p) { p.set_attention(5); }, "plan.attention: found 5, expected 0 to 4"},
      {[](v1::Plan& p) { p.set_kv_blocks(-1); }, "plan.kv_blocks: found -1, expected 1 to 2147483647"},
      {[](v1::Plan& p) { p.set_block_tokens(0); }, "plan.block_tokens: found 0, expected 1 to 65536"},
      {[](v1::Plan& p) { p.set_step_timeout_ms(0); }, "plan.step_timeout_ms: found 0, expected 1 to 86400000"},
  };
  for (const auto& [spoil, message] : cases) {
    v1::CoordinatorMessage bad = GoodAssignment();
    spoil(*bad.mutable_assignment()->mutable_plan());
    EXPECT_EQ(Message(ReadControl(bad).status()), message);
  }
  EXPECT_FALSE(ReadControl(v1::CoordinatorMessage()).ok());
}

TEST(ConvertTest, WhatRanksMeetByIsCarriedUpToItsBound) {
  EXPECT_EQ(WriteHello({.meeting = std::string("a\0b", 3)}).hello().meeting(), std::string("a\0b", 3));
  v1::CoordinatorMessage message = GoodAssignment();
  message.mutable_assignment()->set_meeting(std::string(1024, '\xff'));
  EXPECT_EQ(std::get<Assignment>(ReadControl(message)->order).meeting, std::string(1024, '\xff'));
  message.mutable_assignment()->set_meeting(std::string(1025, 'x'));
  EXPECT_EQ(Message(ReadControl(message).status()), "assignment.meeting: found 1025 bytes, expected at most 1024");
}

TEST(ConvertTest, ASubmitIsReadWithItsBiasInOrder) {
  v1::CoordinatorMessage message;
  v1::Submit& submit = *message.mutable_submit();
  submit.set_request_id(5);
  submit.add_prompt(1);
  submit.set_temperature(0.5);
  submit.set_top_p(0.9);
  submit.set_repetition_penalty(1.1);
  submit.set_logprobs(-1);
  submit.set_logits(2);
  (*submit.mutable_logit_bias())[9] = 1;
  (*submit.mutable_logit_bias())[2] = -1;
  const absl::StatusOr<ControlMessage> read = ReadControl(message);
  ASSERT_TRUE(read.ok());
  const Request& request = std::get<Request>(read->order);
  EXPECT_EQ(request.logits, LogitsWanted::kAll);
  EXPECT_THAT(request.sampling.logit_bias, ElementsAre(std::pair(2, -1.0f), std::pair(9, 1.0f)));
  submit.set_logits(3);
  EXPECT_EQ(std::get<RefusedRequest>(ReadControl(message)->order).reason, "logits: found 3, expected 0 to 2");
}

TEST(ConvertTest, ASubmitsGrammarIsReadWithinItsBounds) {
  v1::CoordinatorMessage message;
  v1::Submit& submit = *message.mutable_submit();
  submit.add_prompt(1);
  submit.set_top_p(1);
  submit.set_repetition_penalty(1);
  submit.set_logprobs(-1);
  submit.mutable_grammar()->set_kind(1);
  submit.mutable_grammar()->set_text("a+");
  EXPECT_EQ(std::get<Request>(ReadControl(message)->order).grammar, (GrammarText{GrammarKind::kRegex, "a+"}));
  submit.mutable_grammar()->set_kind(3);
  EXPECT_EQ(std::get<RefusedRequest>(ReadControl(message)->order).reason, "grammar.kind: found 3, expected 0 to 2");
  submit.mutable_grammar()->set_kind(2);
  submit.mutable_grammar()->set_text(std::string(kGrammarBytesMax + 1, 'a'));
  EXPECT_EQ(std::get<RefusedRequest>(ReadControl(message)->order).reason.rfind("grammar.text", 0), 0u);
}

v1::StepMessage Written(const StepPlan& plan) {
  v1::StepMessage message;
  WriteStep({.step = 9, .sequences = std::vector<StepSequence>(5, {.tokens = {1, 2}, .blocks = {3}, .part = 1})}, message);
  WriteStep(plan, message);  // nothing is left of what was in it
  return message;
}

TEST(ConvertTest, AStepSurvivesTheWire) {
  const StepPlan plan{.step = 4, .sequences = {{.id = 1, .position = 3, .tokens = {7, 8}, .blocks = {5, 2}, .length = 6, .logits = LogitsWanted::kLast},
                                               {.id = 2, .position = 0, .tokens = {1}, .blocks = {0}, .part = 1}}};
  const absl::StatusOr<StepPlan> read =
      ReadStep(Written(plan), {.vocab = 9, .kv_blocks = 6, .block_tokens = 4, .max_step_tokens = 3, .attention_parts = 2});
  ASSERT_TRUE(read.ok()) << Message(read.status());
  EXPECT_EQ(*read, plan);
}

TEST(ConvertTest, StepsThatWouldLeaveTheCacheAreRefused) {
  const StepBounds bounds{.vocab = 9, .kv_blocks = 6, .block_tokens = 4, .max_step_tokens = 3, .attention_parts = 2};
  const std::pair<StepSequence, std::string> cases[] = {
      {{.position = 0, .tokens = {9}, .blocks = {0}}, "step 1 sequence 0: tokens: found 9, expected 0 to 8"},
      {{.position = 0, .tokens = {-1}, .blocks = {0}}, "step 1 sequence 0: tokens: found -1, expected 0 to 8"},
      {{.position = 0, .tokens = {1}, .blocks = {6}}, "step 1 sequence 0: blocks: found 6, expected 0 to 5"},
      {{.position = 3, .tokens = {1, 1}, .blocks = {0}}, "step 1 sequence 0: blocks: found 1, expected 2"},
      {{.position = -1, .tokens = {1}, .blocks = {0}}, "step 1 sequence 0: position: found -1, expected one within the KV cache"},
      {{.position = 0, .tokens = {}, .blocks = {0}}, "step 1 sequence 0: tokens: found none, expected at least 1"},
      {{.position = 0, .tokens = {1, 1}, .blocks = {0}, .length = 1}, "step 1 sequence 0: length: found 1, expected 0 or 2 to 24"},
      {{.position = 0, .tokens = {1}, .blocks = {0}, .length = 25}, "step 1 sequence 0: length: found 25, expected 0 or 1 to 24"},
      {{.position = 0, .tokens = {1}, .blocks = {0}, .part = 2}, "step 1 sequence 0: part: found 2, expected 0 to 1"},
      {{.position = 0, .tokens = {1}, .blocks = {0}, .part = -1}, "step 1 sequence 0: part: found -1, expected 0 to 1"},
      {{.position = 0, .tokens = {1, 1, 1, 1}, .blocks = {0}}, "step 1: found 4 tokens, expected at most 3"},
  };
  for (const auto& [sequence, message] : cases)
    EXPECT_EQ(Message(ReadStep(Written({.step = 1, .sequences = {sequence}}), bounds).status()), message);
  EXPECT_EQ(Message(ReadStep(v1::StepMessage(), bounds).status()), "step 0: found no sequences, expected at least 1");
}

TEST(ConvertTest, ManyRowsAreCutIntoMessages) {
  const int64_t vocab = 100'000;  // 400 kB a row: two rows to a message
  TokenEvent event{.id = RequestId{1}, .position = 0, .token = 5};
  event.logits.resize(static_cast<size_t>(5 * vocab));
  for (size_t i = 0; i < event.logits.size(); ++i) event.logits[i] = static_cast<float>(i);
  event.logits_first_row = 7;
  event.finish = FinishReason::kLength;
  const std::vector<v1::WorkerMessage> messages = WriteTokens(Epoch{2}, {event}, vocab);
  std::vector<float> values;
  int64_t news_seen = 0;
  for (const v1::WorkerMessage& message : messages) {
    EXPECT_EQ(message.epoch(), 2u);
    EXPECT_LT(message.ByteSizeLong(), 1'200'000u);
    for (const v1::TokenNews& news : message.tokens().news()) {
      EXPECT_EQ(news.logits_first_row(), 7 + static_cast<int64_t>(values.size()) / vocab);
      values.resize(values.size() + news.logits().size() / sizeof(float));
      std::memcpy(values.data() + values.size() - news.logits().size() / sizeof(float), news.logits().data(), news.logits().size());
      const bool last = ++news_seen == 3;
      EXPECT_EQ(news.has_token(), last);
      EXPECT_EQ(news.finish(), last ? 2 : 0);
    }
  }
  EXPECT_EQ(news_seen, 3);
  EXPECT_EQ(values, event.logits);
}

TEST(ConvertTest, SmallNewsShareAMessage) {
  const std::vector<TokenEvent> events(20, TokenEvent{.id = RequestId{1}, .token = 5});
  const std::vector<v1::WorkerMessage> messages = WriteTokens(Epoch{2}, events, 1000);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].tokens().news_size(), 20);
  EXPECT_TRUE(WriteTokens(Epoch{2}, {}, 1000).empty());
}

}  // namespace
}  // namespace drover
