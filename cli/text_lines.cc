// See text_lines.h.
#include "cli/text_lines.h"

#include <filesystem>
#include <vector>

#include "common/file.h"
#include "common/json.h"

namespace drover {
namespace {

constexpr JsonLimits kLineLimits = {.bytes = 64 << 20, .depth = 64, .elements = 10'000'000};

std::string Print(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// One line at a time, however long; past the limit the rest of the line is dropped and the answer is an error.
bool NextLine(std::istream& in, std::string& line) {
  line.clear();
  for (int letter = in.get(); letter != std::istream::traits_type::eof(); letter = in.get()) {
    if (letter == '\n') return true;
    if (line.size() <= static_cast<size_t>(kLineLimits.bytes)) line.push_back(static_cast<char>(letter));
  }
  return !line.empty();
}

int RunLines(std::istream& in, std::ostream& out, const std::function<absl::StatusOr<Json>(const Json&)>& answer) {
  int errors = 0;
  for (std::string line; NextLine(in, line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    absl::StatusOr<Json> request = ParseJson(line, kLineLimits);
    if (request.ok() && !request->is_object()) request = InvalidArgument("line: found no JSON object, expected one");
    absl::StatusOr<Json> reply = request.ok() ? answer(*request) : request.status();
    if (!reply.ok()) {
      ++errors;
      reply = Json{{"error", Message(reply.status())}};
    }
    out << Print(*reply) << '\n' << std::flush;
  }
  return errors;
}

absl::StatusOr<bool> Flag(const Json& request, const char* name, bool otherwise) {
  if (!request.contains(name)) return otherwise;
  if (!request[name].is_boolean()) return InvalidArgument("field ", name, ": found ", Print(request[name]), ", expected true or false");
  return request[name].get<bool>();
}

absl::StatusOr<std::vector<int32_t>> Ids(const Json& value) {
  if (!value.is_array()) return InvalidArgument("field ids: found no array, expected token ids");
  std::vector<int32_t> ids;
  for (const Json& id : value) {
    const bool fits = id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() <= INT32_MAX;
    if (!fits) return InvalidArgument("field ids: found ", Print(id), ", expected a token id");
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

absl::StatusOr<Json> Tokenize(const text::Tokenizer& tokenizer, const Json& request) {
  if (request.contains("text")) {
    if (!request["text"].is_string()) return InvalidArgument("field text: found no string, expected one");
    text::EncodeOptions options = {.max_bytes = kLineLimits.bytes};
    DROVER_ASSIGN_OR_RETURN(options.add_special_tokens, Flag(request, "add_special_tokens", true));
    DROVER_ASSIGN_OR_RETURN(options.parse_special, Flag(request, "parse_special", false));
    DROVER_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer.Encode(request["text"].get_ref<const std::string&>(), options));
    return Json{{"ids", ids}};
  }
  if (!request.contains("ids")) return InvalidArgument("line: found neither \"text\" nor \"ids\", expected one of them");
  DROVER_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, Ids(request["ids"]));
  DROVER_ASSIGN_OR_RETURN(const bool skip, Flag(request, "skip_special_tokens", false));
  DROVER_ASSIGN_OR_RETURN(const std::string decoded, tokenizer.Decode(ids, skip));
  return Json{{"text", decoded}};
}

absl::StatusOr<Json> Render(const text::ChatTemplate& chat_template, const std::map<std::string, std::string>& tokens, const Json& request) {
  text::ChatContext context;
  context.variables = Json(tokens);
  for (const auto& [key, value] : request.items())
    if (key != "kwargs" && key != "now") context.variables[key] = value;
  if (request.contains("kwargs")) {
    if (!request["kwargs"].is_object()) return InvalidArgument("field kwargs: found no object, expected template variables");
    for (const auto& [key, value] : request["kwargs"].items()) context.variables[key] = value;
  }
  if (request.contains("now")) {
    if (!request["now"].is_string()) return InvalidArgument("field now: found no string, expected a time like 2025-03-09T14:05:06");
    context.now = request["now"].get<std::string>();
  }
  DROVER_ASSIGN_OR_RETURN(const std::string prompt, chat_template.Render(context, {.output_bytes = 64 << 20}));
  return Json{{"prompt", prompt}};
}

}  // namespace

int RunTokenizeLines(const text::Tokenizer& tokenizer, std::istream& in, std::ostream& out) {
  return RunLines(in, out, [&tokenizer](const Json& request) { return Tokenize(tokenizer, request); });
}

int RunRenderLines(const text::ChatTemplate& chat_template, const std::map<std::string, std::string>& special_tokens,
                   std::istream& in, std::ostream& out) {
  return RunLines(in, out, [&](const Json& request) { return Render(chat_template, special_tokens, request); });
}

absl::StatusOr<text::ModelText> OpenText(const std::string& path, const VocabularyReader& read_vocabulary) {
  if (std::filesystem::is_directory(path)) return text::LoadModelText(path);
  if (path.ends_with(".gguf")) {
    DROVER_ASSIGN_OR_RETURN(const Vocabulary vocabulary, read_vocabulary(path));
    return text::ModelTextFromVocabulary(vocabulary);
  }
  text::ModelText text;
  if (path.ends_with(".jinja") || path.ends_with(".jinja2")) {
    DROVER_ASSIGN_OR_RETURN(const std::string source, ReadFile(path, 1 << 20));
    absl::StatusOr<text::ChatTemplate> parsed = text::ChatTemplate::Parse(source);
    if (!parsed.ok()) return Annotate(parsed.status(), path);
    text.chat_template = *std::move(parsed);
    return text;
  }
  DROVER_ASSIGN_OR_RETURN(text.tokenizer, text::LoadTokenizerFile(path));
  return text;
}

}  // namespace drover
