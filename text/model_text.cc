// See model_text.h.
#include "text/model_text.h"

#include <algorithm>
#include <filesystem>

#include "common/file.h"
#include "text/tokenizer_config.h"

namespace drover::text {
namespace {

constexpr int64_t kTokenizerBytesMax = 64 << 20;
constexpr JsonLimits kConfigLimits = {.bytes = 16 << 20, .depth = 32, .elements = 500'000};

// An empty object where the file is absent.
absl::StatusOr<Json> ReadOptional(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return Json::object();
  DROVER_ASSIGN_OR_RETURN(Json json, ReadJsonFile(path.string(), kConfigLimits));
  if (!json.is_object()) return InvalidArgument(path.string(), ": found no JSON object, expected one");
  return json;
}

absl::Status AddTemplate(const std::string& name, const Json& source, ModelText& text) {
  if (!source.is_string()) return InvalidArgument("chat_template: found no text, expected a template");
  absl::StatusOr<ChatTemplate> parsed = ChatTemplate::Parse(source.get_ref<const std::string&>());
  if (!parsed.ok()) return Annotate(parsed.status(), Cat("chat_template \"", name, "\""));
  if (name == "default") {
    text.chat_template = *std::move(parsed);
    text.template_source = source.get<std::string>();
  } else {
    text.named_templates.insert_or_assign(name, *std::move(parsed));
  }
  return absl::OkStatus();
}

// A text, a list of {"name", "template"}, or an object of them by name.
absl::Status AddTemplates(const Json& value, ModelText& text) {
  if (value.is_null()) return absl::OkStatus();
  if (value.is_object()) {
    for (const auto& [name, source] : value.items()) DROVER_RETURN_IF_ERROR(AddTemplate(name, source, text));
    return absl::OkStatus();
  }
  if (!value.is_array()) return AddTemplate("default", value, text);
  for (const Json& entry : value) {
    if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() || !entry.contains("template"))
      return InvalidArgument("chat_template: found an entry without name or template, expected both");
    DROVER_RETURN_IF_ERROR(AddTemplate(entry["name"].get<std::string>(), entry["template"], text));
  }
  return absl::OkStatus();
}

// Templates in files of their own, by name.
std::map<std::string, std::filesystem::path> TemplateFiles(const std::filesystem::path& directory) {
  std::map<std::string, std::filesystem::path> files;
  if (const auto path = directory / "chat_template.jinja"; std::filesystem::exists(path)) files["default"] = path;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(directory / "additional_chat_templates", none))
    if (entry.path().extension() == ".jinja") files[entry.path().stem().string()] = entry.path();
  return files;
}

// Files of their own stand over all templates in a configuration.
absl::Status LoadTemplates(const std::filesystem::path& directory, const Json& tokenizer_config, ModelText& text) {
  const auto files = TemplateFiles(directory);
  for (const auto& [name, path] : files) {
    DROVER_ASSIGN_OR_RETURN(const std::string source, ReadFile(path.string(), 1 << 20));
    absl::Status added = AddTemplate(name, source, text);
    if (!added.ok()) return Annotate(added, path.string());
    if (name == "default") text.template_file = path.filename().string();
  }
  if (!files.empty()) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(const Json own_file, ReadOptional(directory / "chat_template.json"));
  const bool own = own_file.contains("chat_template");
  const Json& holder = own ? own_file : tokenizer_config;
  if (!holder.contains("chat_template")) return absl::OkStatus();
  text.template_file = own ? "chat_template.json" : "tokenizer_config.json";
  absl::Status added = AddTemplates(holder["chat_template"], text);
  return added.ok() ? added : Annotate(added, directory.string());
}

void AddEndIds(const Json& config, ModelText& text) {
  if (!config.contains("eos_token_id")) return;
  const Json& value = config["eos_token_id"];
  const Json ids = value.is_array() ? value : Json::array({value});
  for (const Json& id : ids) {
    if (!id.is_number_integer()) continue;
    const int64_t number = id.get<int64_t>();
    if (number < 0 || number > INT32_MAX) continue;
    if (std::ranges::find(text.end_ids, number) == text.end_ids.end()) text.end_ids.push_back(static_cast<int32_t>(number));
  }
}

absl::Status LoadTokenizer(const std::filesystem::path& directory, std::string_view settings, ModelText& text) {
  for (const char* name : {"tokenizer.json", "tekken.json", "tokenizer.model", "tiktoken.model"}) {
    const auto path = directory / name;
    if (!std::filesystem::exists(path)) continue;
    DROVER_ASSIGN_OR_RETURN(text.tokenizer, LoadTokenizerFile(path.string(), settings));
    text.tokenizer_file = name;
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace

const ChatTemplate* ModelText::TemplateFor(const Json& tools) const {
  const auto named = named_templates.find("tool_use");
  if (tools.is_array() && !tools.empty() && named != named_templates.end()) return &named->second;
  return chat_template.has_value() ? &*chat_template : nullptr;
}

absl::StatusOr<Tokenizer> LoadTokenizerFile(const std::string& path, std::string_view settings) {
  const std::filesystem::path file(path);
  DROVER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kTokenizerBytesMax));
  const std::string name = file.filename().string();
  const auto load = [&]() -> absl::StatusOr<Tokenizer> {
    if (name.starts_with("tekken")) return Tokenizer::FromTekken(bytes);
    if (name.ends_with(".json")) return Tokenizer::FromJson(bytes, settings);
    // A SentencePiece file begins with the tag of its first piece; lines of base64 never do.
    if (bytes.starts_with('\n')) return Tokenizer::FromSentencePiece(bytes, settings);
    DROVER_ASSIGN_OR_RETURN(const Json config, ReadOptional(file.parent_path() / "config.json"));
    if (!config.contains("pattern"))
      return Unimplemented("a tiktoken file does not hold its pattern and special tokens: expected a tokenizer.json, or a ",
                           "config.json with \"pattern\" and \"special_tokens\" beside it");
    return Tokenizer::FromTiktoken(bytes, config.dump(-1, ' ', false, Json::error_handler_t::replace));
  };
  absl::StatusOr<Tokenizer> tokenizer = load();
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), path);
  return tokenizer;
}

absl::StatusOr<ModelText> LoadModelText(const std::string& directory) {
  const std::filesystem::path folder(directory);
  ModelText text;
  DROVER_ASSIGN_OR_RETURN(const Json tokenizer_config, ReadOptional(folder / "tokenizer_config.json"));
  DROVER_ASSIGN_OR_RETURN(const Json token_map, ReadOptional(folder / "special_tokens_map.json"));
  DROVER_ASSIGN_OR_RETURN(const Json added_tokens, ReadOptional(folder / "added_tokens.json"));
  DROVER_ASSIGN_OR_RETURN(const Json generation, ReadOptional(folder / "generation_config.json"));
  DROVER_ASSIGN_OR_RETURN(const Json config, ReadOptional(folder / "config.json"));
  DROVER_RETURN_IF_ERROR(LoadTemplates(folder, tokenizer_config, text));
  // A tokenizer.json lists its added tokens itself.
  const bool listed = std::filesystem::exists(folder / "tokenizer.json");
  DROVER_ASSIGN_OR_RETURN(TokenizerConfig settings,
                          ReadTokenizerConfig(tokenizer_config, token_map, listed ? Json::object() : added_tokens));
  text.special_tokens = std::move(settings.special_tokens);
  DROVER_RETURN_IF_ERROR(LoadTokenizer(folder, settings.settings, text));
  AddEndIds(generation, text);
  if (text.end_ids.empty()) AddEndIds(config, text);
  if (const auto eos = text.special_tokens.find("eos_token"); eos != text.special_tokens.end() && text.tokenizer.has_value()) {
    const std::optional<int32_t> id = text.tokenizer->TokenId(eos->second);
    if (id.has_value() && std::ranges::find(text.end_ids, *id) == text.end_ids.end()) text.end_ids.push_back(*id);
  }
  return text;
}

absl::StatusOr<ModelText> LoadModelText(const std::string& directory, const std::optional<Vocabulary>& vocabulary) {
  if (vocabulary) return ModelTextFromVocabulary(*vocabulary);
  return directory.empty() ? ModelText{} : LoadModelText(directory);
}

std::vector<int32_t> ModelText::EndIdsAfter(std::vector<int32_t> first) const {
  for (const int32_t id : end_ids)
    if (std::ranges::find(first, id) == first.end()) first.push_back(id);
  return first;
}

absl::StatusOr<ModelText> ModelTextFromVocabulary(const Vocabulary& vocabulary) {
  ModelText text;
  DROVER_ASSIGN_OR_RETURN(text.tokenizer, Tokenizer::FromVocabulary(vocabulary));
  const auto name = [&](const char* key, std::optional<int32_t> id) {
    if (!id.has_value() || *id < 0 || static_cast<size_t>(*id) >= vocabulary.tokens.size()) return;
    text.special_tokens[key] = vocabulary.tokens[static_cast<size_t>(*id)];
  };
  name("bos_token", vocabulary.bos);
  name("eos_token", vocabulary.eos);
  name("unk_token", vocabulary.unknown);
  name("pad_token", vocabulary.padding);
  text.end_ids = vocabulary.end_ids;
  if (text.end_ids.empty() && vocabulary.eos.has_value()) text.end_ids.push_back(*vocabulary.eos);
  if (!vocabulary.chat_template.empty()) DROVER_RETURN_IF_ERROR(AddTemplate("default", vocabulary.chat_template, text));
  return text;
}

}  // namespace drover::text
