// See answer.h.
#include "coordinator/answer.h"

#include <algorithm>

namespace drover {
namespace {

bool Contains(const std::vector<int32_t>& ids, int32_t id) { return std::find(ids.begin(), ids.end(), id) != ids.end(); }

}  // namespace

Answer::Answer(AnswerRules rules, std::unique_ptr<TextStream> stream, const TextCodec& codec)
    : rules_(std::move(rules)), stream_(std::move(stream)), codec_(codec), stops_(rules_.stop, rules_.include_stop) {}

ShownToken Answer::Show(const TokenEvent& event) const {
  ShownToken shown{.id = *event.token};
  if (!rules_.show_logprobs) return shown;
  shown.text = codec_.TokenText(shown.id);
  if (event.logprob) shown.logprob = event.logprob->logprob;
  for (const TokenLogprob& top : event.top) shown.top.push_back({top.id, codec_.TokenText(top.id), top.logprob});
  return shown;
}

absl::Status Answer::AddToken(const TokenEvent& event, Piece& piece) {
  ++tokens_;
  piece.tokens.push_back(Show(event));
  const int32_t id = *event.token;
  const bool ends = event.finish == FinishReason::kStop && Contains(rules_.end_ids, id);
  if (ends && !Contains(rules_.eos_ids, id)) piece.stop_token = id;
  if (stream_ == nullptr || (ends && !rules_.include_stop)) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(const std::string text, stream_->Append(id));
  piece.text += tokens_ < rules_.min_tokens ? text : stops_.Append(text);
  return absl::OkStatus();
}

absl::StatusOr<bool> Answer::Add(const TokenEvent& event, Piece& piece) {
  if (!event.prompt_logprobs.empty()) piece.prompt_logprobs = event.prompt_logprobs;
  if (!event.logits.empty()) piece.logits = {event.logits_first_row, event.logits};
  if (event.token) DROVER_RETURN_IF_ERROR(AddToken(event, piece));
  bool over = event.finish != FinishReason::kNone;
  if (over && !stops_.matched() && stream_ != nullptr) {
    DROVER_ASSIGN_OR_RETURN(const std::string rest, stream_->Finish());
    piece.text += stops_.Append(rest);
    if (!stops_.matched()) piece.text += stops_.Finish();
  }
  piece.finish = event.finish;
  if (stops_.matched()) {
    piece.finish = FinishReason::kStop;
    piece.stop_reason = *stops_.matched();
    over = true;
  }
  return over;
}

}  // namespace drover
