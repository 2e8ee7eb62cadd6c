// See storage_form.h.
#include "models/storage_form.h"

namespace drover {
namespace {

// Rows of grouped codes are padded with zeros to this many values, so that kernels never look at an incomplete step.
constexpr int64_t kPadded = 32;

Range Whole(Range range, int64_t size) { return {range.begin / size, (range.end + size - 1) / size}; }

}  // namespace

StoredColumns StoredCols(Range cols, const StorageForm& form) {
  const DTypeInfo& info = Info(form.codes);
  if (form.grouped()) return {cols, 0, Whole({0, cols.size()}, kPadded).end * kPadded / info.values * info.bytes};
  const Range blocks = Whole(cols, info.values);
  const int64_t begin = blocks.begin * info.values;
  return {{begin, blocks.end * info.values}, cols.begin - begin, blocks.size() * info.bytes};
}

GroupRanges GroupsOf(Range rows, Range cols, int64_t matrix_cols, const StorageForm& form) {
  return {Whole({form.first_row + rows.begin, form.first_row + rows.end}, form.group_rows), Whole(form.ordered ? Range{0, matrix_cols} : cols, form.group_cols)};
}

int64_t MatrixBytes(Range rows, Range cols, int64_t matrix_cols, const StorageForm& form) {
  if (rows.empty() || cols.empty()) return 0;
  const int64_t codes = rows.size() * StoredCols(cols, form).bytes;
  if (!form.grouped()) return codes;
  const GroupRanges groups = GroupsOf(rows, cols, matrix_cols, form);
  const int64_t count = groups.rows.size() * groups.cols.size();
  const int64_t order = form.ordered ? 2 * cols.size() * static_cast<int64_t>(sizeof(int32_t)) : 0;
  return codes + count * (Info(form.scales).bytes + (form.zeros ? 1 : 0)) + order;
}

}  // namespace drover
