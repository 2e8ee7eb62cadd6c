// Tokenizer: text to token ids and back, exactly as the model's reference tokenizer does it. What a file asks for and this
// cannot represent is refused at load, by name (kUnimplemented). Immutable: any thread may call any const method.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "common/vocabulary.h"
#include "text/abi.h"

namespace drover::text {

struct EncodeOptions {
  bool add_special_tokens = true;  // those the model wants around a text, such as BOS
  bool parse_special = false;      // special tokens spelled in the text become their ids
  int64_t max_bytes = 16 << 20;    // of the text; kResourceExhausted above
};

struct SpecialToken {
  int32_t id = 0;
  std::string content;
};

class Tokenizer {
 public:
  // A Hugging Face tokenizer.json. Truncation and padding of the file are ignored. `settings` are those of tokenizer_config.h,
  // or nothing; the file itself decides on BOS and EOS.
  static absl::StatusOr<Tokenizer> FromJson(std::string_view json, std::string_view settings = {});
  // The vocabulary of a GGUF file: models "gpt2" and "llama"; an unknown pre-tokenizer name is refused.
  static absl::StatusOr<Tokenizer> FromVocabulary(const Vocabulary& vocabulary);
  // A SentencePiece .model file (BPE or unigram). BOS is added unless `settings` say otherwise, EOS is not.
  static absl::StatusOr<Tokenizer> FromSentencePiece(std::string_view model, std::string_view settings = {});
  // Mistral's tekken.json.
  static absl::StatusOr<Tokenizer> FromTekken(std::string_view json);
  // Lines of "base64 rank" with {"pattern", "special_tokens": {name: id}, "bos", "nfc"} as `config_json`.
  static absl::StatusOr<Tokenizer> FromTiktoken(std::string_view ranks, std::string_view config_json);

  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, const EncodeOptions& options = {}) const;
  // Two texts as one input, with the special tokens between them.
  absl::StatusOr<std::vector<int32_t>> EncodePair(std::string_view first, std::string_view second, const EncodeOptions& options) const;
  // kOutOfRange for an id that is not in the vocabulary.
  absl::StatusOr<std::string> Decode(std::span<const int32_t> ids, bool skip_special) const;

  // One past the largest id.
  int64_t VocabSize() const { return vocab_size_; }
  // For people: "BPE", "BPE with byte fallback", "unigram", ...
  const std::string& kind() const { return kind_; }
  std::optional<int32_t> TokenId(std::string_view piece) const;
  // The token as the vocabulary spells it.
  absl::StatusOr<std::string> IdToPiece(int32_t id) const;
  // What the token stands for in text; may be a part of a character.
  absl::StatusOr<std::string> IdToBytes(int32_t id) const;
  // By id.
  const std::vector<SpecialToken>& special_tokens() const { return special_tokens_; }

  // For the other classes of this folder.
  const DroverTokenizer* handle() const { return handle_.get(); }

 private:
  static absl::StatusOr<Tokenizer> Load(uint32_t kind, std::string_view data, std::string_view config);
  Tokenizer() = default;

  std::unique_ptr<DroverTokenizer, abi::FreeTokenizer> handle_;
  int64_t vocab_size_ = 0;
  std::string kind_;
  std::vector<SpecialToken> special_tokens_;
};

}  // namespace drover::text
