// The bench: a random-weight model from its config alone, the same hash for every number of threads, refusals by name.
#include "worker/bench.h"

#include <gtest/gtest.h>

#include "worker/comm/solo_communicator.h"

namespace drover {
namespace {

BenchOptions Small(int64_t threads) {
  return {.model = DROVER_SOURCE_DIR "/tests/testdata/golden/llama4-scout/config.json", .threads = threads, .prefill_tokens = 40,
          .decode_tokens = 5, .max_step_tokens = 16};
}

TEST(Bench, ReportsAConfigWithRandomWeights) {
  SoloCommunicator solo;
  const absl::StatusOr<BenchReport> one = RunBench(Small(1), solo);
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_TRUE(one->random_weights);
  EXPECT_GT(one->decode_tokens_per_second, 0);
  EXPECT_GT(one->prefill_tokens_per_second, 0);
  EXPECT_GT(one->read_bandwidth_bytes_per_second, 0);
  EXPECT_GT(one->read_bandwidth_share, 0);
  EXPECT_GT(one->bytes_per_decode_step, 0);
  EXPECT_LT(one->bytes_per_decode_step, one->weight_bytes) << "a token meets one of six experts";
  const absl::StatusOr<BenchReport> two = RunBench(Small(2), solo);
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(one->logits_hash, two->logits_hash);
  EXPECT_EQ(one->logits_hash.size(), 16u);
  const Json json = ToJson(*one);
  for (const char* key : {"decode_tokens_per_second", "prefill_tokens_per_second", "read_bandwidth_share", "logits_hash"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_NE(ToText(*one).find("random weights"), std::string::npos);
}

TEST(Bench, RefusesByName) {
  SoloCommunicator solo;
  BenchOptions options = Small(1);
  options.decode_tokens = 0;
  EXPECT_NE(Message(RunBench(options, solo).status()).find("decode: found 0"), std::string::npos);
}

}  // namespace
}  // namespace drover
