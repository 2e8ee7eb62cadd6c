// Tokenizer and chat template of a model, as the text side loads them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/vocabulary.h"

namespace drover {

struct NamedToken {
  int32_t id = 0;
  std::string text;  // empty: not in the vocabulary, or there is none
};

struct TextFacts {
  std::string error;      // why the text side cannot be used; nothing else is known then
  std::string tokenizer;  // the file, or "GGUF metadata (gpt2, llama-bpe)"; empty: none
  std::string kind;       // "BPE with byte fallback"
  int64_t vocabulary = 0, special_tokens = 0;
  std::map<std::string, std::string> roles;  // bos_token, eos_token, ...
  std::vector<NamedToken> ends;              // that end an answer
  std::string template_from, template_start; // empty: no template; it compiles
  int64_t template_bytes = 0;
  std::vector<std::string> named_templates;  // besides the default one
};

// Of a directory, or of a GGUF file's vocabulary. `end_ids`: what the config names besides.
TextFacts ReadTextFacts(const std::string& folder, const std::vector<int32_t>& end_ids);
TextFacts ReadTextFacts(const std::optional<Vocabulary>& vocabulary, const std::vector<int32_t>& end_ids);

}  // namespace drover
