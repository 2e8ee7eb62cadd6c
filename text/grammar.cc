// Grammar over the C interface of the crate.
#include "text/grammar.h"

#include <cstring>
#include <string>
#include <utility>

namespace drover::text {
namespace {

constexpr int64_t kVocabMax = 4'000'000;

}  // namespace

absl::StatusOr<std::shared_ptr<const GrammarTokens>> GrammarTokens::Create(const Tokenizer& tokenizer, int64_t vocab,
                                                                           std::span<const int32_t> end_ids) {
  if (vocab <= 0 || vocab > kVocabMax) return InvalidArgument("vocab: found ", vocab, ", expected 1 to ", kVocabMax);
  std::string packed(end_ids.size_bytes(), '\0');
  if (!end_ids.empty()) std::memcpy(packed.data(), end_ids.data(), end_ids.size_bytes());
  DroverGrammarTokens* handle = nullptr;
  DroverOwned out = {};
  const int32_t code =
      drover_text_grammar_tokens_new(tokenizer.handle(), static_cast<uint32_t>(vocab), abi::Borrow(packed), &handle, &out);
  DROVER_RETURN_IF_ERROR(abi::Take(code, out).status());
  std::shared_ptr<GrammarTokens> tokens(new GrammarTokens);
  tokens->handle_.reset(handle);
  tokens->vocab_ = vocab;
  return tokens;
}

absl::StatusOr<std::unique_ptr<Grammar>> Grammar::Create(std::shared_ptr<const GrammarTokens> tokens, const GrammarText& text) {
  if (text.text.size() > kGrammarBytesMax)
    return ResourceExhausted("grammar: found ", text.text.size(), " bytes, expected at most ", kGrammarBytesMax);
  DroverGrammar* handle = nullptr;
  DroverOwned out = {};
  const int32_t code = drover_text_grammar_new(tokens->handle_.get(), static_cast<uint32_t>(text.kind), abi::Borrow(text.text), &handle, &out);
  DROVER_RETURN_IF_ERROR(abi::Take(code, out).status());
  std::unique_ptr<Grammar> grammar(new Grammar);
  grammar->tokens_ = std::move(tokens);
  grammar->handle_.reset(handle);
  return grammar;
}

absl::Status Grammar::Allow(std::span<uint32_t> allowed) {
  const int64_t words = MaskWords(tokens_->vocab());
  if (static_cast<int64_t>(allowed.size()) != words) return Internal("grammar: found ", allowed.size(), " words for the allowed ids, expected ", words);
  DroverOwned out = {};
  const int32_t code = drover_text_grammar_allow(handle_.get(), allowed.data(), allowed.size(), &out);
  return abi::Take(code, out).status();
}

absl::Status Grammar::Accept(int32_t id) {
  DroverOwned out = {};
  const int32_t code = drover_text_grammar_accept(handle_.get(), id, &out);
  return abi::Take(code, out).status();
}

bool Grammar::ended() const { return drover_text_grammar_ended(handle_.get()); }

}  // namespace drover::text
