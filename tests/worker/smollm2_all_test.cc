// SmolLM2 on 1, 2 and 4 ranks: every prompt of the reference.
#include "tests/worker/smollm2_parity.h"

namespace drover {
namespace {

class SmolLm2All : public testing::TestWithParam<int64_t> {};

TEST_P(SmolLm2All, EveryPromptIsTheReferences) { ExpectSmolLm2Parity(GetParam(), {}); }

INSTANTIATE_TEST_SUITE_P(Ranks, SmolLm2All, testing::Values(1, 2, 4), testing::PrintToStringParamName());

}  // namespace
}  // namespace drover
