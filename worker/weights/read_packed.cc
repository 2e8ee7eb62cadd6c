// See read_packed.h.
#include "worker/weights/read_packed.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "common/json.h"
#include "kernels/groups.h"
#include "worker/weights/stored_array.h"

namespace drover {
namespace {

constexpr int64_t kNestedBlocks = 256;

GroupRanges GroupsOfPart(const PackedSource& source, const Part& part) {
  return GroupsOf(part.rows, part.cols, source.codes.cols, source.form);
}

// Stretches of a part that lie together in the file: rows in the file, and the own row that the first of them becomes. Scales of
// single rows follow the rows; those of several are read once.
struct Stretch {
  Range rows;
  int64_t own = 0;
};
std::vector<Stretch> Stretches(const PackedSource& source, Range rows) {
  std::vector<Stretch> stretches;
  for (int64_t row = rows.begin; row < rows.end;) {
    const int64_t count = source.rows.Following(row, rows.end), at = source.rows.At(row);
    stretches.push_back({{at, at + count}, row - rows.begin});
    row += count;
  }
  return stretches;
}
std::vector<Stretch> ScaleStretches(const PackedSource& source, const Part& part) {
  if (source.form.group_rows == 1) return Stretches(source, part.rows);
  return {{GroupsOfPart(source, part).rows, 0}};
}

// A part of an array of scales or zeros: put(own row, own column, code).
template <class Put>
absl::Status ReadGroupArray(const StoredArray& array, const std::vector<Stretch>& stretches, Range cols, RangeReader& reader, Put put) {
  for (const Stretch& stretch : stretches)
    DROVER_RETURN_IF_ERROR(ReadArray(array, stretch.rows, cols, reader,
                                     [&](int64_t row, int64_t col, uint32_t code) { put(stretch.own + row, col, code); }));
  return absl::OkStatus();
}

// Blocks of 256 scales that the scales of a part lie in, whole rows of scales taken together.
Range NestedOf(const PackedSource& source, const Part& part, const GroupRanges& groups) {
  const int64_t across = source.scales.cols;
  const int64_t first = source.rows.At(part.rows.begin) * across + groups.cols.begin;
  const int64_t last = source.rows.At(part.rows.end - 1) * across + groups.cols.end - 1;
  return {first / kNestedBlocks, last / kNestedBlocks + 1};
}

// What stands beside the codes, one number after another: `out` from number `first` on.
template <class T>
absl::Status ReadBeside(const PackedSource& source, const TensorInfo& tensor, int64_t first, std::span<T> out, RangeReader& reader) {
  const int64_t offset = first * static_cast<int64_t>(sizeof(T));
  return source.fused ? reader.ReadShared(tensor, offset, std::as_writable_bytes(out)) : reader.Read(tensor, offset, std::as_writable_bytes(out));
}

absl::StatusOr<std::vector<float>> ReadFloats(const PackedSource& source, const TensorInfo& tensor, Range range, RangeReader& reader) {
  std::vector<float> values(static_cast<size_t>(range.size()));
  DROVER_RETURN_IF_ERROR(ReadBeside(source, tensor, range.begin, std::span(values), reader));
  return values;
}

// Groups of the own columns: sorted by group into `out`, or checked to be in order already. `place[c]`: where column c is stored.
absl::Status ReadOrder(const PackedSource& source, const Part& part, RangeReader& reader, PackedWeight& out,
                       std::vector<int32_t>& place) {
  if (source.order == nullptr) return absl::OkStatus();
  const int64_t cols = part.cols.size(), groups = (source.codes.cols + source.form.group_cols - 1) / source.form.group_cols;
  std::vector<int32_t> group(static_cast<size_t>(cols));
  DROVER_RETURN_IF_ERROR(ReadBeside(source, *source.order, part.cols.begin, std::span(group), reader));
  for (int64_t c = 0; c < cols; ++c) {
    const int64_t found = group[static_cast<size_t>(c)], input = part.cols.begin + c;
    const int64_t expected = input / source.form.group_cols;
    if (found < 0 || found >= groups)
      return InvalidArgument("tensor ", source.order->name, ": input ", input, ": found group ", found, ", expected 0 to ", groups - 1);
    if (!source.form.ordered && found != expected)
      return InvalidArgument("tensor ", source.order->name, ": input ", input, ": found group ", found, ", expected ", expected,
                             ", as the config names no order of its own (desc_act, actorder)");
  }
  if (!source.form.ordered) return absl::OkStatus();
  std::vector<int32_t>& order = out.groups.order;
  order.resize(static_cast<size_t>(cols));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return group[static_cast<size_t>(a)] < group[static_cast<size_t>(b)]; });
  place.resize(static_cast<size_t>(cols));
  for (size_t c = 0; c < order.size(); ++c) {
    place[static_cast<size_t>(order[c])] = static_cast<int32_t>(c);
    out.groups.column_group.push_back(group[static_cast<size_t>(order[c])]);
  }
  return absl::OkStatus();
}

absl::Status ReadCodes(const PackedSource& source, const Part& part, RangeReader& reader, const std::vector<int32_t>& place,
                       PackedWeight& out) {
  const auto column = [&](int64_t col) { return place.empty() ? col : place[static_cast<size_t>(col)]; };
  std::memset(out.bytes.data(), 0, static_cast<size_t>(out.bytes.size()));
  const StoredArray& codes = source.codes;
  const std::vector<Stretch> stretches = Stretches(source, part.rows);
  if (codes.unit_bytes == 1 && codes.bits == 8 && codes.flip == 0 && !codes.transposed && place.empty()) {  // bytes as they are
    for (int64_t r = 0; r < part.rows.size(); ++r) {
      const int64_t offset = codes.first_unit + source.rows.At(part.rows.begin + r) * codes.cols + part.cols.begin;
      DROVER_RETURN_IF_ERROR(reader.Read(*codes.tensor, offset, {out.row(r), static_cast<size_t>(out.cols)}));
    }
    return absl::OkStatus();
  }
  if (Info(out.dtype).values > 1)
    return ReadGroupArray(codes, stretches, part.cols, reader,
                          [&](int64_t row, int64_t col, uint32_t code) { PutNibble(out.row(row), column(col), code); });
  return ReadGroupArray(codes, stretches, part.cols, reader,
                        [&](int64_t row, int64_t col, uint32_t code) { out.row(row)[column(col)] = static_cast<std::byte>(code); });
}

absl::Status CheckScales(const PackedSource& source, const Part& part, const Groups& groups) {
  const GroupRanges ranges = GroupsOfPart(source, part);
  const int64_t count = ranges.rows.size() * ranges.cols.size();
  for (int64_t i = 0; i < count; ++i) {
    const float scale = ScaleValue(groups.scales.data(), groups.scale_type, i);
    if (std::isfinite(scale) && scale > 0) continue;
    return InvalidArgument("tensor ", source.scales.tensor->name, ": scale [", ranges.rows.begin + i / groups.across, ", ",
                           ranges.cols.begin + i % groups.across, "]: found ", scale, ", expected a finite number above 0");
  }
  return absl::OkStatus();
}

// The one number that scales of scales need from their JSON, after a check that it speaks of this matrix.
absl::StatusOr<double> ReadState(const PackedSource& source, RangeReader& reader) {
  constexpr int64_t kStateBytes = 64 << 10;
  const TensorInfo& tensor = *source.state;
  if (tensor.bytes > kStateBytes) return InvalidArgument("tensor ", tensor.name, ": found ", tensor.bytes, " bytes, expected at most ", kStateBytes);
  std::string text(static_cast<size_t>(tensor.bytes), '\0');
  DROVER_RETURN_IF_ERROR(ReadBeside(source, tensor, 0, std::span(text), reader));
  const absl::StatusOr<Json> state = ParseJson(text, {.bytes = kStateBytes, .depth = 4, .elements = 256});
  if (!state.ok()) return Annotate(state.status(), Cat("tensor ", tensor.name));
  const Json expected = {{"quant_type", "nf4"}, {"blocksize", source.form.group_cols}, {"shape", {source.codes.rows, source.codes.cols}}};
  for (const auto& [key, value] : expected.items()) {
    const Json found = state->is_object() ? state->value(key, Json()) : Json();
    if (found != value) return InvalidArgument("tensor ", tensor.name, ": ", key, ": found ", found.dump(), ", expected ", value.dump());
  }
  if (source.nested.map == nullptr) return 0.0;
  if (state->value("nested_blocksize", Json()) != Json(kNestedBlocks))
    return InvalidArgument("tensor ", tensor.name, ": nested_blocksize: expected ", kNestedBlocks);
  const Json offset = state->value("nested_offset", Json());
  if (!offset.is_number()) return InvalidArgument("tensor ", tensor.name, ": nested_offset: expected a number");
  return offset.get<double>();
}

absl::Status ReadNf4Scales(const PackedSource& source, const Part& part, RangeReader& reader, Groups& groups) {
  const GroupRanges ranges = GroupsOfPart(source, part);
  const std::vector<Stretch> stretches = ScaleStretches(source, part);
  DROVER_ASSIGN_OR_RETURN(const std::vector<float> levels, ReadFloats(source, *source.levels, {0, 16}, reader));
  for (size_t i = 0; i < levels.size(); ++i)
    if (!(std::abs(levels[i] - kNF4Values[i]) <= 1e-6f))
      return InvalidArgument("tensor ", source.levels->name, ": level ", i, ": found ", levels[i], ", expected ", kNF4Values[i], " (nf4)");
  DROVER_ASSIGN_OR_RETURN(const double offset, ReadState(source, reader));
  auto* scales = reinterpret_cast<float*>(groups.scales.data());
  if (source.nested.map == nullptr)
    return ReadGroupArray(source.scales, stretches, ranges.cols, reader, [&](int64_t row, int64_t col, uint32_t bits) {
      scales[row * groups.across + col] = __builtin_bit_cast(float, bits);
    });
  const Range nested = NestedOf(source, part, ranges);
  DROVER_ASSIGN_OR_RETURN(const std::vector<float> map, ReadFloats(source, *source.nested.map, {0, 256}, reader));
  DROVER_ASSIGN_OR_RETURN(const std::vector<float> of_256, ReadFloats(source, *source.nested.of_256, nested, reader));
  return ReadGroupArray(source.scales, stretches, ranges.cols, reader, [&](int64_t row, int64_t col, uint32_t code) {
    const int64_t block = source.rows.At(part.rows.begin + row) * source.scales.cols + ranges.cols.begin + col;
    const float scale = of_256[static_cast<size_t>(block / kNestedBlocks - nested.begin)];
    scales[row * groups.across + col] = map[code] * scale + static_cast<float>(offset);
  });
}

absl::Status ReadScales(const PackedSource& source, const Part& part, RangeReader& reader, Groups& groups) {
  if (source.levels != nullptr) return ReadNf4Scales(source, part, reader, groups);
  const int64_t size = Info(groups.scale_type).bytes;
  const Range cols = GroupsOfPart(source, part).cols;
  return ReadGroupArray(source.scales, ScaleStretches(source, part), cols, reader, [&](int64_t row, int64_t col, uint32_t bits) {
    std::memcpy(groups.scales.data() + (row * groups.across + col) * size, &bits, static_cast<size_t>(size));
  });
}

absl::Status ReadZeros(const PackedSource& source, const Part& part, RangeReader& reader, Groups& groups) {
  groups.zero = static_cast<float>(source.zero);
  if (source.zeros.tensor == nullptr) return absl::OkStatus();
  const auto mask = static_cast<uint32_t>((int64_t{1} << source.zeros.bits) - 1), plus = static_cast<uint32_t>(source.zero_plus);
  const Range cols = GroupsOfPart(source, part).cols;
  return ReadGroupArray(source.zeros, ScaleStretches(source, part), cols, reader, [&](int64_t row, int64_t col, uint32_t code) {
    groups.zeros.data()[row * groups.across + col] = static_cast<std::byte>((code + plus) & mask);
  });
}

absl::Status CheckShape(const PackedSource& source, RangeReader& reader) {
  if (source.shape == nullptr) return absl::OkStatus();
  int64_t found[2];
  DROVER_RETURN_IF_ERROR(ReadBeside(source, *source.shape, 0, std::span<int64_t>(found), reader));
  if (found[0] == source.codes.rows && found[1] == source.codes.cols) return absl::OkStatus();
  return InvalidArgument("tensor ", source.shape->name, ": found [", found[0], ", ", found[1], "], expected [", source.codes.rows, ", ",
                         source.codes.cols, "]");
}

}  // namespace

absl::Status ReadPacked(const PackedSource& source, const Part& part, RangeReader& reader, PackedWeight& out) {
  std::vector<int32_t> place;
  DROVER_RETURN_IF_ERROR(CheckShape(source, reader));
  DROVER_RETURN_IF_ERROR(ReadOrder(source, part, reader, out, place));
  DROVER_RETURN_IF_ERROR(ReadCodes(source, part, reader, place, out));
  DROVER_RETURN_IF_ERROR(ReadScales(source, part, reader, out.groups));
  DROVER_RETURN_IF_ERROR(CheckScales(source, part, out.groups));
  return ReadZeros(source, part, reader, out.groups);
}

int64_t PackedBytesInFile(const PackedSource& source, const Part& part, ByteRanges& seen) {
  constexpr auto kFloat = static_cast<int64_t>(sizeof(float)), kIndex = static_cast<int64_t>(sizeof(int32_t));
  const GroupRanges ranges = GroupsOfPart(source, part);
  int64_t bytes = 0;
  for (const Stretch& stretch : Stretches(source, part.rows)) bytes += ArrayBytes(source.codes, stretch.rows, part.cols, seen);
  for (const Stretch& stretch : ScaleStretches(source, part)) {
    bytes += ArrayBytes(source.scales, stretch.rows, ranges.cols, seen);
    if (source.zeros.tensor != nullptr) bytes += ArrayBytes(source.zeros, stretch.rows, ranges.cols, seen);
  }
  const auto beside = [&](const TensorInfo* tensor, int64_t first, int64_t size) {
    if (tensor != nullptr) bytes += source.fused ? seen.Add(*tensor, first, size) : size;
  };
  beside(source.order, part.cols.begin * kIndex, part.cols.size() * kIndex);
  beside(source.shape, 0, source.shape != nullptr ? source.shape->bytes : 0);
  beside(source.levels, 0, 16 * kFloat);
  beside(source.state, 0, source.state != nullptr ? source.state->bytes : 0);
  if (source.nested.map == nullptr) return bytes;
  const Range nested = NestedOf(source, part, ranges);
  beside(source.nested.map, 0, 256 * kFloat);
  beside(source.nested.of_256, nested.begin * kFloat, nested.size() * kFloat);
  return bytes;
}

}  // namespace drover
