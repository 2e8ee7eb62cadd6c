// One answer on its way to a client: token news in, pieces of text out.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/request.h"
#include "common/status.h"
#include "coordinator/stop_strings.h"
#include "coordinator/text_codec.h"

namespace drover {

struct ShownLogprob {
  int32_t id = 0;
  std::string text;
  double logprob = 0;
};

struct ShownToken {
  int32_t id = 0;
  std::string text;  // as log-probabilities show it; filled only with them
  std::optional<double> logprob;
  std::vector<ShownLogprob> top;
};

struct Usage {
  int64_t prompt_tokens = 0, completion_tokens = 0;
};

struct LogitRows {
  int64_t first_row = 0;
  std::vector<float> values;
};

// What a client is told. The piece with a finish reason is the last; there is exactly one for every accepted request.
struct Piece {
  RequestId id{};
  std::vector<int32_t> prompt;           // with the first piece, when it was asked for
  std::string text;
  std::vector<ShownToken> tokens;
  std::vector<float> prompt_logprobs;
  LogitRows logits;
  FinishReason finish = FinishReason::kNone;
  std::string stop_reason;               // the stop string that matched
  std::optional<int32_t> stop_token;     // the stop token id, end-of-sequence ids apart
  absl::Status error;                    // with kError and kCancelled
  Usage usage;                           // so far
  uint64_t seed = 0;
};

// Called on the coordinator's loop; must not block.
using Deliver = std::function<void(Piece)>;

struct AnswerRules {
  std::vector<std::string> stop;
  std::vector<int32_t> end_ids, eos_ids;  // end_ids: all that end; eos_ids: those that are no stop reason
  bool include_stop = false, show_logprobs = false;
  int64_t min_tokens = 0;  // before these no stop string is looked for
};

class Answer {
 public:
  // `stream` is null when the model has no tokenizer: the text stays empty.
  Answer(AnswerRules rules, std::unique_ptr<TextStream> stream, const TextCodec& codec);

  // Adds `event` to `piece`. True when the answer is over (piece.finish is set): by the event or by a stop string.
  absl::StatusOr<bool> Add(const TokenEvent& event, Piece& piece);
  int64_t tokens() const { return tokens_; }

 private:
  absl::Status AddToken(const TokenEvent& event, Piece& piece);
  ShownToken Show(const TokenEvent& event) const;

  AnswerRules rules_;
  std::unique_ptr<TextStream> stream_;
  const TextCodec& codec_;
  StopMatcher stops_;
  int64_t tokens_ = 0;
};

}  // namespace drover
