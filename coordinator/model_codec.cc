// See model_codec.h.
#include "coordinator/model_codec.h"

#include <algorithm>
#include <utility>

#include "common/draw.h"
#include "common/mutex.h"
#include "text/grammar.h"
#include "text/stream_decoder.h"

namespace drover {
namespace {

// Reading a text costs some hundred times its bytes in memory. No prompt that fits a window has this many bytes for each of its
// tokens; small windows still get texts that /tokenize may be asked to count.
constexpr int64_t kBytesPerTokenMax = 64;
constexpr int64_t kPromptBytesMin = 1 << 20, kPromptBytesMax = 16 << 20;

// A text past a limit is the client's to mend; kResourceExhausted would tell it to send the same once more.
absl::StatusOr<std::vector<int32_t>> AsClientError(absl::StatusOr<std::vector<int32_t>> ids) {
  if (absl::IsResourceExhausted(ids.status())) return InvalidArgument(Message(ids.status()));
  return ids;
}

class DecoderStream final : public TextStream {
 public:
  DecoderStream(const text::Tokenizer& tokenizer, bool skip_special) : decoder_(tokenizer, skip_special) {}
  absl::StatusOr<std::string> Append(int32_t id) override {
    absl::StatusOr<std::string> text = decoder_.Push(id);
    if (absl::IsOutOfRange(text.status())) return "";  // a row of the model beyond the tokenizer's vocabulary has no text
    return text;
  }
  absl::StatusOr<std::string> Finish() override { return decoder_.Finish(); }

 private:
  text::StreamDecoder decoder_;
};

class ModelCodec final : public TextCodec {
 public:
  ModelCodec(text::ModelText model, text::TemplateMode mode, const ModelInfo& info)
      : model_(std::move(model)), mode_(mode), vocab_(info.vocab), end_ids_(info.end_ids),
        max_bytes_(std::clamp(info.max_model_len, kPromptBytesMin / kBytesPerTokenMax, kPromptBytesMax / kBytesPerTokenMax) * kBytesPerTokenMax) {}

  bool has_tokenizer() const override { return true; }
  bool has_chat_template() const override { return model_.chat_template.has_value(); }

  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, bool add_special, bool parse_special) const override {
    const bool parse = parse_special || mode_ == text::TemplateMode::kReference;
    return AsClientError(tokenizer().Encode(text, {.add_special_tokens = add_special, .parse_special = parse, .max_bytes = max_bytes_}));
  }

  absl::StatusOr<std::vector<int32_t>> EncodeChat(const ChatInput& chat) const override {
    const text::ChatTemplate* chat_template = model_.TemplateFor(chat.tools);
    if (chat_template == nullptr) return FailedPrecondition("this model has no chat template: send text or token ids");
    text::ChatContext context{.special_tokens = model_.special_tokens, .continue_final_message = chat.continue_final_message};
    if (chat.variables.is_object()) context.variables = chat.variables;
    context.variables["messages"] = chat.messages;
    if (!chat.tools.is_null()) context.variables["tools"] = chat.tools;
    context.variables["add_generation_prompt"] = chat.add_generation_prompt;
    return AsClientError(text::EncodeChat(tokenizer(), *chat_template, context, {.mode = mode_, .max_bytes = max_bytes_}));
  }

  absl::StatusOr<std::string> Decode(const std::vector<int32_t>& ids, bool skip_special) const override {
    return tokenizer().Decode(ids, skip_special);
  }

  absl::StatusOr<std::unique_ptr<TextStream>> NewStream(bool skip_special) const override {
    return std::make_unique<DecoderStream>(tokenizer(), skip_special);
  }

  std::string TokenText(int32_t id) const override {
    absl::StatusOr<std::string> bytes = tokenizer().IdToBytes(id);
    return bytes.ok() ? *std::move(bytes) : "";  // rows beyond the vocabulary have no text
  }

  absl::Status CheckGrammar(const GrammarText& grammar) const override {
    if (IsLastGood(grammar)) return absl::OkStatus();
    DROVER_ASSIGN_OR_RETURN(std::shared_ptr<const text::GrammarTokens> tokens, grammar_tokens());
    std::vector<uint32_t> allowed(static_cast<size_t>(MaskWords(tokens->vocab())));
    absl::StatusOr<std::unique_ptr<text::Grammar>> made = text::Grammar::Create(std::move(tokens), grammar);
    // The first mask too: whether anything fits, within the limits.
    const absl::Status status = made.ok() ? (*made)->Allow(allowed) : made.status();
    if (!status.ok()) return InvalidArgument(Message(status));
    MutexLock lock(mutex_);
    last_good_ = grammar;
    return status;
  }

 private:
  const text::Tokenizer& tokenizer() const { return *model_.tokenizer; }
  absl::StatusOr<std::shared_ptr<const text::GrammarTokens>> grammar_tokens() const {
    MutexLock lock(mutex_);
    if (grammar_tokens_ == nullptr) {
      DROVER_ASSIGN_OR_RETURN(grammar_tokens_, text::GrammarTokens::Create(tokenizer(), vocab_, end_ids_));
    }
    return grammar_tokens_;
  }

  bool IsLastGood(const GrammarText& grammar) const {
    MutexLock lock(mutex_);
    return last_good_ == grammar;
  }

  const text::ModelText model_;
  const text::TemplateMode mode_;
  const int64_t vocab_;
  const std::vector<int32_t> end_ids_;
  const int64_t max_bytes_;
  mutable Mutex mutex_;
  mutable std::optional<GrammarText> last_good_ ABSL_GUARDED_BY(mutex_);  // a request's choices all come with one
  mutable std::shared_ptr<const text::GrammarTokens> grammar_tokens_ ABSL_GUARDED_BY(mutex_);  // made for the first request with one
};

}  // namespace

std::unique_ptr<TextCodec> MakeModelCodec(text::ModelText model, text::TemplateMode mode, const ModelInfo& info) {
  if (!model.tokenizer) return MakeNoTextCodec();
  return std::make_unique<ModelCodec>(std::move(model), mode, info);
}

}  // namespace drover
