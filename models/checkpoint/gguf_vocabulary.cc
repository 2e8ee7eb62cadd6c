// The vocabulary inside a GGUF header, bounded; what its tokens mean is text/'s business.
#include <algorithm>

#include "models/checkpoint/gguf_spec.h"

namespace drover {
namespace {

constexpr size_t kMaxTokens = 2'000'000;
constexpr size_t kMaxTokenBytes = 4096;

template <class T>
const T* Find(const GgufHeader& header, const std::string& key) {
  const auto it = header.metadata.find(key);
  return it == header.metadata.end() ? nullptr : std::get_if<T>(&it->second);
}

std::string Text(const GgufHeader& header, const std::string& key) {
  const auto* text = Find<std::string>(header, key);
  return text == nullptr ? std::string() : *text;
}

std::optional<bool> Flag(const GgufHeader& header, const std::string& key) {
  const auto* flag = Find<bool>(header, key);
  return flag == nullptr ? std::nullopt : std::optional<bool>(*flag);
}

absl::Status CheckLengths(std::string_view field, const std::vector<std::string>& list) {
  if (list.size() > kMaxTokens) return InvalidArgument(field, ": found ", list.size(), " entries, expected at most ", kMaxTokens);
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i].size() > kMaxTokenBytes)
      return InvalidArgument(field, "[", i, "]: found ", list[i].size(), " bytes, expected at most ", kMaxTokenBytes);
  return absl::OkStatus();
}

absl::Status CheckCount(std::string_view field, size_t found, size_t expected) {
  if (found == 0 || found == expected) return absl::OkStatus();
  return InvalidArgument("metadata tokenizer.ggml.", field, ": found ", found, " entries, expected ", expected, ", one a token");
}

absl::Status ReadTypes(const GgufHeader& header, Vocabulary& vocabulary) {
  const auto* types = Find<std::vector<int64_t>>(header, "tokenizer.ggml.token_type");
  if (types == nullptr) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(CheckCount("token_type", types->size(), vocabulary.tokens.size()));
  for (const int64_t type : *types) {
    if (type < 1 || type > 6) return InvalidArgument("metadata tokenizer.ggml.token_type: found ", type, ", expected 1 to 6");
    vocabulary.types.push_back(static_cast<TokenType>(type));
  }
  return absl::OkStatus();
}

absl::Status ReadIds(const GgufHeader& header, Vocabulary& vocabulary) {
  struct Id {
    std::string_view key;
    std::optional<int32_t>& value;
  };
  const Id ids[] = {{"bos_token_id", vocabulary.bos},          {"eos_token_id", vocabulary.eos},
                    {"unknown_token_id", vocabulary.unknown},  {"padding_token_id", vocabulary.padding},
                    {"eot_token_id", vocabulary.eot}};
  for (const Id& id : ids) {
    const auto* number = Find<int64_t>(header, Cat("tokenizer.ggml.", id.key));
    if (number == nullptr) continue;
    if (*number < 0 || *number >= static_cast<int64_t>(vocabulary.tokens.size()))
      return InvalidArgument("metadata tokenizer.ggml.", id.key, ": found ", *number, ", expected an id below ", vocabulary.tokens.size());
    id.value = static_cast<int32_t>(*number);
  }
  if (vocabulary.eos) vocabulary.end_ids.push_back(*vocabulary.eos);
  if (vocabulary.eot && vocabulary.eot != vocabulary.eos) vocabulary.end_ids.push_back(*vocabulary.eot);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<Vocabulary>> VocabularyFromGguf(const GgufHeader& header) {
  const auto* tokens = Find<std::vector<std::string>>(header, "tokenizer.ggml.tokens");
  if (tokens == nullptr) return std::optional<Vocabulary>();
  DROVER_RETURN_IF_ERROR(CheckLengths("metadata tokenizer.ggml.tokens", *tokens));
  Vocabulary vocabulary;
  vocabulary.tokens = *tokens;
  vocabulary.model = Text(header, "tokenizer.ggml.model");
  vocabulary.pre = Text(header, "tokenizer.ggml.pre");
  vocabulary.chat_template = Text(header, "tokenizer.chat_template");
  vocabulary.add_bos = Flag(header, "tokenizer.ggml.add_bos_token");
  vocabulary.add_eos = Flag(header, "tokenizer.ggml.add_eos_token");
  vocabulary.add_space_prefix = Flag(header, "tokenizer.ggml.add_space_prefix");
  if (const auto* merges = Find<std::vector<std::string>>(header, "tokenizer.ggml.merges")) {
    DROVER_RETURN_IF_ERROR(CheckLengths("metadata tokenizer.ggml.merges", *merges));
    vocabulary.merges = *merges;
  }
  if (const auto* scores = Find<std::vector<double>>(header, "tokenizer.ggml.scores")) {
    DROVER_RETURN_IF_ERROR(CheckCount("scores", scores->size(), vocabulary.tokens.size()));
    vocabulary.scores.assign(scores->begin(), scores->end());
  }
  DROVER_RETURN_IF_ERROR(ReadTypes(header, vocabulary));
  DROVER_RETURN_IF_ERROR(ReadIds(header, vocabulary));
  return std::optional<Vocabulary>(std::move(vocabulary));
}

}  // namespace drover
