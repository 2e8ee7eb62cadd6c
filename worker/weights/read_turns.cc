// See read_turns.h.
#include "worker/weights/read_turns.h"

#include <algorithm>
#include <cstring>

#include "common/check.h"
#include "kernels/unpack.h"
#include "worker/weights/block_scales.h"

namespace drover {
namespace {

constexpr int64_t kAtOnce = 1 << 20;  // bytes of one tensor that wait to be put in turn

Range Runs(const Turns& turns, const Part& part) {
  const int64_t run = turns.rows + turns.second_rows;
  DROVER_CHECK(part.rows.begin % run == 0 && part.rows.end % run == 0);
  return {part.rows.begin / run, part.rows.end / run};
}

int64_t BytesOf(DType dtype, int64_t values) { return values / Info(dtype).values * Info(dtype).bytes; }

// Rows as a tensor stores them, from value `first` on.
absl::StatusOr<PackedWeight> ReadStored(const TensorInfo& tensor, int64_t first, int64_t rows, int64_t cols, RangeReader& reader) {
  PackedWeight stored{.dtype = tensor.dtype, .rows = rows, .cols = cols, .row_bytes = BytesOf(tensor.dtype, cols)};
  stored.bytes = AlignedBytes(rows * stored.row_bytes);
  DROVER_RETURN_IF_ERROR(reader.Read(tensor, BytesOf(tensor.dtype, first), {stored.bytes.data(), static_cast<size_t>(stored.bytes.size())}));
  DROVER_RETURN_IF_ERROR(CheckBlockScales(tensor, stored));
  return stored;
}

// Row `row` of the stored rows, in the type of `out`, to `to`.
void PutRow(const PackedWeight& stored, int64_t row, DType type, std::byte* to) {
  if (stored.dtype == type) {
    std::memcpy(to, stored.row(row), static_cast<size_t>(stored.row_bytes));
    return;
  }
  std::vector<float> values(static_cast<size_t>(stored.cols));
  UnpackRow(stored, row, values);
  std::memcpy(to, values.data(), values.size() * sizeof(float));
}

// Stored row c holds column c of the own rows from `first` on.
void PutColumns(const PackedWeight& stored, int64_t first, PackedWeight& out) {
  const auto size = static_cast<size_t>(Info(out.dtype).bytes);
  std::vector<std::byte> column(static_cast<size_t>(stored.cols) * size);
  for (int64_t c = 0; c < stored.rows; ++c) {
    PutRow(stored, c, out.dtype, column.data());
    for (int64_t r = 0; r < stored.cols; ++r) std::memcpy(out.row(first + r) + static_cast<size_t>(c) * size, column.data() + static_cast<size_t>(r) * size, size);
  }
}

}  // namespace

absl::Status ReadTurns(const Weight& weight, const Source& source, const Part& part, RangeReader& reader, PackedWeight& out) {
  const Turns& turns = *source.turns;
  const Range runs = Runs(turns, part);
  const int64_t run = turns.rows + turns.second_rows, cols = weight.cols;
  const int64_t bytes = std::max(turns.rows, turns.second_rows) * out.row_bytes, step = turns.transposed ? 1 : std::max<int64_t>(1, kAtOnce / bytes);
  for (int64_t g = runs.begin; g < runs.end; g += step) {
    const int64_t count = std::min(step, runs.end - g), own = (g - runs.begin) * run;
    const int64_t first = turns.offset + g * turns.rows * cols, second = turns.second_offset + g * turns.second_rows * cols;
    DROVER_ASSIGN_OR_RETURN(const PackedWeight one, turns.transposed ? ReadStored(*source.tensor, first, cols, turns.rows, reader)
                                                                     : ReadStored(*source.tensor, first, count * turns.rows, cols, reader));
    DROVER_ASSIGN_OR_RETURN(const PackedWeight two, ReadStored(*turns.second, second, count * turns.second_rows, cols, reader));
    if (turns.transposed) PutColumns(one, own, out);
    for (int64_t i = 0; !turns.transposed && i < one.rows; ++i)
      PutRow(one, i, out.dtype, out.row(own + i / turns.rows * run + i % turns.rows));
    for (int64_t i = 0; i < two.rows; ++i)
      PutRow(two, i, out.dtype, out.row(own + i / turns.second_rows * run + turns.rows + i % turns.second_rows));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::byte>> ReadTurnsOfVector(const Source& source, const Part& part, RangeReader& reader) {
  const Turns& turns = *source.turns;
  const Range runs = Runs(turns, part);
  const int64_t size = Info(source.tensor->dtype).bytes, run = turns.rows + turns.second_rows;
  std::vector<std::byte> out(static_cast<size_t>(part.rows.size() * size));
  const auto read = [&](const TensorInfo& tensor, int64_t offset, int64_t rows, int64_t at) -> absl::Status {
    std::vector<std::byte> stored(static_cast<size_t>(runs.size() * rows * size));
    DROVER_RETURN_IF_ERROR(reader.Read(tensor, (offset + runs.begin * rows) * size, stored));
    for (int64_t g = 0; g < runs.size(); ++g)
      std::memcpy(out.data() + (g * run + at) * size, stored.data() + g * rows * size, static_cast<size_t>(rows * size));
    return absl::OkStatus();
  };
  DROVER_RETURN_IF_ERROR(read(*source.tensor, turns.offset, turns.rows, 0));
  DROVER_RETURN_IF_ERROR(read(*turns.second, turns.second_offset, turns.second_rows, turns.rows));
  return out;
}

int64_t TurnsBytesInFile(const Weight& weight, const Source& source, const Part& part) {
  const Turns& turns = *source.turns;
  const int64_t runs = Runs(turns, part).size();
  return BytesOf(source.tensor->dtype, runs * turns.rows * weight.cols) + BytesOf(turns.second->dtype, runs * turns.second_rows * weight.cols);
}

}  // namespace drover
