// See json.h. A SAX pass checks depth, size and duplicate keys while nlohmann's own DOM builder makes the value.
#include "common/json.h"

#include <set>
#include <string>
#include <vector>

#include "common/file.h"

namespace drover {
namespace {

// Wraps the DOM builder; refuses as soon as a limit is passed, so that memory stays bounded by the text.
class LimitedBuilder {
 public:
  LimitedBuilder(Json& out, const JsonLimits& limits) : dom_(out, false), limits_(limits) {}

  const absl::Status& status() const { return status_; }

  bool null() { return Count() && dom_.null(); }
  bool boolean(bool v) { return Count() && dom_.boolean(v); }
  bool number_integer(Json::number_integer_t v) { return Count() && dom_.number_integer(v); }
  bool number_unsigned(Json::number_unsigned_t v) { return Count() && dom_.number_unsigned(v); }
  bool number_float(Json::number_float_t v, const std::string& s) { return Count() && dom_.number_float(v, s); }
  bool string(std::string& v) { return Count() && dom_.string(v); }
  bool binary(Json::binary_t& v) { return Count() && dom_.binary(v); }

  bool start_object(std::size_t n) {
    keys_.emplace_back();
    return Enter() && dom_.start_object(n);
  }
  bool key(std::string& v) {
    if (!keys_.back().insert(v).second) return Refuse(InvalidArgument("duplicate key \"", v, "\""));
    return dom_.key(v);
  }
  bool end_object() {
    keys_.pop_back();
    --depth_;
    return dom_.end_object();
  }
  bool start_array(std::size_t n) { return Enter() && dom_.start_array(n); }
  bool end_array() {
    --depth_;
    return dom_.end_array();
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
  bool Enter() {
    if (++depth_ > limits_.depth) return Refuse(ResourceExhausted("JSON is nested deeper than ", limits_.depth));
    return Count();
  }

  nlohmann::detail::json_sax_dom_parser<Json> dom_;
  const JsonLimits& limits_;
  std::vector<std::set<std::string>> keys_;
  int64_t depth_ = 0;
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
