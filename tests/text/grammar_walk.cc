// See grammar_walk.h.
#include "tests/text/grammar_walk.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace drover::text {

GrammarWalk::GrammarWalk(const Tokenizer& tokenizer, std::shared_ptr<const GrammarTokens> tokens, GrammarText text)
    : tokenizer_(tokenizer), tokens_(std::move(tokens)) {
  absl::StatusOr<std::unique_ptr<Grammar>> grammar = Grammar::Create(tokens_, text);
  EXPECT_TRUE(grammar.ok()) << text.text << ": " << grammar.status();
  grammar_ = *std::move(grammar);
}

std::vector<int32_t> GrammarWalk::Allowed() {
  std::vector<uint32_t> words(static_cast<size_t>(MaskWords(tokens_->vocab())), 0xffffffffu);
  const absl::Status status = grammar_->Allow(words);
  EXPECT_TRUE(status.ok()) << Text() << ": " << status;
  std::vector<int32_t> ids;
  for (size_t id = 0; status.ok() && id < words.size() * 32; ++id)
    if ((words[id / 32] >> (id % 32) & 1) != 0) ids.push_back(static_cast<int32_t>(id));
  EXPECT_TRUE(ids.empty() || ids.back() < tokens_->vocab());
  return ids;
}

bool GrammarWalk::Allows(int32_t id) {
  const std::vector<int32_t> ids = Allowed();
  return std::ranges::binary_search(ids, id);
}

absl::Status GrammarWalk::Accept(int32_t id) {
  DROVER_RETURN_IF_ERROR(grammar_->Accept(id));
  ids_.push_back(id);
  return absl::OkStatus();
}

std::string GrammarWalk::Text() const {
  const absl::StatusOr<std::string> text = tokenizer_.Decode(ids_, true);
  return text.ok() ? *text : Message(text.status());
}

std::shared_ptr<const GrammarTokens> MakeTokens(const Tokenizer& tokenizer, const std::vector<int32_t>& end_ids, int64_t more_ids) {
  auto tokens = GrammarTokens::Create(tokenizer, tokenizer.VocabSize() + more_ids, end_ids);
  EXPECT_TRUE(tokens.ok()) << tokens.status();
  return *std::move(tokens);
}

}  // namespace drover::text
