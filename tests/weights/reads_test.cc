// What ranks read from files in every golden case: no rank a byte twice; all together every byte of the model and as much as the
// plan says; what more than one rank reads has a name.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "models/weights.h"
#include "tests/models/model_files.h"
#include "tests/worker/golden_cases.h"
#include "worker/weights/load.h"
#include "worker/weights/slots.h"

namespace drover {
namespace {

using Intervals = std::vector<std::pair<int64_t, int64_t>>;  // [begin, end)
using Reads = std::map<const TensorInfo*, Intervals>;

int64_t Total(const Intervals& intervals) {
  int64_t total = 0;
  for (const auto& [begin, end] : intervals) total += end - begin;
  return total;
}

// Bytes in any of them.
int64_t Union(Intervals intervals) {
  std::sort(intervals.begin(), intervals.end());
  int64_t total = 0, reached = 0;
  for (const auto& [begin, end] : intervals) {
    total += std::max<int64_t>(0, end - std::max(begin, reached));
    reached = std::max(reached, end);
  }
  return total;
}

// Why several ranks may read a tensor; empty: they may share nothing but units at the borders of a cut.
std::string Reason(const Weight& weight, const Source& source, const TensorInfo* tensor) {
  if (weight.split == Split::kReplicated) return "held whole by every rank";
  if (weight.split == Split::kKvHeadRows && tensor == source.tensor) return "KV heads that query heads of two ranks use";
  if (source.packed && tensor != source.tensor) return "scales, zeros and orders of groups that a cut divides";
  return "";
}

// What two neighbours at most share at a border: a block, a word or a byte of each line across the cut.
int64_t BorderBytes(const Weight& weight, const Source& source) {
  if (!source.packed) return weight.rows * Info(source.tensor->dtype).bytes;
  const StoredArray& codes = source.packed->codes;
  return std::max(codes.unit_rows(), codes.unit_cols()) * codes.unit_bytes;
}

int64_t Resident(const PackedWeight& weight) {
  const Groups& groups = weight.groups;
  return weight.bytes.size() + groups.scales.size() + groups.zeros.size() +
         static_cast<int64_t>((groups.order.size() + groups.column_group.size()) * sizeof(int32_t));
}

void CheckResident(const Checkpoint& checkpoint, const RankCut& cut, RankWeights& weights) {
  EXPECT_EQ(weights.bytes, WeightBytes(checkpoint, cut));
  int64_t bytes = 0;
  for (const Weight& weight : WeightTable(checkpoint.spec)) {
    if (PartOf(weight, checkpoint.spec, cut).empty()) continue;
    const Slot slot = SlotOf(weights, weight, checkpoint.spec, cut);
    bytes += slot.matrix != nullptr ? Resident(*slot.matrix) : static_cast<int64_t>(std::span<const float>(*slot.vector).size_bytes());
  }
  EXPECT_EQ(bytes, weights.bytes) << "planned and held";
}

struct Named {
  std::string reason;
  bool attention = false;  // each attention part reads it
  bool tied = false;       // first and last stage read it
  int64_t border_bytes = 0;
};
std::map<const TensorInfo*, Named> NameTensors(const Checkpoint& checkpoint) {
  std::map<const TensorInfo*, Named> named;
  for (const Weight& weight : WeightTable(checkpoint.spec)) {
    const auto source = Locate(weight, checkpoint);
    EXPECT_TRUE(source.ok()) << source.status();
    for (const TensorInfo* tensor : TensorsOf(*source)) {
      Named& entry = named[tensor];
      if (entry.reason.empty()) entry.reason = Reason(weight, *source, tensor);
      entry.border_bytes += BorderBytes(weight, *source);
      entry.tied = weight.role == Role::kEmbedding && checkpoint.spec.tied_embeddings;
      entry.attention = weight.split == Split::kHeadRows || weight.split == Split::kKvHeadRows || weight.split == Split::kHeadCols;
    }
  }
  return named;
}

void CheckGrid(const Checkpoint& checkpoint, const Grid& grid, const std::map<const TensorInfo*, Named>& named) {
  Reads all;
  int64_t read = 0, planned = 0;
  for (int64_t rank = 0; rank < grid.ranks; ++rank) {
    const RankCut cut{grid, rank};
    Reads own;
    int64_t bytes = 0;
    const auto note = [&own](const TensorInfo& tensor, int64_t offset, int64_t count) { own[&tensor].push_back({offset, offset + count}); };
    auto weights = LoadRankWeights(checkpoint, cut, {.bytes_read = &bytes, .on_read = note});
    ASSERT_TRUE(weights.ok()) << weights.status();
    CheckResident(checkpoint, cut, *weights);
    for (const auto& [tensor, intervals] : own) {
      EXPECT_EQ(Total(intervals), Union(intervals)) << "rank " << rank << " reads bytes of " << tensor->name << " twice";
      all[tensor].insert(all[tensor].end(), intervals.begin(), intervals.end());
    }
    read += bytes;
    planned += BytesToRead(checkpoint, cut);
  }
  EXPECT_EQ(read, planned);
  for (const auto& [tensor, name] : named) {
    EXPECT_EQ(Union(all[tensor]), tensor->bytes) << tensor->name << ": nobody reads some of it";
    const int64_t again = Total(all[tensor]) - Union(all[tensor]);
    const int64_t copies = name.attention ? grid.attention_parts : name.tied ? std::min<int64_t>(grid.stages, 2) : 1;
    const int64_t by_parts = (copies - 1) * tensor->bytes;
    const int64_t allowed = name.reason.empty() ? by_parts + (grid.ranks - 1) * name.border_bytes : grid.ranks * tensor->bytes;
    EXPECT_LE(again, allowed) << tensor->name << " is read by several ranks";
    EXPECT_GE(again, by_parts) << tensor->name << " is not read whole by every part or stage that needs it";
  }
}

class ReadsOf : public testing::TestWithParam<std::string> {};

TEST_P(ReadsOf, EachByteOncePerRankAndAllByThePlan) {
  const std::optional<std::string> path = test::GoldenCase(GetParam());
  if (!path) GTEST_SKIP() << "not here: " << GetParam();
  const auto checkpoint = OpenCheckpoint(*path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto named = NameTensors(*checkpoint);
  std::vector<Grid> grids = {{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {7, 1}};
  if (checkpoint->spec.has_experts()) grids.insert(grids.end(), {{2, 2}, {4, 2}, {4, 4}, {6, 3}});
  grids.insert(grids.end(), {{2, 1, 1, 2}, {4, 1, 1, 2}, {6, 1, 1, 3}, {3, 1, 1, 3}, {4, 1, 2, 2}, {2, 1, 2}, {6, 1, 3}});
  for (const Grid& grid : grids) {
    SCOPED_TRACE(Cat(grid.ranks, " ranks, experts in ", grid.expert_parts, ", attention in ", grid.attention_parts, ", ", grid.stages, " stages"));
    CheckGrid(*checkpoint, grid, named);
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, ReadsOf, testing::ValuesIn(AllGoldenCases()), [](const auto& test) {
  std::string name = test.param;
  std::ranges::replace_if(name, [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
});

}  // namespace
}  // namespace drover
