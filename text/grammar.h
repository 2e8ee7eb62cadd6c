// Grammars over a model's token ids: a JSON schema, a regular expression or a Lark grammar, as the llguidance crate reads them,
// turned into the set of ids that may come next. Grammar texts come from clients: size, time and memory are bounded.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "common/draw.h"
#include "common/grammar.h"
#include "common/status.h"
#include "text/abi.h"
#include "text/tokenizer.h"

namespace drover::text {

// A tokenizer's ids as grammars see them. Immutable: any thread. Made once for a model, in about half a second and 60 MB for
// 128k ids.
class GrammarTokens {
 public:
  // `vocab`: ids of the model's logits, which may be more than the tokenizer has (those are never allowed). `end_ids` are allowed
  // where the output may end and nowhere else. kUnimplemented: a decoder in which a token's text depends on its neighbours.
  static absl::StatusOr<std::shared_ptr<const GrammarTokens>> Create(const Tokenizer& tokenizer, int64_t vocab,
                                                                     std::span<const int32_t> end_ids);
  int64_t vocab() const { return vocab_; }

 private:
  friend class Grammar;
  GrammarTokens() = default;

  std::unique_ptr<DroverGrammarTokens, abi::FreeGrammarTokens> handle_;
  int64_t vocab_ = 0;
};

// One output's progress through a grammar. What is allowed depends on the ids that came and on nothing else, so that a grammar
// may be made anew and fed with them. One thread at a time.
class Grammar {
 public:
  // kInvalidArgument: what is wrong with the grammar, in words for the client; kResourceExhausted: over its limits. Takes
  // milliseconds, a hostile grammar seconds (docs/adr/0008-grammars.md).
  static absl::StatusOr<std::unique_ptr<Grammar>> Create(std::shared_ptr<const GrammarTokens> tokens, const GrammarText& text);

  // The mask of the ids that may come next (common/draw.h): all MaskWords of the vocabulary are written. Text that the grammar leaves no
  // choice in is allowed only as the tokenizer would cut it. Once ended(): the end ids. An error leaves the grammar unusable:
  // kResourceExhausted: this place is over the limits; kFailedPrecondition: no token of the vocabulary can go on from here.
  absl::Status Allow(std::span<uint32_t> allowed);

  // id came. Any cut into tokens of a text that fits will do. kInvalidArgument: it may not come here; the grammar is then as it
  // was. After any other error it is unusable.
  absl::Status Accept(int32_t id);

  // Whether the output is complete and nothing but its end may follow; true as well once an end id came.
  bool ended() const;

 private:
  Grammar() = default;

  std::shared_ptr<const GrammarTokens> tokens_;
  std::unique_ptr<DroverGrammar, abi::FreeGrammar> handle_;
};

}  // namespace drover::text
