// See json_fields.h.
#include "coordinator/json_fields.h"

#include <algorithm>

namespace drover {

const Json* Field(const Json& object, const std::string& name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool Asks(const Json& object, const UnservedField& unserved) {
  const Json* field = Field(object, unserved.name);
  if (field == nullptr) return false;
  const Json neutral = Json::parse(unserved.neutral);
  return std::find(neutral.begin(), neutral.end(), *field) == neutral.end();
}

absl::Status WrongType(const std::string& name, const Json& found, std::string_view expected) {
  return InvalidArgument(name, ": found ", found.type_name(), ", expected ", expected);
}

absl::Status Read(const Json& object, const std::string& name, bool& out) {
  const Json* field = Field(object, name);
  if (field == nullptr) return absl::OkStatus();
  if (!field->is_boolean()) return WrongType(name, *field, "true or false");
  out = field->get<bool>();
  return absl::OkStatus();
}

absl::Status Read(const Json& object, const std::string& name, std::string& out) {
  const Json* field = Field(object, name);
  if (field == nullptr) return absl::OkStatus();
  if (!field->is_string()) return WrongType(name, *field, "a string");
  out = field->get<std::string>();
  return absl::OkStatus();
}

absl::Status Read(const Json& object, const std::string& name, std::optional<double>& out) {
  const Json* field = Field(object, name);
  if (field == nullptr) return absl::OkStatus();
  if (!field->is_number()) return WrongType(name, *field, "a number");
  out = field->get<double>();
  return absl::OkStatus();
}

absl::Status Read(const Json& object, const std::string& name, std::optional<int64_t>& out) {
  const Json* field = Field(object, name);
  if (field == nullptr) return absl::OkStatus();
  if (!field->is_number_integer()) return WrongType(name, *field, "an integer");
  if (field->is_number_unsigned() && field->get<uint64_t>() > INT64_MAX)
    return InvalidArgument(name, ": found ", field->get<uint64_t>(), ", expected a smaller integer");
  out = field->get<int64_t>();
  return absl::OkStatus();
}

absl::Status Read(const Json& object, const std::string& name, std::optional<uint64_t>& out) {
  const Json* field = Field(object, name);
  if (field == nullptr) return absl::OkStatus();
  if (!field->is_number_unsigned()) return WrongType(name, *field, "an integer from 0 to 18446744073709551615");
  out = field->get<uint64_t>();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> ReadIds(const Json& array, const std::string& name) {
  std::vector<int32_t> ids;
  ids.reserve(array.size());
  for (size_t i = 0; i < array.size(); ++i) {
    const Json& id = array[i];
    const std::string where = Cat(name, "[", i, "]");
    if (!id.is_number_integer()) return WrongType(where, id, "a token id");
    const bool fits = id.is_number_unsigned() ? id.get<uint64_t>() <= INT32_MAX : id.get<int64_t>() >= 0;
    if (!fits) return InvalidArgument(where, ": found a token id outside the vocabulary");
    ids.push_back(static_cast<int32_t>(id.get<int64_t>()));
  }
  return ids;
}

}  // namespace drover
