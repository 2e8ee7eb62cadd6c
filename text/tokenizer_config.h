// tokenizer_config.json, special_tokens_map.json and added_tokens.json beside a tokenizer file, read as transformers 5 reads them.
#pragma once

#include <map>
#include <string>

#include "common/json.h"
#include "common/status.h"

namespace drover::text {

struct TokenizerConfig {
  // bos_token, eos_token, ..., image_token and what else the model names, as templates see them.
  std::map<std::string, std::string> special_tokens;
  // What the tokenizer file itself does not say, for Tokenizer::FromJson and FromSentencePiece.
  std::string settings;
};

// special_tokens_map.json stands over tokenizer_config.json, and added_tokens.json counts, only where the latter has no
// `added_tokens_decoder`. Absent files are empty objects; members of the wrong type are left alone;
// too many tokens are RESOURCE_EXHAUSTED.
absl::StatusOr<TokenizerConfig> ReadTokenizerConfig(const Json& config, const Json& special_tokens_map, const Json& added_tokens);

}  // namespace drover::text
