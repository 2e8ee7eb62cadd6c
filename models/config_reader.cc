// See config_reader.h.
#include "models/config_reader.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace drover {
namespace {

// Keys without effect on what a served model computes: training, bookkeeping of the library, defaults of generation that the
// server takes from generation_config.json or from the request. Keys that begin with an underscore are private notes.
constexpr std::array<std::string_view, 75> kIgnored = {
    "add_cross_attention", "attention_dropout", "auto_map", "bad_words_ids", "begin_suppress_tokens",
    "cache_implementation", "chunk_size_feed_forward", "cross_attention_hidden_size", "decoder_start_token_id",
    "diversity_penalty", "do_sample", "dtype", "attention_probs_dropout_prob", "attn_pdrop", "hidden_dropout_prob", "classifier_dropout", "early_stopping", "embd_pdrop", "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty", "finetuning_task", "for_llm_compressor", "forced_bos_token_id",
    "forced_eos_token_id", "gradient_checkpointing", "hidden_dropout", "id2label", "initializer_range", "is_decoder",
    "is_encoder_decoder", "is_llama_config", "label2id", "length_penalty", "max_length", "min_length", "model_type",
    "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "output_attentions",
    "output_hidden_states", "output_router_logits", "output_scores", "pad_token_id", "prefix", "pretraining_tp",
    "problem_type", "pruned_heads", "remove_invalid_values", "repetition_penalty", "resid_pdrop", "return_dict",
    "return_dict_in_generate", "router_aux_loss_coef", "router_jitter_noise", "sep_token_id", "suppress_tokens",
    "task_specific_params", "temperature", "tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class", "top_k", "top_p",
    "torch_dtype", "torchscript", "transformers.js_config", "transformers_version", "typical_p", "unk_token_id",
    "unsloth_fixed", "unsloth_version", "use_bfloat16", "use_cache",
};

constexpr int64_t kListEntries = 4096;

std::string Shorten(std::string text) {
  constexpr size_t kShown = 60;
  return text.size() <= kShown ? text : text.substr(0, kShown) + "...";
}

std::string Show(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array() && value.size() > 8) return Cat("a list of ", value.size());
  return Shorten(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

bool IsInt(const Json& value, IntRange range) {
  if (value.is_number_unsigned())
    return value.get<uint64_t>() <= static_cast<uint64_t>(range.highest) && value.get<int64_t>() >= range.lowest;
  return value.is_number_integer() && value.get<int64_t>() >= range.lowest && value.get<int64_t>() <= range.highest;
}

std::string Expected(IntRange range) { return Cat("an integer from ", range.lowest, " to ", range.highest); }

}  // namespace

ConfigReader::ConfigReader(Json object, std::string path) : object_(std::move(object)), path_(std::move(path)) {
  if (!object_.is_object()) status_ = InvalidArgument(path_, "config: found ", Show(object_), ", expected an object");
}

void ConfigReader::Alias(std::string_view key, std::string_view spelled) {
  if (object_.is_object() && object_.contains(std::string(spelled))) aliases_.emplace(key, spelled);
}

void ConfigReader::Assume(std::string_view key, Json value) {
  if (object_.is_object()) object_.emplace(std::string(Spelled(key)), std::move(value));
}

std::string_view ConfigReader::Spelled(std::string_view key) const {
  const auto it = aliases_.find(key);
  return it == aliases_.end() ? key : it->second;
}

bool ConfigReader::Has(std::string_view key) const {
  if (!object_.is_object()) return false;
  const auto it = object_.find(std::string(Spelled(key)));
  return it != object_.end() && !it->is_null();
}

bool ConfigReader::IsNull(std::string_view key) const {
  if (!object_.is_object()) return false;
  const auto it = object_.find(std::string(Spelled(key)));
  return it != object_.end() && it->is_null();
}

bool ConfigReader::IsZero(std::string_view key) {
  const Json* value = Find(key);
  return value != nullptr && value->is_number() && value->get<double>() == 0;
}

const Json* ConfigReader::Find(std::string_view key) {
  read_.emplace(Spelled(key));
  if (!Has(key)) return nullptr;
  return &*object_.find(std::string(Spelled(key)));
}

void ConfigReader::Fail(std::string_view key, std::string_view found, std::string_view expected) {
  if (status_.ok()) status_ = InvalidArgument(path_, Spelled(key), ": found ", found, ", expected ", expected);
}

void ConfigReader::FailFound(std::string_view key, const Json& value, std::string_view expected) {
  Fail(key, Show(value), expected);
}

std::optional<int64_t> ConfigReader::MaybeInt(std::string_view key, IntRange range) {
  const Json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (IsInt(*value, range)) return value->get<int64_t>();
  FailFound(key, *value, Expected(range));
  return range.lowest;
}

int64_t ConfigReader::IntOr(std::string_view key, int64_t fallback, IntRange range) {
  return MaybeInt(key, range).value_or(fallback);
}

int64_t ConfigReader::Int(std::string_view key, IntRange range) {
  const std::optional<int64_t> value = MaybeInt(key, range);
  if (!value) Fail(key, "nothing", Expected(range));
  return value.value_or(range.lowest);
}

std::optional<double> ConfigReader::MaybeNumber(std::string_view key) {
  const Json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_number() && std::isfinite(value->get<double>()) && value->get<double>() > 0) return value->get<double>();
  FailFound(key, *value, "a finite number above 0");
  return 1;
}

double ConfigReader::NumberOr(std::string_view key, double fallback) { return MaybeNumber(key).value_or(fallback); }

std::optional<double> ConfigReader::NumberOrNull(std::string_view key, double fallback) {
  const std::optional<double> value = MaybeNumber(key);
  return value || IsNull(key) ? value : std::optional(fallback);
}

double ConfigReader::Number(std::string_view key) {
  const std::optional<double> value = MaybeNumber(key);
  if (!value) Fail(key, "nothing", "a finite number above 0");
  return value.value_or(1);
}

bool ConfigReader::BoolOr(std::string_view key, bool fallback) {
  const Json* value = Find(key);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  FailFound(key, *value, "true or false");
  return fallback;
}

bool ConfigReader::SwitchOr(std::string_view key, bool fallback) {
  const Json* value = Find(key);
  return value != nullptr && value->is_number_integer() ? value->get<int64_t>() != 0 : BoolOr(key, fallback);
}

void ConfigReader::RequireFalse(std::string_view key) {
  if (BoolOr(key, false)) Fail(key, "true", "false (true is not served)");
}

std::string ConfigReader::StringOr(std::string_view key, std::string_view fallback) {
  const Json* value = Find(key);
  if (value == nullptr) return std::string(fallback);
  if (value->is_string()) return value->get<std::string>();
  FailFound(key, *value, "a string");
  return std::string(fallback);
}

std::vector<int64_t> ConfigReader::IntList(std::string_view key, IntRange range) {
  const Json* value = Find(key);
  if (value == nullptr) return {};
  if (IsInt(*value, range)) return {value->get<int64_t>()};
  std::vector<int64_t> list;
  if (value->is_array() && static_cast<int64_t>(value->size()) <= kListEntries) {
    for (const Json& entry : *value)
      if (IsInt(entry, range)) list.push_back(entry.get<int64_t>());
    if (list.size() == value->size()) return list;
  }
  FailFound(key, *value, Cat(Expected(range), " or a list of such"));
  return {};
}

std::vector<std::string> ConfigReader::StringList(std::string_view key) {
  const Json* value = Find(key);
  if (value == nullptr) return {};
  std::vector<std::string> list;
  if (value->is_array() && static_cast<int64_t>(value->size()) <= kListEntries) {
    for (const Json& entry : *value)
      if (entry.is_string()) list.push_back(entry.get<std::string>());
    if (list.size() == value->size()) return list;
  }
  FailFound(key, *value, "a list of strings");
  return {};
}

std::vector<double> ConfigReader::NumberList(std::string_view key) {
  const Json* value = Find(key);
  if (value == nullptr) return {};
  std::vector<double> list;
  if (value->is_array() && static_cast<int64_t>(value->size()) <= kListEntries) {
    for (const Json& entry : *value)
      if (entry.is_number() && std::isfinite(entry.get<double>()) && entry.get<double>() > 0) list.push_back(entry.get<double>());
    if (list.size() == value->size()) return list;
  }
  FailFound(key, *value, "a list of finite numbers above 0");
  return {};
}

ConfigReader* ConfigReader::Object(std::string_view key) {
  const Json* value = Find(key);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) {
    FailFound(key, *value, "an object");
    return nullptr;
  }
  std::unique_ptr<ConfigReader>& child = children_[std::string(Spelled(key))];
  if (!child) child = std::make_unique<ConfigReader>(*value, Cat(path_, key, "."));
  return child.get();
}

std::vector<std::string> ConfigReader::Keys() const {
  std::vector<std::string> keys;
  if (!object_.is_object()) return keys;
  for (const auto& [key, value] : object_.items()) keys.push_back(key);
  return keys;
}

void ConfigReader::Ignore(std::string_view key) { read_.emplace(key); }

void ConfigReader::CollectUnread(std::vector<std::string>& keys) const {
  if (!object_.is_object()) return;
  for (const auto& [key, value] : object_.items()) {
    const bool known = std::find(kIgnored.begin(), kIgnored.end(), key) != kIgnored.end();
    if (value.is_null() || known || key.empty() || key.front() == '_' || read_.contains(key)) continue;
    keys.push_back(Cat(path_, Shorten(key), " = ", Show(value)));
  }
  for (const auto& [key, child] : children_) child->CollectUnread(keys);
}

absl::Status ConfigReader::FirstError() const {
  DROVER_RETURN_IF_ERROR(status_);
  for (const auto& [key, child] : children_) DROVER_RETURN_IF_ERROR(child->FirstError());
  return absl::OkStatus();
}

absl::Status ConfigReader::Finish() const {
  DROVER_RETURN_IF_ERROR(FirstError());
  std::vector<std::string> unread;
  CollectUnread(unread);
  if (unread.empty()) return absl::OkStatus();
  std::string list = unread[0];
  for (size_t i = 1; i < unread.size() && i < 5; ++i) list += "; " + unread[i];
  if (unread.size() > 5) list += Cat("; and ", unread.size() - 5, " more");
  return InvalidArgument("config key with an unknown meaning: ", list);
}

}  // namespace drover
