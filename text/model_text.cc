// See model_text.h.
#include "text/model_text.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "common/file.h"

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

// "text" or {"content": "text"}.
std::optional<std::string> TokenContent(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) return value["content"].get<std::string>();
  return std::nullopt;
}

constexpr std::array<const char*, 7> kTokenNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                    "pad_token", "cls_token", "mask_token"};

// The first object that has the name decides, even with null.
std::map<std::string, std::string> SpecialTokens(const Json& config, const Json& map) {
  std::map<std::string, std::string> tokens;
  for (const char* name : kTokenNames) {
    const Json& from = config.contains(name) ? config : map;
    if (!from.contains(name)) continue;
    if (std::optional<std::string> content = TokenContent(from[name]); content.has_value()) tokens[name] = *std::move(content);
  }
  return tokens;
}

absl::Status AddTemplate(const std::string& name, const Json& source, ModelText& text) {
  if (!source.is_string()) return InvalidArgument("chat_template: found no text, expected a template");
  absl::StatusOr<ChatTemplate> parsed = ChatTemplate::Parse(source.get_ref<const std::string&>());
  if (!parsed.ok()) return Annotate(parsed.status(), Cat("chat_template \"", name, "\""));
  if (name == "default") {
    text.chat_template = *std::move(parsed);
  } else {
    text.named_templates.insert_or_assign(name, *std::move(parsed));
  }
  return absl::OkStatus();
}

// A text, or a list of {"name", "template"}.
absl::Status AddTemplates(const Json& value, ModelText& text) {
  if (value.is_null()) return absl::OkStatus();
  if (!value.is_array()) return AddTemplate("default", value, text);
  for (const Json& entry : value) {
    if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() || !entry.contains("template"))
      return InvalidArgument("chat_template: found an entry without name or template, expected both");
    DROVER_RETURN_IF_ERROR(AddTemplate(entry["name"].get<std::string>(), entry["template"], text));
  }
  return absl::OkStatus();
}

// The template in a file of its own stands over the one in a configuration.
absl::Status LoadTemplates(const std::filesystem::path& directory, const Json& tokenizer_config, ModelText& text) {
  if (const auto path = directory / "chat_template.jinja"; std::filesystem::exists(path)) {
    DROVER_ASSIGN_OR_RETURN(const std::string source, ReadFile(path.string(), 1 << 20));
    absl::StatusOr<ChatTemplate> parsed = ChatTemplate::Parse(source);
    if (!parsed.ok()) return Annotate(parsed.status(), path.string());
    text.chat_template = *std::move(parsed);
    return absl::OkStatus();
  }
  DROVER_ASSIGN_OR_RETURN(const Json own_file, ReadOptional(directory / "chat_template.json"));
  const Json& holder = own_file.contains("chat_template") ? own_file : tokenizer_config;
  if (!holder.contains("chat_template")) return absl::OkStatus();
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

template <class T>
std::optional<T> Number(const Json& config, const char* name) {
  if (!config.contains(name) || !config[name].is_number()) return std::nullopt;
  return config[name].get<T>();
}

GenerationDefaults ReadGeneration(const Json& config) {
  GenerationDefaults defaults;
  if (config.contains("do_sample") && config["do_sample"].is_boolean()) defaults.do_sample = config["do_sample"].get<bool>();
  defaults.temperature = Number<double>(config, "temperature");
  defaults.top_p = Number<double>(config, "top_p");
  defaults.min_p = Number<double>(config, "min_p");
  defaults.top_k = Number<int64_t>(config, "top_k");
  return defaults;
}

absl::Status LoadTokenizer(const std::filesystem::path& directory, ModelText& text) {
  for (const char* name : {"tokenizer.json", "tekken.json", "tokenizer.model", "tiktoken.model"}) {
    const auto path = directory / name;
    if (!std::filesystem::exists(path)) continue;
    DROVER_ASSIGN_OR_RETURN(text.tokenizer, LoadTokenizerFile(path.string()));
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

absl::StatusOr<Tokenizer> LoadTokenizerFile(const std::string& path) {
  const std::filesystem::path file(path);
  DROVER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kTokenizerBytesMax));
  const std::string name = file.filename().string();
  const auto load = [&]() -> absl::StatusOr<Tokenizer> {
    if (name.starts_with("tekken")) return Tokenizer::FromTekken(bytes);
    if (name.ends_with(".json")) return Tokenizer::FromJson(bytes);
    // A SentencePiece file begins with the tag of its first piece; lines of base64 never do.
    if (bytes.starts_with('\n')) return Tokenizer::FromSentencePiece(bytes);
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
  DROVER_RETURN_IF_ERROR(LoadTokenizer(folder, text));
  DROVER_ASSIGN_OR_RETURN(const Json tokenizer_config, ReadOptional(folder / "tokenizer_config.json"));
  DROVER_ASSIGN_OR_RETURN(const Json token_map, ReadOptional(folder / "special_tokens_map.json"));
  DROVER_ASSIGN_OR_RETURN(const Json generation, ReadOptional(folder / "generation_config.json"));
  DROVER_ASSIGN_OR_RETURN(const Json config, ReadOptional(folder / "config.json"));
  DROVER_RETURN_IF_ERROR(LoadTemplates(folder, tokenizer_config, text));
  text.special_tokens = SpecialTokens(tokenizer_config, token_map);
  text.generation = ReadGeneration(generation);
  AddEndIds(generation, text);
  if (text.end_ids.empty()) AddEndIds(config, text);
  if (const auto eos = text.special_tokens.find("eos_token"); eos != text.special_tokens.end() && text.tokenizer.has_value()) {
    const std::optional<int32_t> id = text.tokenizer->TokenId(eos->second);
    if (id.has_value() && std::ranges::find(text.end_ids, *id) == text.end_ids.end()) text.end_ids.push_back(*id);
  }
  return text;
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
