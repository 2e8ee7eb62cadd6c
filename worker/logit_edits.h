// LogitEdits: what a request's biases, penalties and held-back ids do to the logits of its next token. Kept up to date token by
// token, so that a step costs no look at the whole history.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/draw.h"
#include "common/request.h"

namespace drover {

// Bias: once. Repetition: of every id of prompt and output. Penalty: presence + n·frequency of an id that was sampled n > 0 times;
// +inf of end ids before min_tokens.
class LogitEdits {
 public:
  LogitEdits() = default;
  // Those of the request's first token.
  explicit LogitEdits(const Request& request);
  // `id` was sampled: those of the next token.
  void Append(int32_t id);

  // No two have the same id; until the next Append.
  std::span<const LogitEdit> all() const { return edits_; }

 private:
  struct Tally {
    int64_t count = 0;  // how often the id was sampled
    bool held = false;
  };
  // The place of an id's edit; added where there is none.
  size_t PlaceOf(int32_t id);
  void SetPenalty(size_t place);

  float repetition_ = 1;
  double presence_ = 0, frequency_ = 0;
  int64_t held_for_ = 0;  // tokens that are still to come before end ids may be
  std::vector<LogitEdit> edits_;
  std::vector<Tally> tallies_;  // of each edit
  std::unordered_map<int32_t, size_t> places_;
};

}  // namespace drover
