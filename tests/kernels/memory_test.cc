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

// A memory that the host may not touch, as far as callers can tell. Counts what is taken as a GPU's driver does: in whole 2 MiB.
class FarMemory : public HostMemory {
 public:
  bool on_host() const override { return false; }
  absl::StatusOr<AlignedBytes> Allocate(int64_t size) override {
    constexpr int64_t kWhole = 2 << 20;
    const int64_t whole = (size + AlignedBytes::kReadableAfterEnd + kWhole - 1) / kWhole * kWhole;
    if (taken + whole > most) return ResourceExhausted(size, " bytes");
    ++times;
    taken += whole;
    return HostMemory::Allocate(size);
  }
  int64_t times = 0, taken = 0, most = int64_t{1} << 40;
};

TEST(PieceMemory, TakesFewLargePiecesForManySmallOnes) {
  FarMemory far;
  PieceMemory memory(far);
  constexpr int64_t kSize = 3 << 20, kCount = 400;  // of experts, say: a driver takes 4 MiB for each
  std::vector<AlignedBytes> pieces;
  for (int64_t i = 0; i < kCount; ++i) {
    absl::StatusOr<AlignedBytes> piece = memory.Allocate(kSize);
    ASSERT_TRUE(piece.ok());
    pieces.push_back(*std::move(piece));
  }
  EXPECT_LT(far.times, 20);
  EXPECT_LT(far.taken, kCount * kSize * 5 / 4);
}

// Sizes in turn, so that small pieces find room in what larger ones have left.
TEST(PieceMemory, PiecesAreApartAndOutliveWhatMadeThem) {
  FarMemory far;
  std::vector<AlignedBytes> pieces;
  {
    PieceMemory memory(far);
    for (int i = 0; i < 60; ++i) {
      absl::StatusOr<AlignedBytes> piece = memory.Allocate(1 + i * 7919 % 100'000);
      ASSERT_TRUE(piece.ok());
      EXPECT_EQ(reinterpret_cast<uintptr_t>(piece->data()) % AlignedBytes::kAlignment, 0u);
      const std::vector<std::byte> bytes(static_cast<size_t>(piece->size()), static_cast<std::byte>(i));
      memory.Upload(bytes, piece->data());
      pieces.push_back(*std::move(piece));
    }
  }
  for (size_t i = 0; i < pieces.size(); i += 2) pieces[i] = {};
  for (size_t i = 1; i < pieces.size(); i += 2) {
    const std::span<const std::byte> bytes(pieces[i].data(), static_cast<size_t>(pieces[i].size()));
    EXPECT_TRUE(std::ranges::all_of(bytes, [i](std::byte b) { return b == static_cast<std::byte>(i); })) << i;
  }
}

TEST(PieceMemory, LargePiecesAreTakenAsTheyAreAndAllThatThereIs) {
  FarMemory far;
  far.most = 6 << 20;
  PieceMemory memory(far);
  EXPECT_FALSE(memory.Allocate(64 << 20).ok());
  std::vector<AlignedBytes> pieces;
  for (int i = 0; i < 3; ++i) pieces.push_back(*memory.Allocate(900 << 10));  // the last as it is: there is no room for more
  EXPECT_EQ(far.taken, far.most);
  EXPECT_TRUE(absl::IsResourceExhausted(memory.Allocate(3 << 20).status()));
  HostMemory host;
  EXPECT_TRUE(PieceMemory(host).on_host());
}

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
