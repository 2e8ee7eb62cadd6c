// StepPlaces: the sequences of a step as kernels read them, flattened into one array that is uploaded once a step.
// The array's layout depends on the numbers of rows and items alone, so that a captured graph finds its parts again.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>
#include <vector>

#include "kernels/ops.h"

namespace drover::cuda {

// Consecutive rows of one sequence, which a kernel may take together.
struct AttendItem {
  static constexpr int kFewRows = 8, kManyRows = 64;  // at most, of few and of many
  int32_t row = 0, rows = 0;   // the first, and how many
  int32_t position = 0;        // of the first
  int32_t first_block = 0;     // of its sequence
};

class StepPlaces {
 public:
  // Lays the sequences out anew.
  void Lay(std::span<const SequenceRows> sequences);

  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(values_)); }
  int64_t rows() const { return rows_; }
  // Of sequences with at most AttendItem::kFewRows rows: one item each.
  int64_t few() const { return few_; }
  int64_t few_rows_each() const { return few_rows_each_; }  // at most
  int64_t few_keys() const { return few_keys_; }            // of the longest
  // The same rounded up, so that launches which are shaped by it keep their shape for a while: to a quarter of a power of two.
  int64_t launch_keys() const {
    const int64_t step = std::max<int64_t>(256, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(few_keys_))) / 4);
    return (few_keys_ + step - 1) / step * step;
  }
  // Of sequences with more rows: an item for each kManyRows of them.
  int64_t many() const { return many_; }

  // Where, in the uploaded array: position (negative: none) and first block of each row; items of few, then of many; all blocks.
  static const int32_t* RowsAt(const std::byte* base) { return reinterpret_cast<const int32_t*>(base); }
  const AttendItem* ItemsAt(const std::byte* base) const { return reinterpret_cast<const AttendItem*>(RowsAt(base) + 2 * rows_); }
  const int32_t* BlocksAt(const std::byte* base) const { return reinterpret_cast<const int32_t*>(ItemsAt(base) + few_ + many_); }

 private:
  void Count(std::span<const SequenceRows> sequences);
  void Put(const AttendItem& item, int64_t index);

  std::vector<int32_t> values_;
  int64_t rows_ = 0, few_ = 0, few_rows_each_ = 0, few_keys_ = 0, many_ = 0;
};

}  // namespace drover::cuda
