// The forward pass beyond parity: independence of batch, chunks and threads, wrong plans, weights that are not finite.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "tests/support/small_spec.h"
#include "tests/support/thread_group.h"
#include "worker/weights/random.h"

namespace drover {
namespace {

constexpr DecoderSettings kSettings{.max_step_tokens = 64, .max_sequences = 8, .kv_blocks = 40, .block_tokens = 4};

std::unique_ptr<ThreadGroup> MakeGroup(const Grid& grid, int64_t threads, DType dtype = DType::kQ4_0) {
  const ModelSpec spec = SmallSpec();
  const auto make_weights = [&](const RankCut& cut, Ops& ops) { return RandomRankWeights(spec, cut, 7, dtype, &ops); };
  auto group = ThreadGroup::Create(spec, grid, kSettings, make_weights, ThreadGroup::OnCpu(threads));
  EXPECT_TRUE(group.ok()) << group.status();
  return *std::move(group);
}

std::unique_ptr<ThreadGroup> MakeGroup(int64_t ranks, int64_t threads, DType dtype = DType::kQ4_0) {
  return MakeGroup({ranks, ranks}, threads, dtype);
}

StepSequence Chunk(uint64_t id, int64_t position, int64_t count, int32_t first_block) {
  StepSequence sequence{.id = id, .position = position, .logits = LogitsWanted::kAll};
  for (int64_t i = 0; i < count; ++i) sequence.tokens.push_back(static_cast<int32_t>((position + i + static_cast<int64_t>(id)) * 31 % 97));
  sequence.blocks.resize(static_cast<size_t>((position + count + 3) / 4));
  std::iota(sequence.blocks.begin(), sequence.blocks.end(), first_block);
  return sequence;
}

std::vector<float> RunOk(ThreadGroup& group, std::vector<StepSequence> sequences) {
  absl::StatusOr<StepLogits> logits = group.Run({1, std::move(sequences)});
  EXPECT_TRUE(logits.ok()) << logits.status();
  return logits.ok() ? logits->values : std::vector<float>();
}

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

class Invariance : public testing::TestWithParam<int64_t> {};

TEST_P(Invariance, ASequencesLogitsAreTheSameBitsAloneInABatchInChunksAndByThreads) {
  auto group = MakeGroup(GetParam(), 1);
  const std::vector<float> alone = RunOk(*group, {Chunk(1, 0, 23, 0)});
  ASSERT_EQ(alone.size(), 23u * 97);
  const std::vector<float> batch = RunOk(*group, {Chunk(2, 0, 9, 10), Chunk(1, 0, 23, 0), Chunk(3, 0, 30, 20)});
  EXPECT_TRUE(SameBits(alone, std::span(batch).subspan(9 * 97, alone.size()))) << "in a batch";
  std::vector<float> pieces;
  for (const auto& [position, count] : {std::pair<int64_t, int64_t>{0, 5}, {5, 1}, {6, 13}, {19, 1}, {20, 3}}) {
    const std::vector<float> piece = RunOk(*group, {Chunk(1, position, count, 30), Chunk(4, 0, 3, 0)});
    pieces.insert(pieces.end(), piece.begin(), piece.begin() + count * 97);
  }
  EXPECT_TRUE(SameBits(alone, pieces)) << "in chunks and single steps";
  auto threaded = MakeGroup(GetParam(), 3);
  EXPECT_TRUE(SameBits(alone, RunOk(*threaded, {Chunk(1, 0, 23, 0)}))) << "on three threads";
}

TEST_P(Invariance, RanksAgreeWithOneRank) {
  const std::vector<float> one = RunOk(*MakeGroup(1, 1, DType::kF32), {Chunk(1, 0, 23, 0)});
  const std::vector<float> many = RunOk(*MakeGroup(GetParam(), 1, DType::kF32), {Chunk(1, 0, 23, 0)});
  ASSERT_EQ(one.size(), many.size());
  for (size_t i = 0; i < one.size(); ++i) ASSERT_NEAR(one[i], many[i], 2e-5) << i;
}

// 7 ranks: more than heads, KV heads and experts, so some own none.
INSTANTIATE_TEST_SUITE_P(Ranks, Invariance, testing::Values(1, 2, 3, 7), testing::PrintToStringParamName());

// Several sequences a step in any order of parts, parts without any, the same block ids in each part.
class AttentionParts : public testing::TestWithParam<Grid> {};

TEST_P(AttentionParts, AgreeWithOneRank) {
  auto one = MakeGroup(1, 1, DType::kF32), parts = MakeGroup(GetParam(), 1, DType::kF32);
  const auto compare = [&](const std::vector<std::pair<StepSequence, int64_t>>& sequences) {
    std::vector<StepSequence> whole, cut;
    for (const auto& [sequence, part] : sequences) {
      whole.push_back(sequence);
      cut.push_back(sequence);
      cut.back().part = part % GetParam().attention_parts;
      const bool first = cut.back().part == 0;  // other parts count their blocks anew
      for (int32_t& block : cut.back().blocks) block = first ? block : (block + 20) % 40;
    }
    const std::vector<float> expected = RunOk(*one, whole), found = RunOk(*parts, cut);
    ASSERT_EQ(expected.size(), found.size());
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(expected[i], found[i], 3e-5) << i;
  };
  compare({{Chunk(1, 0, 9, 0), 1}, {Chunk(2, 0, 5, 10), 0}, {Chunk(3, 0, 4, 20), 1}, {Chunk(4, 0, 6, 30), 2}});
  compare({{Chunk(2, 5, 1, 10), 0}, {Chunk(3, 4, 4, 20), 1}, {Chunk(1, 9, 1, 0), 1}});
  compare({{Chunk(1, 10, 3, 0), 1}});  // alone: no other part has rows
  compare({{Chunk(4, 6, 2, 30), 2}, {Chunk(2, 6, 2, 10), 0}});
}

// 3 ranks a part: a KV head on two of them; 7: more than heads.
INSTANTIATE_TEST_SUITE_P(Grids, AttentionParts,
                         testing::Values(Grid{2, 2, 1, 2}, Grid{3, 1, 1, 3}, Grid{4, 2, 1, 2}, Grid{4, 1, 1, 4}, Grid{4, 2, 2, 2},
                                         Grid{6, 3, 1, 2}, Grid{8, 8, 1, 2}, Grid{10, 5, 1, 5}, Grid{14, 7, 1, 2}),
                         [](const auto& test) {
                           const Grid& grid = test.param;
                           return Cat(grid.ranks, "_in_", grid.attention_parts, "_parts_", grid.stages, "_stages");
                         });

// A group that caches as many tokens in D parts holds a D-th of all latents on each rank.
TEST(KvStore, AttentionPartsDivideTheMemoryOfLatents) {
  ModelSpec spec = SmallSpec();
  spec.layer_kind = {2, 2, 2, 2};
  HostMemory memory;
  for (const int64_t rank : {0, 1, 2, 3}) {
    const absl::StatusOr<KvStore> whole = KvStore::Create(spec, {{4, 4}, rank}, {40, 4}, memory);
    ASSERT_TRUE(whole.ok() && whole->bytes() == 40 * 4 * 4 * (32 + 4) * 4) << rank;
    for (const int64_t parts : {2, 4}) {
      const absl::StatusOr<KvStore> part = KvStore::Create(spec, {{4, 4, 1, parts}, rank}, {40 / parts, 4}, memory);
      ASSERT_TRUE(part.ok());
      EXPECT_EQ(part->bytes() * parts, whole->bytes()) << "rank " << rank << ", " << parts << " parts";
    }
  }
}

TEST(Decoder, KeepsPartsApart) {
  auto group = MakeGroup({4, 2, 1, 2}, 1, DType::kF32);
  StepSequence beyond = Chunk(1, 0, 3, 0), large = Chunk(1, 0, 33, 0);
  beyond.part = 2;
  EXPECT_NE(Message(group->Run({5, {beyond}}).status()).find("part: found 2, expected 0 to 1"), std::string::npos);
  EXPECT_NE(Message(group->Run({5, {large}}).status()).find("tokens: found 33 in part 0, expected at most 32"), std::string::npos);
  std::vector<float> alone = RunOk(*group, {Chunk(2, 0, 3, 0)});
  const std::vector<float> more = RunOk(*group, {Chunk(1, 0, 3, 0)});
  alone.insert(alone.end(), more.begin(), more.end());
  StepSequence other = Chunk(2, 0, 3, 0);
  other.part = 1;
  EXPECT_TRUE(SameBits(alone, RunOk(*group, {other, Chunk(1, 0, 3, 0)}))) << "block 0 of each part";
}

TEST(Decoder, RefusesWrongPlansAndGoesOn) {
  auto group = MakeGroup(2, 1);
  struct Wrong {
    std::string_view message;
    std::function<void(StepSequence&)> change;
  };
  const Wrong wrongs[] = {
      {"tokens: found id 97, expected 0 to 96", [](StepSequence& s) { s.tokens[2] = 97; }},
      {"tokens: found id -1", [](StepSequence& s) { s.tokens[0] = -1; }},
      {"tokens: found none", [](StepSequence& s) { s.tokens.clear(); }},
      {"position: found -4", [](StepSequence& s) { s.position = -4; }},
      {"blocks: hold 8 positions, expected at least 9", [](StepSequence& s) { s.blocks.pop_back(); }},
      {"blocks: found 40, expected 0 to 39", [](StepSequence& s) { s.blocks[1] = 40; }},
      {"blocks: 0 would be written twice", [](StepSequence& s) { s.blocks[1] = 0; }},
      {"tokens: found 65, expected at most 64", [](StepSequence& s) { s.tokens.resize(65); }},
  };
  for (const Wrong& wrong : wrongs) {
    StepSequence sequence = Chunk(1, 0, 9, 0);
    wrong.change(sequence);
    const absl::StatusOr<StepLogits> found = group->Run({5, {sequence}});
    ASSERT_EQ(found.status().code(), absl::StatusCode::kInvalidArgument) << wrong.message;
    EXPECT_NE(Message(found.status()).find(wrong.message), std::string::npos) << found.status();
    EXPECT_NE(Message(found.status()).find("plan of step 5"), std::string::npos) << found.status();
  }
  EXPECT_EQ(RunOk(*group, {Chunk(1, 0, 9, 0)}).size(), 9u * 97);
}

TEST(Decoder, GivesTheRowsThatWereAskedFor) {
  auto group = MakeGroup(2, 1);
  StepSequence none = Chunk(1, 0, 5, 0), last = Chunk(2, 0, 5, 10);
  const std::vector<float> all = RunOk(*group, {last});
  none.logits = LogitsWanted::kNone;
  last.logits = LogitsWanted::kLast;
  const std::vector<float> found = RunOk(*group, {none, last});
  EXPECT_TRUE(SameBits(found, std::span(all).subspan(4 * 97, 97)));
  EXPECT_TRUE(RunOk(*group, {}).empty());
}

TEST(Decoder, NamesTheStepWhoseLogitsAreNotFinite) {
  const ModelSpec spec = SmallSpec();
  auto group = ThreadGroup::Create(spec, {2, 2}, kSettings, [&](const RankCut& cut, Ops& ops) -> absl::StatusOr<RankWeights> {
    DROVER_ASSIGN_OR_RETURN(RankWeights weights, RandomRankWeights(spec, cut, 7, DType::kF32));
    std::vector<float> gains(static_cast<size_t>(spec.hidden), 1);
    gains[3] = std::numeric_limits<float>::quiet_NaN();
    DROVER_ASSIGN_OR_RETURN(weights.layers[1].ffn_norm, FloatVector::Make(gains, ops.memory()));
    return weights;
  });
  ASSERT_TRUE(group.ok()) << group.status();
  const absl::StatusOr<StepLogits> found = (*group)->Run({42, {Chunk(1, 0, 3, 0)}});
  EXPECT_EQ(found.status().code(), absl::StatusCode::kInternal) << found.status();
  EXPECT_NE(Message(found.status()).find("step 42: the logits of position 0 are not finite"), std::string::npos) << found.status();
}

}  // namespace
}  // namespace drover
