// Reading one JSON object field by field: absent and null leave the value alone, a wrong type is an error that names the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"

namespace drover {

// The member, or null when it is absent or JSON null.
const Json* Field(const Json& object, const std::string& name);

// A field that changes the answer and is not served.
struct UnservedField {
  const char* name;
  const char* neutral;  // a JSON array of the values, beside null, that ask for nothing
};
// Whether the object has the field with any other value.
bool Asks(const Json& object, const UnservedField& unserved);

absl::Status Read(const Json& object, const std::string& name, bool& out);
absl::Status Read(const Json& object, const std::string& name, std::string& out);
absl::Status Read(const Json& object, const std::string& name, std::optional<double>& out);
absl::Status Read(const Json& object, const std::string& name, std::optional<int64_t>& out);
absl::Status Read(const Json& object, const std::string& name, std::optional<uint64_t>& out);

// An array of token ids; every one a 32-bit integer.
absl::StatusOr<std::vector<int32_t>> ReadIds(const Json& array, const std::string& name);

// "field: found TYPE, expected WHAT".
absl::Status WrongType(const std::string& name, const Json& found, std::string_view expected);

}  // namespace drover
