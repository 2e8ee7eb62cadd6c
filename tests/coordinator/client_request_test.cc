// From what a client asks to what a group serves: defaults, ranges, the window.
#include "coordinator/client_request.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/coordinator/toy_text.h"

namespace drover {
namespace {

std::vector<int32_t> Ids(size_t count) { return std::vector<int32_t>(count, 1); }

TEST(Resolve, RequestThenModelThenOneForTemperature) {
  ModelInfo model = testing::ToyModel();
  EXPECT_EQ(Resolve({}, Ids(1), model, 7)->sampling.temperature, 1.0);
  model.defaults.temperature = 0.6;
  EXPECT_EQ(Resolve({}, Ids(1), model, 7)->sampling.temperature, 0.6);
  EXPECT_EQ(Resolve({.sampling = {.temperature = 0.0}}, Ids(1), model, 7)->sampling.temperature, 0.0);
}

TEST(Resolve, ASeedIsNeverAbsentAndChoicesDiffer) {
  const ModelInfo model = testing::ToyModel();
  EXPECT_EQ(Resolve({}, Ids(1), model, 7)->sampling.seed, 7u);
  EXPECT_EQ(Resolve({.sampling = {.seed = UINT64_MAX}}, Ids(1), model, 7)->sampling.seed, UINT64_MAX);
  EXPECT_EQ(Resolve({.sampling = {.seed = 40}, .choice = 2}, Ids(1), model, 7)->sampling.seed, 42u);
}

struct WindowCase {
  const char* name;
  size_t prompt;
  std::optional<int64_t> max_tokens, fallback;
  int64_t expected;  // -1: refused
};

class Window : public ::testing::TestWithParam<WindowCase> {};
TEST_P(Window, Decides) {
  ModelInfo model = testing::ToyModel();
  model.max_model_len = 10;
  const absl::StatusOr<Request> request =
      Resolve({.max_tokens = GetParam().max_tokens, .default_max_tokens = GetParam().fallback}, Ids(GetParam().prompt), model, 0);
  if (GetParam().expected < 0) {
    EXPECT_EQ(request.status().code(), absl::StatusCode::kOutOfRange);
  } else {
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_EQ(request->max_tokens, GetParam().expected);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Window, ::testing::Values(
    WindowCase{"WhatIsLeft", 4, std::nullopt, std::nullopt, 6},
    WindowCase{"TheDefault", 4, std::nullopt, 3, 3},
    WindowCase{"TheDefaultIsCut", 8, std::nullopt, 16, 2},
    WindowCase{"AskedAndFits", 4, 6, 16, 6},
    WindowCase{"AskedAndOneTooMany", 4, 7, 16, -1},
    WindowCase{"APromptThatFillsTheWindow", 10, std::nullopt, 16, -1},
    WindowCase{"AFullWindowCanStillBeScored", 10, 0, 16, 0},
    WindowCase{"APromptBeyondTheWindow", 11, std::nullopt, 16, -1}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Resolve, EndIdsAreTheModelsAndTheClients) {
  const ModelInfo model = testing::ToyModel();
  EXPECT_EQ(Resolve({.stop_token_ids = {5}}, Ids(1), model, 0)->end_ids, (std::vector<int32_t>{256, 5}));
  EXPECT_EQ(Resolve({.stop_token_ids = {5}, .ignore_eos = true}, Ids(1), model, 0)->end_ids, std::vector<int32_t>{5});
}

struct RefusalCase {
  const char* name;
  ClientRequest request;
  absl::StatusCode code;
};

class Refusals : public ::testing::TestWithParam<RefusalCase> {};
TEST_P(Refusals, AreMadeBeforeAnyWork) { EXPECT_EQ(Check(GetParam().request, testing::ToyModel()).code(), GetParam().code); }

INSTANTIATE_TEST_SUITE_P(All, Refusals, ::testing::Values(
    RefusalCase{"AnotherModel", {.model = "x"}, absl::StatusCode::kNotFound},
    RefusalCase{"TooManyStops", {.stop = std::vector<std::string>(17, "a")}, absl::StatusCode::kInvalidArgument},
    RefusalCase{"AnEmptyStop", {.stop = {""}}, absl::StatusCode::kInvalidArgument},
    RefusalCase{"AStopIdOutOfRange", {.stop_token_ids = {258}}, absl::StatusCode::kInvalidArgument},
    RefusalCase{"TooManyLogprobs", {.logprobs = 21}, absl::StatusCode::kInvalidArgument},
    RefusalCase{"MoreAtLeastThanAtMost", {.max_tokens = 1, .min_tokens = 2}, absl::StatusCode::kInvalidArgument},
    RefusalCase{"LogitsWithoutTheSwitch", {.logits = LogitsWanted::kAll}, absl::StatusCode::kPermissionDenied},
    RefusalCase{"NotANumber", {.sampling = {.temperature = std::numeric_limits<double>::quiet_NaN()}}, absl::StatusCode::kInvalidArgument},
    RefusalCase{"NothingWrong", {}, absl::StatusCode::kOk}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Refusals, AModelWithoutATokenizerServesTokenIdsOnly) {
  ModelInfo model = testing::ToyModel();
  model.has_tokenizer = model.has_chat_template = false;
  EXPECT_TRUE(Check({.prompt = std::vector<int32_t>{1}}, model).ok());
  EXPECT_EQ(Check({.prompt = TextInput{"x"}}, model).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Check({.prompt = ChatInput{}}, model).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Check({.prompt = std::vector<int32_t>{1}, .stop = {"x"}}, model).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Resolve, TheModelsLengthHoldsUntilTheRequestOrItsEdgeSaysMore) {
  ModelInfo model = testing::ToyModel();
  model.default_max_tokens = 5;
  EXPECT_EQ(Resolve({}, Ids(1), model, 0)->max_tokens, 5);
  EXPECT_EQ(Resolve({.default_max_tokens = 16}, Ids(1), model, 0)->max_tokens, 16);
  EXPECT_EQ(Resolve({.max_tokens = 7}, Ids(1), model, 0)->max_tokens, 7);
  model.max_model_len = 4;
  EXPECT_EQ(Resolve({}, Ids(1), model, 0)->max_tokens, 3);
}

}  // namespace
}  // namespace drover
