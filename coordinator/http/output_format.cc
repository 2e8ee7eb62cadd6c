// See output_format.h.
#include "coordinator/http/output_format.h"

#include <array>
#include <string>

#include "coordinator/json_fields.h"

namespace drover {
namespace {

using Read1 = absl::StatusOr<GrammarText> (*)(const std::string& name, const Json& value);

// An object or a boolean, or either as text.
absl::StatusOr<GrammarText> ReadSchema(const std::string& name, const Json& value) {
  if (value.is_string()) return GrammarText{GrammarKind::kJsonSchema, value.get<std::string>()};
  if (!value.is_object() && !value.is_boolean()) return WrongType(name, value, "a JSON schema");
  return GrammarText{GrammarKind::kJsonSchema, value.dump()};
}

absl::StatusOr<GrammarText> ReadAnyObject(const std::string& name, const Json& value) {
  if (value != true) return WrongType(name, value, "true");
  return GrammarText{GrammarKind::kJsonSchema, R"({"type": "object"})"};
}

absl::StatusOr<GrammarText> ReadRegex(const std::string& name, const Json& value) {
  if (!value.is_string()) return WrongType(name, value, "a regular expression");
  return GrammarText{GrammarKind::kRegex, value.get<std::string>()};
}

absl::StatusOr<GrammarText> ReadLark(const std::string& name, const Json& value) {
  if (!value.is_string()) return WrongType(name, value, "a grammar in Lark's notation");
  return GrammarText{GrammarKind::kLark, value.get<std::string>()};
}

// Lark writes strings as JSON does.
absl::StatusOr<GrammarText> ReadChoice(const std::string& name, const Json& value) {
  if (!value.is_array() || value.empty()) return WrongType(name, value, "a list of at least one text");
  std::string lark = "start: ";
  for (size_t i = 0; i < value.size(); ++i) {
    if (!value[i].is_string()) return WrongType(Cat(name, "[", i, "]"), value[i], "text");
    lark += Cat(i == 0 ? "" : " | ", value[i].dump());
  }
  return GrammarText{GrammarKind::kLark, std::move(lark)};
}

struct Form {
  const char* name;
  Read1 read;
};
constexpr std::array kStructured = std::to_array<Form>(
    {{"json", ReadSchema}, {"json_object", ReadAnyObject}, {"regex", ReadRegex}, {"choice", ReadChoice}, {"grammar", ReadLark}});
constexpr std::array kUnservedStructured = std::to_array<UnservedField>({{"disable_additional_properties", "[false]"},
                                                                         {"disable_any_whitespace", "[false]"},
                                                                         {"disable_fallback", "[true, false]"},
                                                                         {"structural_tag", "[]"},
                                                                         {"whitespace_pattern", "[]"}});
constexpr std::array kGuided = std::to_array<Form>(
    {{"guided_json", ReadSchema}, {"guided_regex", ReadRegex}, {"guided_choice", ReadChoice}, {"guided_grammar", ReadLark}});

absl::Status Keep(const std::string& name, absl::StatusOr<GrammarText> found, ClientRequest& out) {
  if (!found.ok()) return found.status();
  if (out.grammar) return InvalidArgument(name, ": found with another field that says what the answer looks like, expected one of them");
  out.grammar = *std::move(found);
  out.grammar_field = name;
  return absl::OkStatus();
}

template <size_t kForms>
absl::Status ReadForms(const Json& body, const std::array<Form, kForms>& forms, const std::string& prefix, ClientRequest& out) {
  for (const Form& form : forms) {
    const Json* value = Field(body, form.name);
    if (value == nullptr || (form.read == ReadAnyObject && *value == false)) continue;
    const std::string name = prefix + form.name;
    DROVER_RETURN_IF_ERROR(Keep(name, form.read(name, *value), out));
  }
  return absl::OkStatus();
}

absl::StatusOr<GrammarText> ReadNamedSchema(const Json& format) {
  const Json* named = Field(format, "json_schema");
  const Json* schema = named != nullptr && named->is_object() ? Field(*named, "schema") : nullptr;
  if (schema == nullptr) return InvalidArgument("response_format.json_schema.schema: found nothing, expected a JSON schema");
  return ReadSchema("response_format.json_schema.schema", *schema);
}

absl::Status ReadResponseFormat(const Json& body, ClientRequest& out) {
  const Json* format = Field(body, "response_format");
  if (format == nullptr) return absl::OkStatus();
  std::string type;
  if (!format->is_object()) return WrongType("response_format", *format, "an object");
  DROVER_RETURN_IF_ERROR(Read(*format, "type", type));
  if (type == "text") return absl::OkStatus();
  if (type == "json_object") return Keep("response_format", ReadAnyObject("response_format", true), out);
  if (type == "json_schema") return Keep("response_format", ReadNamedSchema(*format), out);
  return InvalidArgument("response_format.type: expected text, json_object or json_schema");
}

}  // namespace

absl::Status ReadOutputFormat(const Json& body, ClientRequest& out) {
  DROVER_RETURN_IF_ERROR(ReadResponseFormat(body, out));
  DROVER_RETURN_IF_ERROR(ReadForms(body, kGuided, "", out));
  const Json* structured = Field(body, "structured_outputs");
  if (structured == nullptr) return absl::OkStatus();
  if (!structured->is_object()) return WrongType("structured_outputs", *structured, "an object");
  for (const UnservedField& field : kUnservedStructured)
    if (Asks(*structured, field)) return InvalidArgument("structured_outputs.", field.name, ": this field is not supported; leave it out");
  const bool any = out.grammar.has_value();
  DROVER_RETURN_IF_ERROR(ReadForms(*structured, kStructured, "structured_outputs.", out));
  if (any || out.grammar) return absl::OkStatus();
  return InvalidArgument("structured_outputs: expected one of json, json_object, regex, choice and grammar");
}

}  // namespace drover
