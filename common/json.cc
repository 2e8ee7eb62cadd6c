// See json.h. Values are built from parse events under limits. Members are appended, not looked up: the library's own builder
// searches an ordered object for every key, which makes a body of 1 MiB with many keys cost a minute.
#include "common/json.h"

#include <set>
#include <string>
#include <vector>

#include "common/file.h"

namespace drover {
namespace {

// Refuses as soon as a limit is passed, so that memory stays bounded by the text.
class LimitedBuilder {
 public:
  LimitedBuilder(Json& out, const JsonLimits& limits) : root_(out), limits_(limits) {}

  const absl::Status& status() const { return status_; }

  bool null() { return Scalar(nullptr); }
  bool boolean(bool v) { return Scalar(v); }
  bool number_integer(Json::number_integer_t v) { return Scalar(v); }
  bool number_unsigned(Json::number_unsigned_t v) { return Scalar(v); }
  bool number_float(Json::number_float_t v, const std::string&) { return Scalar(v); }
  bool string(std::string& v) { return Scalar(std::move(v)); }
  bool binary(Json::binary_t&) { return Refuse(InvalidArgument("binary data in JSON")); }

  bool start_object(std::size_t) {
    keys_.emplace_back();
    return Enter(Json::object());
  }
  bool key(std::string& v) {
    if (!keys_.back().insert(v).second) return Refuse(InvalidArgument("duplicate key \"", v, "\""));
    open_.back()->get_ref<Json::object_t&>().push_back({v, Json()});
    return true;
  }
  bool end_object() {
    keys_.pop_back();
    open_.pop_back();
    return true;
  }
  bool start_array(std::size_t) { return Enter(Json::array()); }
  bool end_array() {
    open_.pop_back();
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) {
    std::string what = error.what();
    if (const size_t syntax = what.find("syntax error"); syntax != std::string::npos) what = what.substr(syntax);
    if (const size_t tag = what.find("] "); tag != std::string::npos) what = what.substr(tag + 2);
    return Refuse(InvalidArgument("not valid JSON at byte ", position, ": ", what));
  }

 private:
  bool Refuse(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
    return false;
  }
  bool Count() {
    if (++elements_ > limits_.elements)
      return Refuse(ResourceExhausted("JSON has more than ", limits_.elements, " values"));
    return true;
  }
  bool Scalar(Json value) {
    if (!Count()) return false;
    Place(std::move(value));
    return true;
  }
  bool Enter(Json container) {
    if (static_cast<int64_t>(open_.size()) >= limits_.depth)
      return Refuse(ResourceExhausted("JSON is nested deeper than ", limits_.depth));
    if (!Count()) return false;
    open_.push_back(Place(std::move(container)));
    return true;
  }
  // Into the innermost open container: behind the last key of an object, at the end of a list.
  Json* Place(Json value) {
    Json* place = &root_;
    if (!open_.empty() && open_.back()->is_object()) place = &open_.back()->get_ref<Json::object_t&>().back().second;
    if (!open_.empty() && open_.back()->is_array()) place = &open_.back()->get_ref<Json::array_t&>().emplace_back();
    *place = std::move(value);
    return place;
  }

  Json& root_;
  const JsonLimits& limits_;
  std::vector<Json*> open_;                   // containers being read, outermost first
  std::vector<std::set<std::string>> keys_;   // of each open object
  int64_t elements_ = 0;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text, const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.bytes)
    return ResourceExhausted("JSON of ", text.size(), " bytes is larger than the limit of ", limits.bytes);
  Json value;
  LimitedBuilder builder(value, limits);
  const bool parsed = Json::sax_parse(text.begin(), text.end(), &builder);
  if (!builder.status().ok()) return builder.status();
  if (!parsed) return InvalidArgument("not valid JSON");
  return value;
}

absl::StatusOr<Json> ReadJsonFile(const std::string& path, const JsonLimits& limits) {
  DROVER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, limits.bytes));
  absl::StatusOr<Json> value = ParseJson(text, limits);
  if (!value.ok()) return Annotate(value.status(), path);
  return value;
}

}  // namespace drover
