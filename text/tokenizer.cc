// Tokenizer over the C interface of the crate.
#include "text/tokenizer.h"

#include <cstring>
#include <utility>

#include "common/json.h"

namespace drover::text {
namespace {

// Values of `kind` in drover_text_tokenizer_new.
enum Kind : uint32_t { kTokenizerJson = 0, kGgufVocabulary = 1, kSentencePiece = 2, kTekken = 3, kTiktoken = 4 };

uint32_t Flags(const EncodeOptions& options, bool pair) {
  return (options.add_special_tokens ? 1u : 0u) | (options.parse_special ? 2u : 0u) | (pair ? 4u : 0u);
}

// Copies bytes as they are (the crate checks that they are UTF-8), with JSON's escapes.
void AppendJsonString(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out.push_back('"');
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (byte < 0x20) {
      out += "\\u00";
      out += {kHex[byte >> 4], kHex[byte & 15]};
      continue;
    }
    if (letter == '"' || letter == '\\') out.push_back('\\');
    out.push_back(letter);
  }
  out.push_back('"');
}

template <class T, class Append>
void AppendList(std::string& out, std::string_view name, const std::vector<T>& items, Append append) {
  out += Cat(",\"", name, "\":[");
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.push_back(',');
    append(out, items[i]);
  }
  out.push_back(']');
}

std::string VocabularyJson(const Vocabulary& vocabulary) {
  std::string out = "{\"model\":";
  AppendJsonString(out, vocabulary.model);
  out += ",\"pre\":";
  AppendJsonString(out, vocabulary.pre);
  AppendList(out, "tokens", vocabulary.tokens, [](std::string& to, const std::string& token) { AppendJsonString(to, token); });
  AppendList(out, "merges", vocabulary.merges, [](std::string& to, const std::string& merge) { AppendJsonString(to, merge); });
  AppendList(out, "scores", vocabulary.scores, [](std::string& to, float score) { to += Json(score).dump(); });
  AppendList(out, "types", vocabulary.types, [](std::string& to, TokenType type) { to += Cat(type); });
  const auto id = [&out](std::string_view name, std::optional<int32_t> value) {
    if (value.has_value()) out += Cat(",\"", name, "\":", *value);
  };
  const auto flag = [&out](std::string_view name, std::optional<bool> value) {
    if (value.has_value()) out += Cat(",\"", name, "\":", *value);
  };
  id("bos", vocabulary.bos);
  id("eos", vocabulary.eos);
  flag("add_bos", vocabulary.add_bos);
  flag("add_eos", vocabulary.add_eos);
  flag("add_space_prefix", vocabulary.add_space_prefix);
  return out + "}";
}

}  // namespace

absl::StatusOr<Tokenizer> Tokenizer::Load(uint32_t kind, std::string_view data, std::string_view config) {
  DroverTokenizer* handle = nullptr;
  DroverOwned out = {};
  const int32_t code = drover_text_tokenizer_new(kind, abi::Borrow(data), abi::Borrow(config), &handle, &out);
  DROVER_RETURN_IF_ERROR(abi::Take(code, out).status());
  Tokenizer tokenizer;
  tokenizer.handle_.reset(handle);
  const int32_t info_code = drover_text_info(handle, &out);
  DROVER_ASSIGN_OR_RETURN(const std::string info_text, abi::Take(info_code, out));
  DROVER_ASSIGN_OR_RETURN(const Json info, ParseJson(info_text, {.bytes = 256 << 20, .depth = 4, .elements = 10'000'000}));
  tokenizer.vocab_size_ = info["vocab_size"].get<int64_t>();
  tokenizer.kind_ = info["kind"].get<std::string>();
  for (const Json& token : info["special"])
    tokenizer.special_tokens_.push_back({token[0].get<int32_t>(), token[1].get<std::string>()});
  return tokenizer;
}

absl::StatusOr<Tokenizer> Tokenizer::FromJson(std::string_view json, std::string_view settings) {
  return Load(kTokenizerJson, json, settings);
}

absl::StatusOr<Tokenizer> Tokenizer::FromVocabulary(const Vocabulary& vocabulary) {
  return Load(kGgufVocabulary, VocabularyJson(vocabulary), {});
}

absl::StatusOr<Tokenizer> Tokenizer::FromSentencePiece(std::string_view model, std::string_view settings) {
  return Load(kSentencePiece, model, settings);
}

absl::StatusOr<Tokenizer> Tokenizer::FromTekken(std::string_view json) { return Load(kTekken, json, {}); }

absl::StatusOr<Tokenizer> Tokenizer::FromTiktoken(std::string_view ranks, std::string_view config_json) {
  return Load(kTiktoken, ranks, config_json);
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  DroverOwned out = {};
  const int32_t code = drover_text_encode(handle(), abi::Borrow(text), {}, Flags(options, false),
                                          static_cast<size_t>(options.max_bytes), &out);
  DROVER_ASSIGN_OR_RETURN(const std::string ids, abi::Take(code, out));
  return abi::UnpackIds(ids);
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::EncodePair(std::string_view first, std::string_view second,
                                                           const EncodeOptions& options) const {
  DroverOwned out = {};
  const int32_t code = drover_text_encode(handle(), abi::Borrow(first), abi::Borrow(second), Flags(options, true),
                                          static_cast<size_t>(options.max_bytes), &out);
  DROVER_ASSIGN_OR_RETURN(const std::string ids, abi::Take(code, out));
  return abi::UnpackIds(ids);
}

absl::StatusOr<std::string> Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string packed(ids.size_bytes(), '\0');
  if (!ids.empty()) std::memcpy(packed.data(), ids.data(), ids.size_bytes());
  DroverOwned out = {};
  const int32_t code = drover_text_decode(handle(), abi::Borrow(packed), skip_special, &out);
  return abi::Take(code, out);
}

std::optional<int32_t> Tokenizer::TokenId(std::string_view piece) const {
  const int64_t id = drover_text_token_id(handle(), abi::Borrow(piece));
  if (id < 0) return std::nullopt;
  return static_cast<int32_t>(id);
}

absl::StatusOr<std::string> Tokenizer::IdToPiece(int32_t id) const {
  DroverOwned out = {};
  const int32_t code = drover_text_piece(handle(), static_cast<uint32_t>(id), false, &out);
  return abi::Take(code, out);
}

absl::StatusOr<std::string> Tokenizer::IdToBytes(int32_t id) const {
  DroverOwned out = {};
  const int32_t code = drover_text_piece(handle(), static_cast<uint32_t>(id), true, &out);
  return abi::Take(code, out);
}

}  // namespace drover::text
