// Sampling parameters: every range, with the field named.
#include "common/request.h"

#include <gtest/gtest.h>

#include <cmath>

namespace drover {
namespace {

struct BadSampling {
  const char* name;
  Sampling sampling;
  const char* message;
};

class Refused : public testing::TestWithParam<BadSampling> {};

TEST_P(Refused, NamesTheField) {
  const absl::Status status = Validate(GetParam().sampling);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(Message(status).find(GetParam().message), std::string::npos) << status;
}

INSTANTIATE_TEST_SUITE_P(All, Refused, testing::Values(
    BadSampling{"NegativeTemperature", {.temperature = -1}, "temperature: found -1"},
    BadSampling{"NanTemperature", {.temperature = std::nan("")}, "temperature"},
    BadSampling{"HugeTemperature", {.temperature = 1e9}, "from 0 to 100"},
    BadSampling{"NegativeTopK", {.top_k = -2}, "top_k: found -2"},
    BadSampling{"ZeroTopP", {.top_p = 0}, "top_p: found 0"},
    BadSampling{"LargeTopP", {.top_p = 1.1}, "top_p"},
    BadSampling{"LargeMinP", {.min_p = 2}, "min_p"},
    BadSampling{"ZeroRepetition", {.repetition_penalty = 0}, "repetition_penalty"},
    BadSampling{"LargePresence", {.presence_penalty = 3}, "presence_penalty"},
    BadSampling{"LargeFrequency", {.frequency_penalty = 1e6}, "frequency_penalty"},
    BadSampling{"LargeBias", {.logit_bias = {{3, 101.0f}}}, "logit_bias[3]"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Validate, AcceptsTheDefaultsAndGreedy) {
  EXPECT_TRUE(Validate(Sampling{}).ok());
  EXPECT_TRUE(Validate(Sampling{.temperature = 0}).ok());
}

}  // namespace
}  // namespace drover
