// RangeReader: ranges of a checkpoint's tensors, each file opened once, every byte counted.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "common/file.h"
#include "kernels/weight.h"
#include "worker/weights/byte_ranges.h"
#include "worker/weights/load.h"

namespace drover {

// Asks between pieces of 4 MiB whether to go on.
class RangeReader {
 public:
  // Adds what it reads to `bytes_read`, as other readers may.
  RangeReader(const Checkpoint& checkpoint, const LoadOptions& options, std::atomic<int64_t>& bytes_read)
      : checkpoint_(checkpoint), options_(options), bytes_read_(bytes_read), files_(checkpoint.files.size()) {}

  // `offset` counts from the tensor's first byte.
  absl::Status Read(const TensorInfo& tensor, int64_t offset, std::span<std::byte> out) {
    DROVER_ASSIGN_OR_RETURN(const File* file, Open(tensor.file));
    if (options_.on_read) options_.on_read(tensor, offset, static_cast<int64_t>(out.size()));
    while (!out.empty()) {
      if (options_.cancelled && options_.cancelled()) return Cancelled("loading was cancelled at tensor ", tensor.name);
      const std::span<std::byte> piece = out.first(std::min<size_t>(out.size(), kPiece));
      DROVER_RETURN_IF_ERROR(Annotate(file->ReadAt(tensor.offset + offset, piece), Cat("tensor ", tensor.name)));
      offset += static_cast<int64_t>(piece.size());
      bytes_read_ += static_cast<int64_t>(piece.size());
      out = out.subspan(piece.size());
    }
    return absl::OkStatus();
  }

  // The same for bytes that several weights share: those that this reader has read come from memory.
  absl::Status ReadShared(const TensorInfo& tensor, int64_t offset, std::span<std::byte> out) {
    const auto size = static_cast<int64_t>(out.size());
    AlignedBytes& bytes = shared_.try_emplace(&tensor, tensor.bytes).first->second;  // pages that nobody reads stay untouched
    DROVER_RETURN_IF_ERROR(ranges_.Add(tensor, offset, offset + size, [&](int64_t begin, int64_t end) {
      return Read(tensor, begin, {bytes.data() + begin, static_cast<size_t>(end - begin)});
    }));
    std::memcpy(out.data(), bytes.data() + offset, out.size());
    return absl::OkStatus();
  }
 private:
  static constexpr int64_t kPiece = 4 << 20;

  absl::StatusOr<const File*> Open(int32_t index) {
    std::optional<File>& file = files_[static_cast<size_t>(index)];
    if (!file) {
      DROVER_ASSIGN_OR_RETURN(File opened, File::Open(checkpoint_.files[static_cast<size_t>(index)]));
      file.emplace(std::move(opened));
    }
    return &*file;
  }

  const Checkpoint& checkpoint_;
  const LoadOptions& options_;
  std::atomic<int64_t>& bytes_read_;
  std::vector<std::optional<File>> files_;
  std::map<const TensorInfo*, AlignedBytes> shared_;
  ByteRanges ranges_;
};

}  // namespace drover
