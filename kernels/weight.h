// PackedWeight: one rank's part of a matrix in its storage form. Only Ops::Linear and Ops::Embed look inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "common/dtype.h"

namespace drover {

// Owns memory, not initialised, with readable bytes after its end (vector loads may run over). What it takes itself is aligned.
class AlignedBytes {
 public:
  static constexpr int64_t kAlignment = 64, kReadableAfterEnd = 64;
  using Release = void (*)(std::byte*);
  AlignedBytes() = default;
  explicit AlignedBytes(int64_t size);
  // Memory of another kind, given back by `release`: see Memory.
  AlignedBytes(std::byte* data, int64_t size, Release release) : bytes_(data, release), size_(size) {}
  // A part of what `owner` keeps.
  AlignedBytes(std::byte* data, int64_t size, std::shared_ptr<const void> owner) : bytes_(std::move(owner), data), size_(size) {}
  AlignedBytes(AlignedBytes&&) = default;
  AlignedBytes& operator=(AlignedBytes&&) = default;
  std::byte* data() { return bytes_.get(); }
  const std::byte* data() const { return bytes_.get(); }
  int64_t size() const { return size_; }

 private:
  std::shared_ptr<std::byte> bytes_;
  int64_t size_ = 0;
};

// What turns codes into values: value = (code - zero)·scale, with one scale (and zero) for each group of `rows` × `cols` values.
// Groups are counted over the whole matrix: own row r lies in row group (row_offset + r) / rows, own column c in column group
// (col_offset + c) / cols, or in column_group[c] where columns belong to groups in any order.
struct Groups {
  int64_t rows = 0, cols = 0;  // of one group; 0: the codes need no groups
  int64_t row_offset = 0, col_offset = 0;
  int64_t across = 0;          // width of the arrays: groups of columns kept here
  DType scale_type = DType::kF32;
  AlignedBytes scales;         // [groups of rows, across]
  AlignedBytes zeros;          // one byte each; empty: `zero` everywhere
  float zero = 0;
  // Stored column c meets activation order[c]; empty: c itself. Then columns are sorted by group.
  std::vector<int32_t> order, column_group;
  AlignedBytes sorted;  // of a weight outside the host's memory: order, then column_group
};

// y = W x with W [rows, cols], row-major. Block formats cut inside a block keep the whole border block: the first `lead` stored
// columns of each row belong to another rank and meet zero activations; a row holds lead + cols values, rounded up to blocks.
struct PackedWeight {
  DType dtype = DType::kF32;
  int64_t rows = 0, cols = 0;
  int64_t lead = 0;
  int64_t row_bytes = 0;
  AlignedBytes bytes;
  Groups groups;

  bool empty() const { return rows == 0 || cols == 0; }
  int64_t stored_cols() const;  // lead + cols rounded up to whole blocks
  bool grouped() const { return groups.rows > 0; }
  const std::byte* row(int64_t r) const { return bytes.data() + r * row_bytes; }
  std::byte* row(int64_t r) { return bytes.data() + r * row_bytes; }
};

}  // namespace drover
