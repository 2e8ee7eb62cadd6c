// See hf_index.h. Read as events: a big model has tens of thousands of tensors.
#include "models/checkpoint/hf_index.h"

#include <vector>

#include "common/json.h"
#include "models/checkpoint/text.h"

namespace drover {
namespace {

constexpr size_t kMaxIndexBytes = 32 << 20;
constexpr size_t kMaxNameBytes = 512;

bool IsShardName(std::string_view name) {
  constexpr std::string_view kEnding = ".safetensors";
  if (!name.ends_with(kEnding) || name.size() <= kEnding.size() || name.size() > 255) return false;
  for (const char c : name)
    if (!(std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-')) return false;
  return true;
}

// { "metadata": { "total_size": n, ... }, "weight_map": { tensor: file } }; other metadata is skipped.
class IndexEvents {
 public:
  const absl::Status& status() const { return status_; }
  bool complete() const { return seen_map_; }
  ShardIndex& index() { return index_; }

  bool start_object(std::size_t) {
    path_.emplace_back();
    if (path_.size() == 2 && InMap()) seen_map_ = true;
    return path_.size() <= 4 || Refuse("nested deeper than 4");
  }
  bool end_object() {
    path_.pop_back();
    return true;
  }
  bool key(std::string& name) {
    path_.back() = name;
    if (path_.size() != 1) return true;
    if (name == "weight_map" && seen_map_) return Refuse("duplicate key weight_map");
    return name == "metadata" || name == "weight_map" ||
           Refuse("unknown key \"", Shown(name), "\", expected metadata and weight_map");
  }
  bool string(std::string& file) {
    if (!InMap()) return Scalar();
    const std::string& tensor = path_.back();
    if (tensor.empty() || tensor.size() > kMaxNameBytes || HasControlCharacter(tensor))
      return Refuse("weight_map: tensor name of ", tensor.size(), " bytes is empty, too long or holds control characters");
    if (!IsShardName(file))
      return Refuse("weight_map: ", Shown(tensor), ": found \"", Shown(file), "\", expected a plain file name ending in .safetensors");
    return index_.file_of.emplace(tensor, file).second || Refuse("weight_map: duplicate tensor \"", Shown(tensor), "\"");
  }
  bool number_unsigned(uint64_t value) {
    if (InMap()) return Refuse("weight_map: found a number, expected a file name");
    if (path_.size() == 2 && path_[0] == "metadata" && path_[1] == "total_size") {
      if (value > uint64_t{1} << 53) return Refuse("metadata.total_size: found ", value, ", expected at most 2^53");
      index_.total_bytes = static_cast<int64_t>(value);
    }
    return Scalar();
  }
  bool number_integer(int64_t) { return Scalar(); }
  bool number_float(double value, const std::string&) {
    if (path_.size() == 2 && path_[0] == "metadata" && path_[1] == "total_size" && value >= 0 && value <= 0x1p53)
      index_.total_bytes = static_cast<int64_t>(value);  // some writers print 1.0e10
    return Scalar();
  }
  bool null() { return Scalar(); }
  bool boolean(bool) { return Scalar(); }
  bool binary(std::vector<uint8_t>&) { return Scalar(); }
  bool start_array(std::size_t) {
    path_.emplace_back();
    return path_.size() <= 4 || Refuse("nested deeper than 4");
  }
  bool end_array() {
    path_.pop_back();
    return true;
  }
  template <class Error>
  bool parse_error(std::size_t position, const std::string&, const Error&) {
    return Refuse("not valid JSON at byte ", position);
  }

 private:
  template <class... Parts>
  bool Refuse(const Parts&... parts) {
    if (status_.ok()) status_ = InvalidArgument(parts...);
    return false;
  }
  bool InMap() const { return path_.size() == 2 && path_[0] == "weight_map"; }
  bool Scalar() { return (!path_.empty() && path_.size() > 1 && !InMap()) || Refuse("unexpected value, expected objects"); }

  std::vector<std::string> path_;  // the key at each open level
  ShardIndex index_;
  bool seen_map_ = false;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<ShardIndex> ParseShardIndex(std::string_view text) {
  if (text.size() > kMaxIndexBytes) return InvalidArgument("index of ", text.size(), " bytes, expected at most ", kMaxIndexBytes);
  IndexEvents events;
  const bool parsed = Json::sax_parse(text.begin(), text.end(), &events);
  DROVER_RETURN_IF_ERROR(events.status());
  if (!parsed) return InvalidArgument("not valid JSON");
  if (!events.complete()) return InvalidArgument("weight_map: found nothing, expected an object");
  if (events.index().file_of.empty()) return InvalidArgument("weight_map: found no tensor");
  return std::move(events.index());
}

}  // namespace drover
