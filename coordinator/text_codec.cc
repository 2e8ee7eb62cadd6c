// The codec of a model without a tokenizer.
#include "coordinator/text_codec.h"

namespace drover {
namespace {

absl::Status NoTokenizer() {
  return FailedPrecondition("this model has no tokenizer: send token ids instead of text");
}

class NoTextCodec final : public TextCodec {
 public:
  bool has_tokenizer() const override { return false; }
  bool has_chat_template() const override { return false; }
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view, bool, bool) const override { return NoTokenizer(); }
  absl::StatusOr<std::vector<int32_t>> EncodeChat(const ChatInput&) const override { return NoTokenizer(); }
  absl::StatusOr<std::string> Decode(const std::vector<int32_t>&, bool) const override { return NoTokenizer(); }
  absl::StatusOr<std::unique_ptr<TextStream>> NewStream(bool) const override { return NoTokenizer(); }
  absl::Status CheckGrammar(const GrammarText&) const override { return NoTokenizer(); }
  std::string TokenText(int32_t) const override { return ""; }
};

}  // namespace

std::unique_ptr<TextCodec> MakeNoTextCodec() { return std::make_unique<NoTextCodec>(); }

}  // namespace drover
