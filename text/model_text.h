// ModelText: everything about text in a model's files, read as the transformers library reads it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"
#include "common/status.h"
#include "common/vocabulary.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace drover::text {

struct ModelText {
  std::optional<Tokenizer> tokenizer;
  std::string tokenizer_file;                           // its name; empty without one and for GGUF
  std::optional<ChatTemplate> chat_template;            // the default one
  std::string template_file, template_source;           // of the default one; no file for GGUF
  std::map<std::string, ChatTemplate> named_templates;  // others, such as "tool_use"
  std::map<std::string, std::string> special_tokens;    // bos_token, eos_token, ... as templates see them
  // Every id that ends an answer: eos_token_id of generation_config.json, else of config.json, and the tokenizer's eos_token.
  std::vector<int32_t> end_ids;

  // `first`, then those end ids that are not among them.
  std::vector<int32_t> EndIdsAfter(std::vector<int32_t> first) const;
  // The template for a request: "tool_use" where there are tools and such a template. Null without any.
  const ChatTemplate* TemplateFor(const Json& tools) const;
};

// Reads tokenizer.json, tokenizer.model, tekken.json or tiktoken.model, and tokenizer_config.json, special_tokens_map.json,
// added_tokens.json, chat_template.jinja, additional_chat_templates/, chat_template.json, generation_config.json, config.json
// where present. A directory without a
// tokenizer is fine. Errors name the file.
absl::StatusOr<ModelText> LoadModelText(const std::string& directory);

// The same of a GGUF file's vocabulary.
absl::StatusOr<ModelText> ModelTextFromVocabulary(const Vocabulary& vocabulary);

// Of a GGUF file, which may have a vocabulary, or of a `directory` that is not empty.
absl::StatusOr<ModelText> LoadModelText(const std::string& directory, const std::optional<Vocabulary>& vocabulary);

// One tokenizer file; its kind follows from its name and first bytes. `settings` as in tokenizer_config.h.
absl::StatusOr<Tokenizer> LoadTokenizerFile(const std::string& path, std::string_view settings = {});

}  // namespace drover::text
