// See model_codec.h.
#include "coordinator/model_codec.h"

#include <algorithm>
#include <utility>

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
  ModelCodec(text::ModelText model, text::TemplateMode mode, int64_t max_model_len)
      : model_(std::move(model)), mode_(mode),
        max_bytes_(std::clamp(max_model_len, kPromptBytesMin / kBytesPerTokenMax, kPromptBytesMax / kBytesPerTokenMax) * kBytesPerTokenMax) {}

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

 private:
  const text::Tokenizer& tokenizer() const { return *model_.tokenizer; }
  const text::ModelText model_;
  const text::TemplateMode mode_;
  const int64_t max_bytes_;
};

}  // namespace

std::unique_ptr<TextCodec> MakeModelCodec(text::ModelText model, text::TemplateMode mode, int64_t max_model_len) {
  if (!model.tokenizer) return MakeNoTextCodec();
  return std::make_unique<ModelCodec>(std::move(model), mode, max_model_len);
}

}  // namespace drover
