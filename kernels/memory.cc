// See memory.h.
#include "kernels/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace drover {
namespace {

absl::StatusOr<AlignedBytes> CopyBytes(std::span<const std::byte> from, Memory& memory) {
  if (from.empty()) return AlignedBytes();
  DROVER_ASSIGN_OR_RETURN(AlignedBytes bytes, memory.Allocate(static_cast<int64_t>(from.size())));
  memory.Upload(from, bytes.data());
  return bytes;
}

std::span<const std::byte> All(const AlignedBytes& bytes) { return {bytes.data(), static_cast<size_t>(bytes.size())}; }

absl::StatusOr<AlignedBytes> Owned(void* bytes, int64_t size) {
  if (bytes == nullptr) return ResourceExhausted(size, " bytes of memory could not be had");
  return AlignedBytes(static_cast<std::byte*>(bytes), size, [](std::byte* p) { std::free(p); });
}

}  // namespace

absl::StatusOr<AlignedBytes> Memory::AllocateZeros(int64_t size) {
  DROVER_ASSIGN_OR_RETURN(AlignedBytes bytes, Allocate(size));
  Zero({bytes.data(), static_cast<size_t>(size)});
  return bytes;
}

absl::StatusOr<AlignedBytes> HostMemory::Allocate(int64_t size) {
  constexpr int64_t kAlignment = AlignedBytes::kAlignment;
  const int64_t rounded = (size + AlignedBytes::kReadableAfterEnd + kAlignment - 1) / kAlignment * kAlignment;
  return Owned(std::aligned_alloc(kAlignment, static_cast<size_t>(rounded)), size);
}

absl::StatusOr<AlignedBytes> HostMemory::AllocateZeros(int64_t size) {
  return Owned(std::calloc(static_cast<size_t>(size + AlignedBytes::kReadableAfterEnd), 1), size);
}

void HostMemory::Zero(std::span<std::byte> at) {
  if (!at.empty()) std::memset(at.data(), 0, at.size());
}

void HostMemory::Copy(std::span<const std::byte> from, std::byte* to) {
  if (!from.empty()) std::memmove(to, from.data(), from.size());
}

absl::Status HostMemory::Download(const std::byte* from, std::span<std::byte> to) {
  Copy({from, to.size()}, to.data());
  return absl::OkStatus();
}

absl::StatusOr<AlignedBytes> PieceMemory::Allocate(int64_t size) {
  constexpr int64_t kAlignment = 256;  // as a GPU's driver gives
  constexpr int64_t kShared = 32 << 20, kLeast = 1 << 20, kMost = 256 << 20;
  if (memory_.on_host() || size > kShared) return memory_.Allocate(size);
  const int64_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
  auto large = std::ranges::find_if(large_, [rounded](const Large& one) { return one.bytes->size() - one.used >= rounded; });
  if (large == large_.end()) {
    const int64_t wanted = std::max(rounded, std::clamp(taken_, kLeast, kMost));
    absl::StatusOr<AlignedBytes> bytes = memory_.Allocate(wanted);
    if (!bytes.ok()) return memory_.Allocate(size);  // which there may be room for
    taken_ += wanted;
    large = large_.insert(large, {std::make_shared<AlignedBytes>(*std::move(bytes))});
  }
  AlignedBytes piece(large->bytes->data() + large->used, size, large->bytes);
  large->used += rounded;
  return piece;
}

absl::StatusOr<PackedWeight> MoveTo(PackedWeight weight, Memory& memory) {
  if (memory.on_host()) return weight;
  return CopyTo(weight, memory);
}

absl::StatusOr<FloatVector> FloatVector::Make(std::span<const float> values, Memory& memory) {
  FloatVector vector;
  DROVER_ASSIGN_OR_RETURN(vector.bytes_, CopyBytes(std::as_bytes(values), memory));
  return vector;
}

FloatVector::operator std::span<const float>() const {
  return {reinterpret_cast<const float*>(bytes_.data()), static_cast<size_t>(bytes_.size()) / sizeof(float)};
}

absl::StatusOr<PackedWeight> CopyTo(const PackedWeight& weight, Memory& memory) {
  const Groups& from = weight.groups;
  PackedWeight to{weight.dtype, weight.rows, weight.cols, weight.lead, weight.row_bytes, {}, {}};
  DROVER_ASSIGN_OR_RETURN(to.bytes, CopyBytes(All(weight.bytes), memory));
  Groups& groups = to.groups;
  groups.rows = from.rows;
  groups.cols = from.cols;
  groups.row_offset = from.row_offset;
  groups.col_offset = from.col_offset;
  groups.across = from.across;
  groups.scale_type = from.scale_type;
  groups.zero = from.zero;
  groups.order = from.order;
  groups.column_group = from.column_group;
  DROVER_ASSIGN_OR_RETURN(groups.scales, CopyBytes(All(from.scales), memory));
  DROVER_ASSIGN_OR_RETURN(groups.zeros, CopyBytes(All(from.zeros), memory));
  if (memory.on_host()) return to;
  std::vector<int32_t> sorted = from.order;
  sorted.insert(sorted.end(), from.column_group.begin(), from.column_group.end());
  DROVER_ASSIGN_OR_RETURN(groups.sorted, CopyBytes(std::as_bytes(std::span(sorted)), memory));
  return to;
}

}  // namespace drover
