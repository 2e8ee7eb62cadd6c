// See gguf_header.h. Little-endian throughout; big-endian files are refused by their version number.
#include "models/checkpoint/gguf_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>

#include "models/checkpoint/text.h"

namespace drover {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr int64_t kDefaultAlignment = 32;
constexpr int64_t kMaxAlignment = 1 << 16;
constexpr int64_t kMaxRank = 4;

enum Type : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64, kTypes };

// ggml's tensor types by number. Types without a dtype are known by name and not served.
struct GgmlType {
  uint32_t number;
  std::string_view name;
  std::optional<DType> dtype;
};
constexpr std::array<GgmlType, 19> kGgmlTypes = {{
    {0, "F32", DType::kF32},    {1, "F16", DType::kF16},    {2, "Q4_0", DType::kQ4_0},      {3, "Q4_1", DType::kQ4_1},
    {6, "Q5_0", DType::kQ5_0},  {7, "Q5_1", DType::kQ5_1},  {8, "Q8_0", DType::kQ8_0},      {9, "Q8_1", DType::kQ8_1},
    {10, "Q2_K", DType::kQ2_K}, {11, "Q3_K", DType::kQ3_K}, {12, "Q4_K", DType::kQ4_K},     {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K}, {15, "Q8_K", DType::kQ8_K}, {20, "IQ4_NL", std::nullopt},   {23, "IQ4_XS", std::nullopt},
    {28, "F64", std::nullopt},  {30, "BF16", DType::kBF16}, {39, "MXFP4", DType::kMxfp4},
}};

absl::StatusOr<DType> DTypeOf(const std::string& tensor, uint32_t number) {
  std::string name = Cat("number ", number), served;
  for (const GgmlType& type : kGgmlTypes) {
    if (type.number == number && type.dtype) return *type.dtype;
    if (type.number == number) name = std::string(type.name);
    if (type.dtype) served += Cat(served.empty() ? "" : ", ", type.name);
  }
  return InvalidArgument("tensor ", tensor, ": type: found ", name, ", expected one of ", served);
}

// Reads forward through the bytes given.
class Cursor {
 public:
  Cursor(std::string_view bytes, int64_t file_bytes, const GgufLimits& limits)
      : bytes_(bytes), file_bytes_(file_bytes), limits_(limits), array_values_left_(limits.array_values) {}

  int64_t position() const { return static_cast<int64_t>(position_); }

  template <class T>
  absl::StatusOr<T> Read(std::string_view field) {
    DROVER_RETURN_IF_ERROR(Need(field, sizeof(T)));
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  absl::StatusOr<std::string> String(std::string_view field, int64_t longest) {
    DROVER_ASSIGN_OR_RETURN(const uint64_t length, Read<uint64_t>(field));
    if (length > static_cast<uint64_t>(longest))
      return InvalidArgument(field, ": length: found ", length, ", expected at most ", longest);
    DROVER_RETURN_IF_ERROR(Need(field, length));
    std::string text(bytes_.substr(position_, length));
    position_ += length;
    return text;
  }

  absl::StatusOr<GgufValue> Value(std::string_view field, uint32_t type) {
    switch (type) {
      case kBool: return Bool(field);
      case kString: return Wrap(String(field, limits_.string_bytes));
      case kArray: return Array(field);
      case kF32: return Wrap(Float(field, type));
      case kF64: return Wrap(Float(field, type));
      default: return Wrap(Integer(field, type));
    }
  }

 private:
  template <class T>
  static absl::StatusOr<GgufValue> Wrap(absl::StatusOr<T> value) {
    if (!value.ok()) return value.status();
    return GgufValue(*std::move(value));
  }

  absl::Status Need(std::string_view field, uint64_t count) const {
    if (count <= bytes_.size() - position_) return absl::OkStatus();
    if (static_cast<int64_t>(bytes_.size()) < file_bytes_) return OutOfRange(field, ": the header goes on");
    return InvalidArgument(field, ": the file ends at byte ", file_bytes_, ", expected ", count, " more from byte ", position_);
  }

  absl::StatusOr<GgufValue> Bool(std::string_view field) {
    DROVER_ASSIGN_OR_RETURN(const uint8_t value, Read<uint8_t>(field));
    if (value > 1) return InvalidArgument(field, ": boolean: found ", static_cast<int>(value), ", expected 0 or 1");
    return GgufValue(value == 1);
  }

  template <class T>
  absl::StatusOr<int64_t> As(std::string_view field) {
    DROVER_ASSIGN_OR_RETURN(const T value, Read<T>(field));
    return static_cast<int64_t>(value);
  }

  absl::StatusOr<int64_t> Integer(std::string_view field, uint32_t type) {
    switch (type) {
      case kU8:
      case kBool: return As<uint8_t>(field);
      case kI8: return As<int8_t>(field);
      case kU16: return As<uint16_t>(field);
      case kI16: return As<int16_t>(field);
      case kU32: return As<uint32_t>(field);
      case kI32: return As<int32_t>(field);
      case kI64: return As<int64_t>(field);
      case kU64: break;
      default: return InvalidArgument(field, ": value type: found ", type, ", expected 0 to ", kTypes - 1);
    }
    DROVER_ASSIGN_OR_RETURN(const uint64_t value, Read<uint64_t>(field));
    if (value > static_cast<uint64_t>(INT64_MAX)) return InvalidArgument(field, ": found ", value, ", expected below 2^63");
    return static_cast<int64_t>(value);
  }

  absl::StatusOr<double> Float(std::string_view field, uint32_t type) {
    if (type == kF64) return Read<double>(field);
    DROVER_ASSIGN_OR_RETURN(const float value, Read<float>(field));
    return static_cast<double>(value);
  }

  template <class T, class ReadOne>
  absl::StatusOr<GgufValue> List(uint64_t count, ReadOne read_one) {
    std::vector<T> list;
    list.reserve(std::min<uint64_t>(count, 4096));
    for (uint64_t i = 0; i < count; ++i) {
      DROVER_ASSIGN_OR_RETURN(T value, read_one());
      list.push_back(std::move(value));
    }
    return GgufValue(std::move(list));
  }

  absl::StatusOr<GgufValue> Array(std::string_view field) {
    DROVER_ASSIGN_OR_RETURN(const uint32_t type, Read<uint32_t>(field));
    DROVER_ASSIGN_OR_RETURN(const uint64_t count, Read<uint64_t>(field));
    if (type == kArray) return InvalidArgument(field, ": found an array of arrays, expected plain values");
    if (type >= kTypes) return InvalidArgument(field, ": value type: found ", type, ", expected 0 to ", kTypes - 1);
    if (count > static_cast<uint64_t>(array_values_left_))
      return InvalidArgument(field, ": array of ", count, " values, expected at most ", limits_.array_values, " in all arrays");
    array_values_left_ -= static_cast<int64_t>(count);
    if (type == kString)
      return List<std::string>(count, [&] { return String(field, limits_.string_bytes); });
    if (type == kF32 || type == kF64) return List<double>(count, [&] { return Float(field, type); });
    return List<int64_t>(count, [&] { return Integer(field, type); });
  }

  std::string_view bytes_;
  int64_t file_bytes_;
  const GgufLimits& limits_;
  int64_t array_values_left_;
  size_t position_ = 0;
};

absl::Status ReadMetadata(Cursor& cursor, uint64_t count, const GgufLimits& limits, GgufHeader& header) {
  for (uint64_t i = 0; i < count; ++i) {
    DROVER_ASSIGN_OR_RETURN(const std::string key, cursor.String(Cat("metadata key ", i), limits.key_bytes));
    const std::string field = Cat("metadata ", Shown(key));
    if (key.empty() || HasControlCharacter(key)) return InvalidArgument(field, ": key ", i, " is empty or holds a control character");
    DROVER_ASSIGN_OR_RETURN(const uint32_t type, cursor.Read<uint32_t>(field));
    DROVER_ASSIGN_OR_RETURN(GgufValue value, cursor.Value(field, type));
    if (!header.metadata.emplace(key, std::move(value)).second) return InvalidArgument(field, ": duplicate key");
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorInfo> ReadTensor(Cursor& cursor, const GgufLimits& limits) {
  TensorInfo tensor;
  DROVER_ASSIGN_OR_RETURN(tensor.name, cursor.String("tensor name", limits.key_bytes));
  const std::string field = Cat("tensor ", Shown(tensor.name));
  if (tensor.name.empty() || HasControlCharacter(tensor.name))
    return InvalidArgument(field, ": name is empty or holds a control character");
  DROVER_ASSIGN_OR_RETURN(const uint32_t rank, cursor.Read<uint32_t>(field));
  if (rank < 1 || rank > kMaxRank) return InvalidArgument(field, ": dimensions: found ", rank, ", expected 1 to ", kMaxRank);
  int64_t values = 1;
  for (uint32_t d = 0; d < rank; ++d) {
    DROVER_ASSIGN_OR_RETURN(const uint64_t size, cursor.Read<uint64_t>(field));
    if (size < 1 || size > uint64_t{1} << 53 || __builtin_mul_overflow(values, static_cast<int64_t>(size), &values))
      return InvalidArgument(field, ": dimension ", d, ": found ", size, ", expected a size that fits");
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(size));
  }
  DROVER_ASSIGN_OR_RETURN(const uint32_t type, cursor.Read<uint32_t>(field));
  DROVER_ASSIGN_OR_RETURN(tensor.dtype, DTypeOf(Shown(tensor.name), type));
  if (tensor.shape.back() % Info(tensor.dtype).values != 0)
    return InvalidArgument(field, ": rows of ", tensor.shape.back(), " values are not whole ", Name(tensor.dtype), " blocks");
  absl::StatusOr<int64_t> bytes = BytesFor(tensor.dtype, values);
  if (!bytes.ok()) return Annotate(bytes.status(), field);
  tensor.bytes = *bytes;
  DROVER_ASSIGN_OR_RETURN(const uint64_t offset, cursor.Read<uint64_t>(field));
  if (offset > static_cast<uint64_t>(INT64_MAX) / 2) return InvalidArgument(field, ": offset: found ", offset, ", expected inside the file");
  tensor.offset = static_cast<int64_t>(offset);
  return tensor;
}

absl::StatusOr<int64_t> Alignment(const GgufHeader& header) {
  const auto it = header.metadata.find("general.alignment");
  if (it == header.metadata.end()) return kDefaultAlignment;
  const auto* value = std::get_if<int64_t>(&it->second);
  if (value == nullptr || *value < 1 || *value > kMaxAlignment || !std::has_single_bit(static_cast<uint64_t>(*value)))
    return InvalidArgument("metadata general.alignment: expected a power of two up to ", kMaxAlignment,
                           value == nullptr ? std::string() : Cat(", found ", *value));
  return *value;
}

// Offsets are relative to the aligned end of the header; tensors may be padded but not overlap.
absl::Status PlaceTensors(std::vector<TensorInfo>& tensors, int64_t header_end, int64_t alignment, int64_t file_bytes) {
  const int64_t data = (header_end + alignment - 1) / alignment * alignment;
  std::set<std::string_view> names;
  std::vector<const TensorInfo*> order;
  for (TensorInfo& tensor : tensors) {
    if (!names.insert(tensor.name).second) return InvalidArgument("tensor ", Shown(tensor.name), ": listed twice");
    if (tensor.offset % alignment != 0)
      return InvalidArgument("tensor ", Shown(tensor.name), ": offset: found ", tensor.offset, ", expected a multiple of ", alignment);
    if (tensor.offset > file_bytes || tensor.bytes > file_bytes || data + tensor.offset > file_bytes - tensor.bytes)
      return InvalidArgument("tensor ", Shown(tensor.name), ": ends at byte ", data + tensor.offset, " + ", tensor.bytes,
                             ", but the file has ", file_bytes, " (truncated file?)");
    tensor.offset += data;
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i]->offset < order[i - 1]->offset + order[i - 1]->bytes)
      return InvalidArgument("tensor ", Shown(order[i]->name), ": overlaps tensor ", Shown(order[i - 1]->name));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> ReadCount(Cursor& cursor, std::string_view field, int64_t most) {
  DROVER_ASSIGN_OR_RETURN(const uint64_t count, cursor.Read<uint64_t>(field));
  if (count > static_cast<uint64_t>(most)) return InvalidArgument(field, ": found ", count, ", expected at most ", most);
  return count;
}

}  // namespace

absl::StatusOr<GgufHeader> ParseGguf(std::string_view prefix, int64_t file_bytes, const GgufLimits& limits) {
  if (prefix.substr(0, kMagic.size()) != kMagic) return InvalidArgument("not a GGUF file: expected the magic bytes GGUF");
  Cursor cursor(prefix, file_bytes, limits);
  DROVER_RETURN_IF_ERROR(cursor.Read<uint32_t>("magic").status());
  DROVER_ASSIGN_OR_RETURN(const uint32_t version, cursor.Read<uint32_t>("version"));
  if (version != 2 && version != 3) return InvalidArgument("version: found ", version, ", expected 2 or 3");
  DROVER_ASSIGN_OR_RETURN(const uint64_t tensors, ReadCount(cursor, "tensor count", limits.tensors));
  DROVER_ASSIGN_OR_RETURN(const uint64_t metadata, ReadCount(cursor, "metadata count", limits.metadata));
  GgufHeader header;
  DROVER_RETURN_IF_ERROR(ReadMetadata(cursor, metadata, limits, header));
  for (uint64_t i = 0; i < tensors; ++i) {
    DROVER_ASSIGN_OR_RETURN(TensorInfo tensor, ReadTensor(cursor, limits));
    header.tensors.push_back(std::move(tensor));
  }
  DROVER_ASSIGN_OR_RETURN(const int64_t alignment, Alignment(header));
  DROVER_RETURN_IF_ERROR(PlaceTensors(header.tensors, cursor.position(), alignment, file_bytes));
  return header;
}

absl::StatusOr<GgufHeader> ReadGgufHeader(const File& file, const GgufLimits& limits) {
  constexpr int64_t kFirstRead = 4 << 20;
  const int64_t most = std::min(file.size(), limits.header_bytes);
  for (int64_t size = std::min(most, kFirstRead);; size = std::min(most, 4 * size)) {
    std::string prefix(static_cast<size_t>(size), '\0');
    DROVER_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(prefix))));
    absl::StatusOr<GgufHeader> header = ParseGguf(prefix, file.size(), limits);
    if (header.ok()) return header;
    if (header.status().code() != absl::StatusCode::kOutOfRange) return Annotate(header.status(), file.path());
    if (size == most) return InvalidArgument(file.path(), ": header is larger than ", limits.header_bytes, " bytes");
  }
}

}  // namespace drover
