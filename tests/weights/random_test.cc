// Random weights: the same model for every cut, and block formats included.
#include "worker/weights/random.h"

#include <gtest/gtest.h>

#include <cstring>

#include "models/registry.h"
#include "models/weights.h"
#include "worker/weights/slots.h"

namespace drover {
namespace {

ModelSpec Spec() {
  return *SpecFromConfigText(
      R"({"architectures":["MixtralForCausalLM"],"hidden_size":64,"intermediate_size":96,"max_position_embeddings":16,"vocab_size":37,
          "num_attention_heads":6,"num_key_value_heads":2,"head_dim":16,"num_hidden_layers":2,"num_local_experts":3})");
}

// Each row of each part equals the same bytes of the whole matrix.
void ExpectPartsOf(RankWeights& whole, RankWeights& part, const ModelSpec& spec, const RankCut& cut) {
  for (const Weight& weight : WeightTable(spec)) {
    const Part own = PartOf(weight, spec, cut);
    if (own.empty()) continue;
    const Slot all = SlotOf(whole, weight, spec, {}), mine = SlotOf(part, weight, spec, cut);
    if (all.vector != nullptr) {
      const std::span<const float> values = *mine.vector, of_all = *all.vector;
      for (int64_t r = 0; r < own.rows.size(); ++r)
        EXPECT_EQ(values[static_cast<size_t>(r)], of_all[static_cast<size_t>(own.rows.begin + r)]);
      continue;
    }
    const DTypeInfo& info = Info(mine.matrix->dtype);
    const int64_t first = StoredCols(own.cols, {.codes = mine.matrix->dtype}).range.begin / info.values * info.bytes;
    for (int64_t r = 0; r < own.rows.size(); ++r)
      ASSERT_EQ(std::memcmp(mine.matrix->row(r), all.matrix->row(own.rows.begin + r) + first, static_cast<size_t>(mine.matrix->row_bytes)), 0)
          << weight.name;
  }
}

TEST(RandomWeights, OfEveryCutArePartsOfOneModel) {
  const ModelSpec spec = Spec();
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1}) {
    auto whole = RandomRankWeights(spec, {}, 7, dtype);
    ASSERT_TRUE(whole.ok()) << whole.status();
    for (const Grid& grid : {Grid{2, 1}, Grid{4, 2}, Grid{3, 3}})
      for (int64_t rank = 0; rank < grid.ranks; ++rank) {
        const RankCut cut{grid, rank};
        auto part = RandomRankWeights(spec, cut, 7, dtype);
        ASSERT_TRUE(part.ok()) << part.status();
        ExpectPartsOf(*whole, *part, spec, cut);
      }
  }
}

// Operations of a device, as far as weights go: each piece that is taken from its memory is counted.
class FarOps : public Ops {
 public:
  Memory& memory() override { return far; }
  struct Far : HostMemory {
    bool on_host() const override { return false; }
    absl::StatusOr<AlignedBytes> Allocate(int64_t size) override { return ++times, HostMemory::Allocate(size); }
    int64_t times = 0;
  } far;
};

TEST(RandomWeights, ShareADevicesMemory) {
  FarOps ops;
  auto near = RandomRankWeights(Spec(), {}, 7, DType::kBF16), far = RandomRankWeights(Spec(), {}, 7, DType::kBF16, &ops);
  ASSERT_TRUE(far.ok()) << far.status();
  EXPECT_EQ(ops.far.times, 1) << "matrices and vectors of a small model";
  ExpectPartsOf(*near, *far, Spec(), {});
}

TEST(RandomWeights, DependOnTheSeed) {
  const auto a = RandomRankWeights(Spec(), {}, 1, DType::kF32), b = RandomRankWeights(Spec(), {}, 2, DType::kF32);
  EXPECT_NE(std::memcmp(a->embedding.row(0), b->embedding.row(0), 64), 0);
}

TEST(RandomWeights, RefuseBlocksThatDoNotFitAndOtherTypes) {
  ModelSpec spec = Spec();
  spec.kinds[0].ffn.experts->hidden = 40;
  const auto weights = RandomRankWeights(spec, {}, 1, DType::kQ4_0);
  EXPECT_NE(Message(weights.status()).find("40 columns are not whole q4_0 blocks"), std::string::npos) << weights.status();
  EXPECT_FALSE(RandomRankWeights(spec, {}, 1, DType::kI8).ok());
}

}  // namespace
}  // namespace drover
