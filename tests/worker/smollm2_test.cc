// SmolLM2 on 1, 2 and 4 ranks: three prompts.
#include "tests/worker/smollm2_parity.h"

namespace drover {
namespace {

class SmolLm2 : public testing::TestWithParam<int64_t> {};

TEST_P(SmolLm2, ThreePromptsAreTheReferences) { ExpectSmolLm2Parity(GetParam(), {"chat-0", "text-0", "text-1"}); }

INSTANTIATE_TEST_SUITE_P(Ranks, SmolLm2, testing::Values(1, 2, 4), testing::PrintToStringParamName());

}  // namespace
}  // namespace drover
