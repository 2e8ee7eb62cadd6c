// See load.h.
#include "worker/weights/load.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "models/weights.h"
#include "worker/weights/block_scales.h"
#include "worker/weights/read_packed.h"
#include "worker/weights/read_turns.h"
#include "worker/weights/slots.h"

namespace drover {
namespace {

constexpr int64_t kTransposeCols = 64;  // columns gathered before they are written row by row

// Bytes of a part in the file; vectors may be stored narrower than the f32 they become.
int64_t BytesInFile(const Weight& weight, const Part& part, const Source& source, ByteRanges& seen) {
  if (part.empty()) return 0;
  if (source.packed) return PackedBytesInFile(*source.packed, part, seen);
  if (source.turns) return TurnsBytesInFile(weight, source, part);
  return weight.vector() ? part.rows.size() * Info(source.tensor->dtype).bytes : PartBytes(weight, part, source.form());
}

// Byte offset of a row's stored columns from the tensor's first byte; rows of block formats hold whole blocks.
int64_t RowOffset(const Source& source, int64_t row, int64_t col) {
  const DTypeInfo& info = Info(source.tensor->dtype);
  return (source.offset_values + StoredRow(source, row) * source.row_stride + col) / info.values * info.bytes;
}

absl::Status ReadRows(const Source& source, const Part& part, RangeReader& reader, PackedWeight& out) {
  const StoredColumns stored = StoredCols(part.cols, source.form());
  const DTypeInfo& info = Info(out.dtype);
  const bool whole_rows = stored.bytes == source.row_stride / info.values * info.bytes;
  for (int64_t r = 0; r < part.rows.size();) {
    const int64_t rows = whole_rows ? RunOfRows(source, part.rows.begin + r, part.rows.end) : 1;
    const int64_t offset = RowOffset(source, part.rows.begin + r, stored.range.begin);
    DROVER_RETURN_IF_ERROR(reader.Read(*source.tensor, offset, {out.row(r), static_cast<size_t>(rows * stored.bytes)}));
    r += rows;
  }
  return CheckBlockScales(*source.tensor, out);
}

// in[c][r] to out[r][first + c], elements of `size` bytes.
void Transpose(const std::byte* in, int64_t cols, int64_t first, int64_t size, PackedWeight& out) {
  for (int64_t r = 0; r < out.rows; ++r)
    for (int64_t c = 0; c < cols; ++c)
      std::memcpy(out.row(r) + (first + c) * size, in + (c * out.rows + r) * size, static_cast<size_t>(size));
}

// A file that stores columns one after another ([in, out]).
absl::Status ReadTransposed(const Source& source, const Part& part, RangeReader& reader, PackedWeight& out) {
  const int64_t size = Info(out.dtype).bytes, column_bytes = part.rows.size() * size;
  std::vector<std::byte> columns(static_cast<size_t>(kTransposeCols * column_bytes));
  for (int64_t c = 0; c < part.cols.size(); c += kTransposeCols) {
    const int64_t count = std::min(kTransposeCols, part.cols.size() - c);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t col = part.cols.begin + c + i;
      const int64_t offset = (source.offset_values + part.rows.begin + col * source.col_stride) * size;
      DROVER_RETURN_IF_ERROR(
          reader.Read(*source.tensor, offset, {columns.data() + i * column_bytes, static_cast<size_t>(column_bytes)}));
    }
    Transpose(columns.data(), count, c, size, out);
  }
  return absl::OkStatus();
}

float ToFloat(const std::byte* data, DType dtype) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, data, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, data, sizeof bits);
  return dtype == DType::kF16 ? HalfToFloat(bits) : BFloat16ToFloat(bits);
}

absl::Status ReadVector(const Weight& weight, const Source& source, const Part& part, RangeReader& reader, std::vector<float>& out) {
  const DType dtype = source.tensor->dtype;
  const int64_t size = Info(dtype).bytes;
  std::vector<std::byte> stored(static_cast<size_t>(part.rows.size() * size));
  if (source.turns) {
    DROVER_ASSIGN_OR_RETURN(stored, ReadTurnsOfVector(source, part, reader));
  }
  for (int64_t r = source.turns ? part.rows.end : part.rows.begin; r < part.rows.end;) {
    const int64_t rows = RunOfRows(source, r, part.rows.end);
    const std::span<std::byte> to = std::span(stored).subspan(static_cast<size_t>((r - part.rows.begin) * size), static_cast<size_t>(rows * size));
    DROVER_RETURN_IF_ERROR(reader.Read(*source.tensor, (source.offset_values + StoredRow(source, r)) * size, to));
    r += rows;
  }
  for (int64_t r = 0; r < part.rows.size(); ++r) out.push_back(weight.plus + ToFloat(stored.data() + r * size, dtype));
  return absl::OkStatus();
}

// Every weight of which the rank holds a part.
template <class Visit>
absl::Status ForEachPart(const Checkpoint& checkpoint, const RankCut& cut, Visit visit) {
  for (const Weight& weight : WeightTable(checkpoint.spec)) {
    const Part part = PartOf(weight, checkpoint.spec, cut);
    if (part.empty()) continue;
    DROVER_ASSIGN_OR_RETURN(const Source source, Locate(weight, checkpoint));
    DROVER_RETURN_IF_ERROR(visit(weight, part, source));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckBlockScales(const TensorInfo& tensor, const PackedWeight& matrix) {
  const BlockHalves halves = HalvesOf(matrix.dtype);
  const int64_t size = Info(matrix.dtype).bytes, blocks = matrix.rows * matrix.row_bytes / size;
  for (const int64_t at : {halves.scale, halves.minimum}) {
    for (int64_t block = 0; at >= 0 && block < blocks; ++block) {
      uint16_t bits;
      std::memcpy(&bits, matrix.bytes.data() + block * size + at, sizeof bits);
      if ((bits & 0x7c00) == 0x7c00)
        return InvalidArgument("tensor ", tensor.name, ": block ", block, " of this rank: found a scale of ", HalfToFloat(bits),
                               ", expected a finite number");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RankWeights> LoadRankWeights(const Checkpoint& checkpoint, const RankCut& cut, const LoadOptions& options) {
  RankWeights weights = Shape(checkpoint.spec, cut);
  RangeReader reader(checkpoint, options, BytesToRead(checkpoint, cut));
  int32_t layer = -1;
  DROVER_RETURN_IF_ERROR(ForEachPart(checkpoint, cut, [&](const Weight& weight, const Part& part, const Source& source) {
    const Slot slot = SlotOf(weights, weight, checkpoint.spec, cut);
    weights.bytes += PartBytes(weight, part, source.form());
    reader.Report();
    if (std::exchange(layer, weight.layer) != weight.layer) reader.Forget();
    if (slot.vector != nullptr) return ReadVector(weight, source, part, reader, *slot.vector);
    *slot.matrix = MakePacked(weight, part, source.form());
    if (source.packed) return ReadPacked(*source.packed, part, reader, *slot.matrix);
    if (source.turns) return ReadTurns(weight, source, part, reader, *slot.matrix);
    return source.col_stride == 1 ? ReadRows(source, part, reader, *slot.matrix)
                                  : ReadTransposed(source, part, reader, *slot.matrix);
  }));
  reader.Report();
  if (options.bytes_read != nullptr) *options.bytes_read = reader.bytes_read();
  return weights;
}

int64_t BytesToRead(const Checkpoint& checkpoint, const RankCut& cut) {
  int64_t bytes = 0;
  ByteRanges seen;
  const absl::Status status = ForEachPart(checkpoint, cut, [&](const Weight& weight, const Part& part, const Source& source) {
    bytes += BytesInFile(weight, part, source, seen);
    return absl::OkStatus();
  });
  return status.ok() ? bytes : 0;
}

int64_t SharedBlockBytes(const Checkpoint& checkpoint, const RankCut& cut) {
  int64_t bytes = 0;
  const absl::Status status = ForEachPart(checkpoint, cut, [&](const Weight&, const Part& part, const Source& source) {
    if (StoredCols(part.cols, source.form()).lead != 0) bytes += part.rows.size() * Info(source.tensor->dtype).bytes;
    return absl::OkStatus();
  });
  return status.ok() ? bytes : 0;
}

}  // namespace drover
