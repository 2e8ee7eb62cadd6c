// One output through a grammar, as tests look at it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/text/golden_text.h"
#include "text/grammar.h"

namespace drover::text {

class GrammarWalk {
 public:
  // Fails the test where the grammar cannot be made.
  GrammarWalk(const Tokenizer& tokenizer, std::shared_ptr<const GrammarTokens> tokens, GrammarText text);

  // The ids that may come next, ascending; fails the test on an error and on bits past the vocabulary.
  std::vector<int32_t> Allowed();
  bool Allows(int32_t id);
  absl::Status Accept(int32_t id);
  bool ended() const { return grammar_->ended(); }

  const std::vector<int32_t>& ids() const { return ids_; }
  // What the accepted ids print.
  std::string Text() const;

 private:
  const Tokenizer& tokenizer_;
  std::shared_ptr<const GrammarTokens> tokens_;
  std::unique_ptr<Grammar> grammar_;
  std::vector<int32_t> ids_;
};

inline GrammarText JsonSchema(std::string text) { return {GrammarKind::kJsonSchema, std::move(text)}; }
inline GrammarText Regex(std::string text) { return {GrammarKind::kRegex, std::move(text)}; }
inline GrammarText Lark(std::string text) { return {GrammarKind::kLark, std::move(text)}; }

// Tests that need no more than a small tokenizer.
class OnSmallTokenizer : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<Tokenizer> tokenizer = LoadFeature(RepositoryText() / "features/bytelevel_gpt2");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_.emplace(*std::move(tokenizer));
  }

  std::optional<Tokenizer> tokenizer_;
};

// Stops the test where they cannot be made.
std::shared_ptr<const GrammarTokens> MakeTokens(const Tokenizer& tokenizer, const std::vector<int32_t>& end_ids, int64_t more_ids = 0);

}  // namespace drover::text
