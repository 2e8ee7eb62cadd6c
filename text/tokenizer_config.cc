// See tokenizer_config.h.
#include "text/tokenizer_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace drover::text {
namespace {

constexpr std::array<const char*, 7> kNamed = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
// Far above any model's; text/src/tokenizer.rs has the same bounds and one for the bytes.
constexpr size_t kMaxSpecialTokens = 10'000, kMaxAddedTokens = 100'000;

// "text" or {"content": "text", "lstrip": ...}; null for anything else. A token without "special" is not special.
Json Token(const Json& value) {
  if (value.is_string()) return {{"content", value}, {"special", true}};
  if (!value.is_object() || !value.contains("content") || !value["content"].is_string()) return nullptr;
  Json token = {{"content", value["content"]}};
  for (const char* flag : {"special", "lstrip", "rstrip", "single_word", "normalized"})
    if (value.contains(flag) && value[flag].is_boolean()) token[flag] = value[flag];
  return token;
}

// {"5": token} or {token: 5}, by id.
std::map<int64_t, Json> ById(const Json& decoder, const Json& encoder) {
  std::map<int64_t, Json> tokens;
  for (const auto& [key, value] : decoder.items()) {
    int64_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    const Json token = value.is_object() ? Token(value) : Json();
    if (error == std::errc() && end == key.data() + key.size() && !token.is_null()) tokens[id] = token;
  }
  for (const auto& [content, id] : encoder.items())
    if (id.is_number_integer()) tokens[id.get<int64_t>()] = {{"content", content}};
  return tokens;
}

bool IsModelsOwn(const std::string& name) {
  return name.ends_with("_token") && std::find(kNamed.begin(), kNamed.end(), name) == kNamed.end();
}

// Special tokens with a name, the model's own names after the usual ones, and then those without.
struct SpecialTokens {
  std::vector<std::pair<std::string, Json>> named;
  Json all = Json::array();
};

SpecialTokens FindSpecialTokens(const Json& config) {
  SpecialTokens tokens;
  const auto add = [&tokens](const std::string& name, const Json& value) {
    Json token = Token(value);
    if (token.is_null()) return;
    token["special"] = true;
    if (!name.empty()) tokens.named.emplace_back(name, token);
    tokens.all.push_back(std::move(token));
  };
  for (const char* name : kNamed)
    if (config.contains(name)) add(name, config[name]);
  for (const auto& [name, value] : config.items())
    if (IsModelsOwn(name)) add(name, value);
  const bool renamed = config.contains("extra_special_tokens") && !config["extra_special_tokens"].empty();
  const Json extra = config.value(renamed ? "extra_special_tokens" : "additional_special_tokens", Json());
  if (extra.is_object())
    for (const auto& [name, value] : extra.items()) add(name, value);
  if (extra.is_array())
    for (const Json& value : extra) add("", value);
  return tokens;
}

absl::Status CheckCount(std::string_view member, size_t found, size_t most) {
  if (found <= most) return absl::OkStatus();
  return ResourceExhausted("tokenizer_config.json: ", member, ": found ", found, " tokens, expected at most ", most);
}

}  // namespace

absl::StatusOr<TokenizerConfig> ReadTokenizerConfig(const Json& config, const Json& special_tokens_map, const Json& added_tokens) {
  Json merged = config;
  const bool decoder = config.contains("added_tokens_decoder") && config["added_tokens_decoder"].is_object();
  if (!decoder) merged.update(special_tokens_map);
  const SpecialTokens special = FindSpecialTokens(merged);
  const std::map<int64_t, Json> added = ById(decoder ? config["added_tokens_decoder"] : Json::object(), decoder ? Json::object() : added_tokens);
  DROVER_RETURN_IF_ERROR(CheckCount("special tokens", special.all.size(), kMaxSpecialTokens));
  DROVER_RETURN_IF_ERROR(CheckCount("added tokens", added.size(), kMaxAddedTokens));
  TokenizerConfig result;
  for (const auto& [name, token] : special.named) result.special_tokens[name] = token["content"].get<std::string>();
  Json settings = {{"added", Json::array()}, {"special", special.all}};
  std::set<std::string> special_contents;
  for (const Json& token : special.all) special_contents.insert(token["content"].get<std::string>());
  for (const auto& [id, token] : added) {
    settings["added"].push_back(token);
    if (special_contents.contains(token["content"].get<std::string>())) settings["added"].back()["special"] = true;
  }
  for (const char* name : {"add_bos_token", "add_eos_token"})
    if (config.contains(name) && config[name].is_boolean()) settings[name] = config[name];
  result.settings = settings.dump(-1, ' ', false, Json::error_handler_t::replace);
  return result;
}

}  // namespace drover::text
