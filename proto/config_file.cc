// See config_file.h.
#include "proto/config_file.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <vector>

#include "common/file.h"

namespace drover {
namespace {

constexpr int64_t kMostBytes = 1 << 20;

// As text: what the command line would say. Fields are strings, int64, double or bool.
std::string ValueText(const google::protobuf::Message& part, const google::protobuf::FieldDescriptor& field) {
  using Field = google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection& reflection = *part.GetReflection();
  switch (field.cpp_type()) {
    case Field::CPPTYPE_STRING: return reflection.GetString(part, &field);
    case Field::CPPTYPE_INT64: return Cat(reflection.GetInt64(part, &field));
    case Field::CPPTYPE_DOUBLE: return Cat(reflection.GetDouble(part, &field));
    default: return reflection.GetBool(part, &field) ? "true" : "false";
  }
}

absl::Status Apply(CLI::Option& option, const std::string& value) {
  if (option.count() > 0) return absl::OkStatus();  // said already
  try {
    option.add_result(value);
    option.run_callback();
  } catch (const CLI::Error& error) {  // CLI11's way to refuse a value; nothing of ours throws
    return InvalidArgument(std::string(error.what()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::Config> ReadConfigFile(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMostBytes));
  v1::Config config;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &config);
  if (!parsed.ok()) return InvalidArgument(path, ": found no drover.v1.Config: ", std::string(parsed.message()));
  return config;
}

absl::Status ApplyConfig(const google::protobuf::Message& part, const std::string& path, CLI::App& app) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  part.GetReflection()->ListFields(part, &fields);
  for (const auto* field : fields) {
    std::string flag = "--" + field->name();
    std::ranges::replace(flag, '_', '-');
    CLI::Option* option = app.get_option_no_throw(flag);
    if (option == nullptr) return Internal(flag, ": found no such flag for field ", field->full_name());
    if (const absl::Status status = Apply(*option, ValueText(part, *field)); !status.ok())
      return Annotate(status, Cat(path, ": ", field->name()));
  }
  return absl::OkStatus();
}

}  // namespace drover
