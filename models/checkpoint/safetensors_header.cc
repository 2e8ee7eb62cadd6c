// See safetensors_header.h. The JSON is read as events, so that memory stays proportional to the tensors it names.
#include "models/checkpoint/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "models/checkpoint/text.h"

namespace drover {
namespace {

constexpr int64_t kLengthBytes = 8;
constexpr uint64_t kLargestInteger = uint64_t{1} << 53;

// A tensor as the header writes it, before its numbers are checked against each other.
struct Entry {
  TensorInfo tensor;
  bool has_dtype = false, has_shape = false;
  std::vector<int64_t> range;  // data_offsets
};

// Events of the grammar { name: { "dtype": s, "shape": [n...], "data_offsets": [n, n] }, "__metadata__": { s: s } }.
class HeaderEvents {
 public:
  explicit HeaderEvents(const SafetensorsLimits& limits) : limits_(limits) {}

  const absl::Status& status() const { return status_; }
  std::vector<Entry>& entries() { return entries_; }

  bool start_object(std::size_t) {
    ++depth_;
    if (depth_ > 2 || in_array_ || (depth_ == 2 && !named_)) return Unexpected("an object");
    if (depth_ == 2) fields_.clear();
    return true;
  }
  bool end_object() {
    --depth_;
    named_ = false;
    return depth_ != 1 || in_metadata_ || Complete();
  }
  bool key(std::string& name) {
    if (depth_ == 1) return TopKey(name);
    if (!fields_.insert(name).second) return Refuse(Here(), ": duplicate key \"", Shown(name), "\"");
    field_ = name;
    if (in_metadata_) {
      metadata_bytes_ += static_cast<int64_t>(name.size());
      return static_cast<int64_t>(fields_.size()) <= limits_.metadata_entries ||
             Refuse("__metadata__: more than ", limits_.metadata_entries, " entries");
    }
    return name == "dtype" || name == "shape" || name == "data_offsets" ||
           Refuse(Here(), ": unknown key \"", Shown(name), "\", expected dtype, shape or data_offsets");
  }
  bool string(std::string& value) {
    if (in_metadata_) {
      metadata_bytes_ += static_cast<int64_t>(value.size());
      return metadata_bytes_ <= limits_.metadata_bytes || Refuse("__metadata__: larger than ", limits_.metadata_bytes, " bytes");
    }
    if (depth_ != 2 || in_array_ || field_ != "dtype") return Unexpected("a string");
    const std::optional<DType> dtype = DTypeFromSafetensors(value);
    if (!dtype) return Refuse(Here(), ": dtype: found \"", Shown(value), "\", which is not known");
    entries_.back().tensor.dtype = *dtype;
    entries_.back().has_dtype = true;
    return true;
  }
  bool start_array(std::size_t) {
    if (in_array_ || in_metadata_ || depth_ != 2 || field_ == "dtype") return Unexpected("a list");
    in_array_ = true;
    if (field_ == "shape") entries_.back().has_shape = true;
    return true;
  }
  bool end_array() {
    in_array_ = false;
    return true;
  }
  bool number_unsigned(uint64_t value) {
    if (!in_array_) return Unexpected("a number");
    if (value > kLargestInteger) return Refuse(Here(), ": ", field_, ": found ", value, ", expected at most 2^53");
    std::vector<int64_t>& list = field_ == "shape" ? entries_.back().tensor.shape : entries_.back().range;
    const int64_t longest = field_ == "shape" ? limits_.rank : 2;
    if (static_cast<int64_t>(list.size()) >= longest) return Refuse(Here(), ": ", field_, ": more than ", longest, " numbers");
    list.push_back(static_cast<int64_t>(value));
    return true;
  }
  bool number_integer(int64_t value) { return Refuse(Here(), ": ", field_, ": found ", value, ", expected an unsigned integer"); }
  bool number_float(double, const std::string& text) {
    return Refuse(Here(), ": ", field_, ": found ", Shown(text), ", expected an unsigned integer");
  }
  bool null() { return Unexpected("null"); }
  bool boolean(bool) { return Unexpected("a boolean"); }
  bool binary(std::vector<uint8_t>&) { return Unexpected("binary data"); }
  template <class Error>
  bool parse_error(std::size_t position, const std::string&, const Error&) {
    return Refuse("header: not valid JSON at byte ", position);
  }

 private:
  template <class... Parts>
  bool Refuse(const Parts&... parts) {
    if (status_.ok()) status_ = InvalidArgument(parts...);
    return false;
  }
  bool Unexpected(std::string_view what) { return Refuse(Here(), ": unexpected ", what); }

  std::string Here() const {
    if (in_metadata_) return "__metadata__";
    return entries_.empty() ? "header" : Cat("tensor ", Shown(entries_.back().tensor.name));
  }

  bool TopKey(const std::string& name) {
    named_ = true;
    if (!names_.insert(name).second) return Refuse("header: duplicate key \"", Shown(name), "\"");
    in_metadata_ = name == "__metadata__";
    if (in_metadata_) return true;
    if (static_cast<int64_t>(entries_.size()) >= limits_.tensors) return Refuse("header: more than ", limits_.tensors, " tensors");
    if (name.empty() || static_cast<int64_t>(name.size()) > limits_.name_bytes)
      return Refuse("header: tensor name of ", name.size(), " bytes, expected 1 to ", limits_.name_bytes);
    if (HasControlCharacter(name)) return Refuse("header: tensor name \"", Shown(name), "\" holds a control character");
    entries_.emplace_back();
    entries_.back().tensor.name = name;
    return true;
  }

  bool Complete() {
    const Entry& entry = entries_.back();
    if (!entry.has_dtype) return Refuse(Here(), ": dtype is missing");
    if (!entry.has_shape) return Refuse(Here(), ": shape is missing");
    return entry.range.size() == 2 || Refuse(Here(), ": data_offsets: found ", entry.range.size(), " numbers, expected 2");
  }

  const SafetensorsLimits& limits_;
  std::vector<Entry> entries_;
  std::unordered_set<std::string> names_, fields_;
  std::string field_;
  int64_t depth_ = 0, metadata_bytes_ = 0;
  bool in_array_ = false, in_metadata_ = false, named_ = false;
  absl::Status status_;
};

absl::StatusOr<int64_t> HeaderBytes(std::string_view prefix, int64_t file_bytes, const SafetensorsLimits& limits) {
  if (file_bytes < kLengthBytes + 2 || prefix.size() < kLengthBytes)
    return InvalidArgument("file of ", file_bytes, " bytes is too short for a safetensors header");
  uint64_t length = 0;
  for (int i = kLengthBytes - 1; i >= 0; --i) length = length << 8 | static_cast<uint8_t>(prefix[static_cast<size_t>(i)]);
  if (length < 2 || length > static_cast<uint64_t>(limits.header_bytes))
    return InvalidArgument("header length: found ", length, ", expected 2 to ", limits.header_bytes);
  if (static_cast<int64_t>(length) > file_bytes - kLengthBytes)
    return InvalidArgument("header length: found ", length, ", but the file has ", file_bytes, " bytes");
  return static_cast<int64_t>(length);
}

absl::StatusOr<int64_t> TensorBytes(const TensorInfo& tensor) {
  int64_t values = 1;
  for (const int64_t size : tensor.shape)
    if (__builtin_mul_overflow(values, size, &values)) return InvalidArgument("tensor ", tensor.name, ": shape overflows");
  return BytesFor(tensor.dtype, values);
}

// Ranges sorted by their begin must tile [0, data_bytes).
absl::Status PlaceTensors(std::vector<Entry>& entries, int64_t data_begin, int64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.range < b.range; });
  int64_t end = 0;
  for (Entry& entry : entries) {
    TensorInfo& tensor = entry.tensor;
    DROVER_ASSIGN_OR_RETURN(tensor.bytes, TensorBytes(tensor));
    const int64_t begin = entry.range[0], stop = entry.range[1];
    if (begin > stop) return InvalidArgument("tensor ", tensor.name, ": data_offsets: found ", begin, " after ", stop);
    if (begin != end)
      return InvalidArgument("tensor ", tensor.name, ": data_offsets: found begin ", begin, ", expected ", end,
                             begin < end ? " (tensors overlap)" : " (bytes between tensors)");
    if (stop - begin != tensor.bytes)
      return InvalidArgument("tensor ", tensor.name, ": data_offsets: found ", stop - begin, " bytes, expected ", tensor.bytes,
                             " for its shape and dtype");
    if (stop > data_bytes)
      return InvalidArgument("tensor ", tensor.name, ": ends at byte ", stop, " of the data, but the file holds ", data_bytes,
                             " (truncated file?)");
    tensor.offset = data_begin + begin;
    end = stop;
  }
  if (end != data_bytes) return InvalidArgument("data: found ", data_bytes, " bytes, expected ", end, " from the tensors");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<TensorInfo>> ParseSafetensors(std::string_view prefix, int64_t file_bytes,
                                                         const SafetensorsLimits& limits) {
  DROVER_ASSIGN_OR_RETURN(const int64_t header, HeaderBytes(prefix, file_bytes, limits));
  if (static_cast<int64_t>(prefix.size()) < kLengthBytes + header)
    return OutOfRange("header of ", header, " bytes needs more than the ", prefix.size(), " bytes given");
  const std::string_view text = prefix.substr(kLengthBytes, static_cast<size_t>(header));
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || text[first] != '{') return InvalidArgument("header: expected a JSON object");
  HeaderEvents events(limits);
  const bool parsed = Json::sax_parse(text.begin(), text.end(), &events);
  DROVER_RETURN_IF_ERROR(events.status());
  if (!parsed) return InvalidArgument("header: not valid JSON");
  DROVER_RETURN_IF_ERROR(PlaceTensors(events.entries(), kLengthBytes + header, file_bytes - kLengthBytes - header));
  std::vector<TensorInfo> tensors;
  tensors.reserve(events.entries().size());
  for (Entry& entry : events.entries()) tensors.push_back(std::move(entry.tensor));
  return tensors;
}

absl::StatusOr<std::vector<TensorInfo>> ReadSafetensorsHeader(const File& file, const SafetensorsLimits& limits) {
  std::string prefix(static_cast<size_t>(std::min(file.size(), kLengthBytes)), '\0');
  DROVER_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(prefix))));
  absl::StatusOr<int64_t> header = HeaderBytes(prefix, file.size(), limits);
  if (!header.ok()) return Annotate(header.status(), file.path());
  prefix.resize(static_cast<size_t>(kLengthBytes + *header));
  DROVER_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(prefix))));
  absl::StatusOr<std::vector<TensorInfo>> tensors = ParseSafetensors(prefix, file.size(), limits);
  if (!tensors.ok()) return Annotate(tensors.status(), file.path());
  return tensors;
}

}  // namespace drover
