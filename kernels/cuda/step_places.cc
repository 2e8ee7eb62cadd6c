// See step_places.h.
#include "kernels/cuda/step_places.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "common/check.h"

namespace drover::cuda {
namespace {

constexpr int64_t kItemInts = sizeof(AttendItem) / sizeof(int32_t);

bool IsFew(const SequenceRows& sequence) { return sequence.rows <= AttendItem::kFewRows; }

}  // namespace

void StepPlaces::Count(std::span<const SequenceRows> sequences) {
  rows_ = few_ = few_rows_each_ = few_keys_ = many_ = 0;
  for (const SequenceRows& sequence : sequences) {
    DROVER_CHECK_LE(sequence.position + sequence.rows, std::numeric_limits<int32_t>::max());
    rows_ = std::max(rows_, sequence.first_row + sequence.rows);
    if (!IsFew(sequence)) {
      many_ += (sequence.rows + AttendItem::kManyRows - 1) / AttendItem::kManyRows;
      continue;
    }
    ++few_;
    few_rows_each_ = std::max(few_rows_each_, sequence.rows);
    few_keys_ = std::max(few_keys_, sequence.position + sequence.rows);
  }
}

void StepPlaces::Put(const AttendItem& item, int64_t index) {
  std::memcpy(values_.data() + 2 * rows_ + index * kItemInts, &item, sizeof item);
}

void StepPlaces::Lay(std::span<const SequenceRows> sequences) {
  Count(sequences);
  values_.assign(static_cast<size_t>(2 * rows_ + (few_ + many_) * kItemInts), -1);  // a row of no sequence has no position
  int64_t few = 0, many = few_;
  int32_t first_block = 0;
  for (const SequenceRows& sequence : sequences) {
    const auto first = static_cast<int32_t>(sequence.first_row), position = static_cast<int32_t>(sequence.position);
    const auto rows = static_cast<int32_t>(sequence.rows);
    for (int32_t i = 0; i < rows; ++i) {
      int32_t* place = values_.data() + 2 * (first + i);
      place[0] = position + i;
      place[1] = first_block;
    }
    if (IsFew(sequence))
      Put({first, rows, position, first_block}, few++);
    else
      for (int32_t i = 0; i < rows; i += AttendItem::kManyRows)
        Put({first + i, std::min(rows - i, AttendItem::kManyRows), position + i, first_block}, many++);
    first_block += static_cast<int32_t>(sequence.blocks.size());
    values_.insert(values_.end(), sequence.blocks.begin(), sequence.blocks.end());
  }
}

}  // namespace drover::cuda
