// Reading a part of a StoredArray: only the units that hold it, each once, handed over value by value.
#pragma once

#include <cstring>
#include <vector>

#include "models/checkpoint/packed.h"
#include "worker/weights/range_reader.h"

namespace drover {

// Units follow each other along a line; lines follow each other in the tensor. Which lines hold a part, and what of each.
struct ArrayLines {
  ArrayLines(const StoredArray& array, Range rows, Range cols)
      : array(array),
        lines(array.transposed ? array.UnitCols(cols) : array.UnitRows(rows)),
        along(array.transposed ? array.UnitRows(rows) : array.UnitCols(cols)),
        line_units(array.transposed ? array.unit_rows() : array.unit_cols()),
        bytes(along.size() * array.unit_bytes) {}
  bool whole() const { return along.size() == line_units; }
  int64_t Offset(int64_t line) const { return (array.first_unit + line * line_units + along.begin) * array.unit_bytes; }

  const StoredArray& array;
  Range lines, along;
  int64_t line_units, bytes;  // of a whole line; of what is read of each
};

// What ReadArray reads from the file; `seen`: what earlier weights have read of arrays that they share.
inline int64_t ArrayBytes(const StoredArray& array, Range rows, Range cols, ByteRanges& seen) {
  const ArrayLines part(array, rows, cols);
  if (!array.shared) return part.lines.size() * part.bytes;
  if (part.whole()) return seen.Add(*array.tensor, part.Offset(part.lines.begin), part.lines.size() * part.bytes);
  int64_t bytes = 0;
  for (int64_t line = part.lines.begin; line < part.lines.end; ++line) bytes += seen.Add(*array.tensor, part.Offset(line), part.bytes);
  return bytes;
}

// put(row, col, code) for every value of the part, counted from its own corner.
template <class Put>
absl::Status ReadArray(const StoredArray& array, Range rows, Range cols, RangeReader& reader, Put put) {
  constexpr int64_t kBufferBytes = 1 << 20;
  const ArrayLines part(array, rows, cols);
  const Range lines = part.lines, along = part.along;
  const int64_t per = array.per_unit(), line_bytes = part.bytes, step = part.whole() ? lines.size() : 1;
  const uint32_t mask = array.bits == 32 ? ~0u : (1u << array.bits) - 1;
  const int64_t lines_at_once = std::clamp<int64_t>(kBufferBytes / line_bytes, 1, lines.size());
  std::vector<std::byte> buffer(static_cast<size_t>(lines_at_once * line_bytes));

  const auto unpack = [&](int64_t line, int64_t unit, const std::byte* at) {
    uint32_t bits = 0;
    std::memcpy(&bits, at, static_cast<size_t>(array.unit_bytes));
    const int64_t unit_row = array.transposed ? unit : line, unit_col = array.transposed ? line : unit;
    const Range& packed = array.along_rows ? rows : cols;
    const int64_t base = (array.along_rows ? unit_row : unit_col) * per;
    for (int64_t i = std::max<int64_t>(0, packed.begin - base); i < std::min(per, packed.end - base); ++i) {
      const int64_t row = array.along_rows ? base + i : unit_row, col = array.along_rows ? unit_col : base + i;
      const int64_t place = array.place == nullptr ? i : array.place[i];
      put(row - rows.begin, col - cols.begin, (bits >> (place * array.bits) & mask) ^ array.flip);
    }
  };
  for (int64_t first = lines.begin; first < lines.end; first += lines_at_once) {
    const int64_t count = std::min(lines_at_once, lines.end - first);
    for (int64_t i = 0; i < count; i += step) {
      const std::span<std::byte> to(buffer.data() + i * line_bytes, static_cast<size_t>(std::min(step, count) * line_bytes));
      DROVER_RETURN_IF_ERROR(array.shared ? reader.ReadShared(*array.tensor, part.Offset(first + i), to)
                                          : reader.Read(*array.tensor, part.Offset(first + i), to));
    }
    for (int64_t unit = along.begin; unit < along.end; ++unit)
      for (int64_t i = 0; i < count; ++i)
        unpack(first + i, unit, buffer.data() + i * line_bytes + (unit - along.begin) * array.unit_bytes);
  }
  return absl::OkStatus();
}

}  // namespace drover
