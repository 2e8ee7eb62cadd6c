// StorageForm: how a matrix lies in a rank's memory and how many bytes that takes. Loader and planner count with it.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "models/shard.h"

namespace drover {

// Codes in rows, and for the forms that need them one scale (and zero) for each group of group_rows × group_cols values,
// counted from the corner of the stored matrix: value = (code - zero)·scale.
struct StorageForm {
  DType codes = DType::kF32;
  int64_t group_rows = 0, group_cols = 0;  // 0: the codes need no scales, or hold their own
  DType scales = DType::kF32;
  bool zeros = false;    // one byte beside each scale
  int64_t first_row = 0; // of this weight in the stored matrix, where groups hold several rows
  bool ordered = false;  // columns belong to groups in any order: two int32 a column, and scales of all groups are kept

  bool grouped() const { return group_rows > 0; }
  bool operator==(const StorageForm&) const = default;
  auto operator<=>(const StorageForm&) const = default;
};

// The columns that a rank stores of a row. Blocks that hold their own scales are kept whole, so that two ranks may both keep a
// border block and the first `lead` stored columns belong to another rank. Grouped codes begin at the own column.
struct StoredColumns {
  Range range;
  int64_t lead = 0, bytes = 0;  // bytes of one row
};
StoredColumns StoredCols(Range cols, const StorageForm& form);

// Groups that a part touches: rows and columns of the arrays of scales. `cols` is the width of the whole matrix.
struct GroupRanges {
  Range rows, cols;
};
GroupRanges GroupsOf(Range rows, Range cols, int64_t matrix_cols, const StorageForm& form);

// Codes, scales, zeros and order of a part of a matrix with `matrix_cols` columns.
int64_t MatrixBytes(Range rows, Range cols, int64_t matrix_cols, const StorageForm& form);

}  // namespace drover
