// See model_grammars.h.
#include "worker/model_grammars.h"

#include <utility>

#include "common/mutex.h"
#include "models/checkpoint/checkpoint.h"
#include "text/grammar.h"
#include "text/model_text.h"

namespace drover {
namespace {

using Tokens = std::shared_ptr<const text::GrammarTokens>;

absl::StatusOr<Tokens> LoadTokens(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(path));
  DROVER_ASSIGN_OR_RETURN(const text::ModelText text, text::LoadModelText(checkpoint.Folder(), checkpoint.vocabulary));
  if (!text.tokenizer) return FailedPrecondition(path, ": found no tokenizer, which a grammar needs");
  return text::GrammarTokens::Create(*text.tokenizer, checkpoint.spec.vocab, text.EndIdsAfter(checkpoint.spec.end_ids));
}

class TextGrammar final : public Grammar {
 public:
  explicit TextGrammar(std::unique_ptr<text::Grammar> grammar) : grammar_(std::move(grammar)) {}
  absl::Status Allow(std::span<uint32_t> allowed) override { return grammar_->Allow(allowed); }
  absl::Status Accept(int32_t id) override { return grammar_->Accept(id); }
  bool ended() const override { return grammar_->ended(); }

 private:
  const std::unique_ptr<text::Grammar> grammar_;
};

class ModelGrammars {
 public:
  explicit ModelGrammars(std::string path) : path_(std::move(path)) {}

  absl::StatusOr<std::unique_ptr<Grammar>> Make(const GrammarText& text) {
    DROVER_ASSIGN_OR_RETURN(Tokens tokens, LoadOnce());
    DROVER_ASSIGN_OR_RETURN(std::unique_ptr<text::Grammar> grammar, text::Grammar::Create(std::move(tokens), text));
    return std::make_unique<TextGrammar>(std::move(grammar));
  }

 private:
  absl::StatusOr<Tokens> LoadOnce() {
    MutexLock lock(mutex_);
    if (tokens_ == nullptr) {
      DROVER_ASSIGN_OR_RETURN(tokens_, LoadTokens(path_));
    }
    return tokens_;
  }

  const std::string path_;
  Mutex mutex_;
  Tokens tokens_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

GrammarMaker MakeModelGrammars(const std::string& path) {
  return [grammars = std::make_shared<ModelGrammars>(path)](const GrammarText& text) { return grammars->Make(text); };
}

}  // namespace drover
