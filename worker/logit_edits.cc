// See logit_edits.h.
#include "worker/logit_edits.h"

#include <algorithm>
#include <limits>

namespace drover {

LogitEdits::LogitEdits(const Request& request)
    : repetition_(static_cast<float>(request.sampling.repetition_penalty)),
      presence_(request.sampling.presence_penalty),
      frequency_(request.sampling.frequency_penalty),
      held_for_(std::max<int64_t>(0, request.min_tokens)) {
  for (const auto& [id, bias] : request.sampling.logit_bias) edits_[PlaceOf(id)].bias += bias;
  if (repetition_ != 1)
    for (const int32_t id : request.prompt) edits_[PlaceOf(id)].repetition = repetition_;
  if (held_for_ == 0) return;
  for (const int32_t id : request.end_ids) {
    const size_t place = PlaceOf(id);
    tallies_[place].held = true;
    SetPenalty(place);
  }
}

void LogitEdits::Append(int32_t id) {
  if (repetition_ != 1 || presence_ != 0 || frequency_ != 0) {
    const size_t place = PlaceOf(id);
    edits_[place].repetition = repetition_;
    ++tallies_[place].count;
    SetPenalty(place);
  }
  if (held_for_ == 0 || --held_for_ > 0) return;
  for (size_t place = 0; place < tallies_.size(); ++place) {
    tallies_[place].held = false;
    SetPenalty(place);
  }
}

size_t LogitEdits::PlaceOf(int32_t id) {
  const auto [it, added] = places_.try_emplace(id, edits_.size());
  if (added) {
    edits_.push_back({.id = id});
    tallies_.emplace_back();
  }
  return it->second;
}

void LogitEdits::SetPenalty(size_t place) {
  const Tally& tally = tallies_[place];
  const double penalty = tally.count == 0 ? 0 : presence_ + frequency_ * static_cast<double>(tally.count);
  edits_[place].penalty = tally.held ? std::numeric_limits<float>::infinity() : static_cast<float>(penalty);
}

}  // namespace drover
