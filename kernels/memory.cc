// See memory.h.
#include "kernels/memory.h"

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

}  // namespace

absl::StatusOr<AlignedBytes> HostMemory::Allocate(int64_t size) { return AlignedBytes(size); }

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
