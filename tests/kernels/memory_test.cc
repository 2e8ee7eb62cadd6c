// Memory on the host, and weights that are taken from one memory to another.
#include "kernels/memory.h"

#include <array>

#include "tests/kernels/random_tensors.h"

namespace drover {
namespace {

TEST(HostMemory, CopiesEachWay) {
  HostMemory memory;
  const std::array<std::byte, 4> from = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  absl::StatusOr<AlignedBytes> bytes = memory.Allocate(4);
  ASSERT_TRUE(bytes.ok());
  memory.Upload(from, bytes->data());
  memory.Zero({bytes->data() + 1, 1});
  memory.Copy({bytes->data() + 2, 2}, bytes->data() + 1);
  std::array<std::byte, 4> to{};
  ASSERT_TRUE(memory.Download(bytes->data(), to).ok());
  EXPECT_EQ(to, (std::array<std::byte, 4>{std::byte{1}, std::byte{3}, std::byte{4}, std::byte{4}}));
}

TEST(AlignedBytes, AreGivenBackTheirOwnWay) {
  static int released;
  released = 0;
  std::byte somewhere{};
  {
    AlignedBytes bytes(&somewhere, 1, [](std::byte*) { ++released; });
    AlignedBytes moved = std::move(bytes);
    EXPECT_EQ(moved.data(), &somewhere);
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
}

// A memory that the host may not touch, as far as callers can tell.
class FarMemory : public HostMemory {
 public:
  bool on_host() const override { return false; }
};

TEST(CopyTo, TakesCodesAndGroupsAlong) {
  PackedWeight weight = RandomWeight(DType::kQ8_0, 3, 64, 0, 1);
  weight.groups = {1, 32};
  weight.groups.across = 2;
  weight.groups.zero = 8;
  weight.groups.scales = AlignedBytes(8);
  weight.groups.order = {1, 0};
  weight.groups.column_group = {5, 6};
  std::memset(weight.groups.scales.data(), 7, 8);
  FarMemory memory;
  const absl::StatusOr<PackedWeight> copy = CopyTo(weight, memory);
  ASSERT_TRUE(copy.ok());
  EXPECT_NE(copy->bytes.data(), weight.bytes.data());
  EXPECT_EQ(std::memcmp(copy->bytes.data(), weight.bytes.data(), static_cast<size_t>(weight.bytes.size())), 0);
  EXPECT_EQ(std::memcmp(copy->groups.scales.data(), weight.groups.scales.data(), 8), 0);
  EXPECT_EQ(copy->groups.zeros.size(), 0);
  EXPECT_EQ(copy->groups.zero, 8);
  EXPECT_EQ(copy->rows, 3);
  EXPECT_EQ(copy->row_bytes, weight.row_bytes);
  const int32_t sorted[] = {1, 0, 5, 6};
  ASSERT_EQ(copy->groups.sorted.size(), static_cast<int64_t>(sizeof sorted));
  EXPECT_EQ(std::memcmp(copy->groups.sorted.data(), sorted, sizeof sorted), 0);
}

}  // namespace
}  // namespace drover
