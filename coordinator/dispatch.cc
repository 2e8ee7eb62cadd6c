// See dispatch.h.
#include "coordinator/dispatch.h"

#include <algorithm>
#include <utility>

namespace drover {

bool Dispatcher::any_ready() const {
  return std::any_of(targets_.begin(), targets_.end(), [](const auto& t) { return !t.second.paused; });
}

void Dispatcher::Submit(Submission submission, TimePoint now) {
  const absl::Status admitted = Admit({draining_, any_ready(), waiting(), limits_.waiting_max});
  if (!admitted.ok()) {
    metrics_.Refused(admitted.code());
    submission.deliver({.finish = FinishReason::kError, .error = admitted});
    return;
  }
  const RequestId id = submission.request.id;
  Answer answer(submission.rules, std::move(submission.stream), codec_);
  flights_.emplace(id, Flight{std::move(submission), std::move(answer)});
  queue_.push_back(id);
  Pump(now);
}

void Dispatcher::Pump(TimePoint now) {
  while (!queue_.empty()) {
    std::vector<GroupLoad> loads;
    for (const auto& [name, target] : targets_) loads.push_back({name, !target.paused, target.in_flight, target.slots});
    const std::optional<std::string> group = ChooseGroup(loads);
    if (!group) return;
    Flight& flight = flights_.at(queue_.front());
    queue_.pop_front();
    Target& target = targets_.at(*group);
    ++target.in_flight;
    flight.group = *group;
    flight.submitted = now;
    send_(*group, target.epoch, flight.submission.request);
  }
}

void Dispatcher::End(Flights::iterator at, Piece piece, TimePoint now) {
  Flight flight = std::move(at->second);
  const RequestId id = at->first;
  flights_.erase(at);
  if (flight.group.empty()) {
    std::erase(queue_, id);
  } else if (const auto target = targets_.find(flight.group); target != targets_.end()) {
    --target->second.in_flight;
  }
  piece.id = id;
  piece.usage = {static_cast<int64_t>(flight.submission.request.prompt.size()), flight.answer.tokens()};
  piece.seed = flight.submission.request.sampling.seed;
  metrics_.Finished({.reason = piece.finish,
                     .prompt_tokens = piece.usage.prompt_tokens,
                     .output_tokens = piece.usage.completion_tokens,
                     .max_tokens = flight.submission.request.max_tokens,
                     .arrived = flight.submission.arrived,
                     .submitted = flight.submitted,
                     .first_token = flight.first_token,
                     .ended = now});
  flight.submission.deliver(std::move(piece));
  Pump(now);
}

void Dispatcher::Fail(RequestId id, const absl::Status& why, FinishReason reason, TimePoint now) {
  const auto flight = flights_.find(id);
  if (flight == flights_.end()) return;
  if (const auto target = targets_.find(flight->second.group); target != targets_.end())
    send_(target->first, target->second.epoch, CancelOrder{id});
  End(flight, {.finish = reason, .error = why}, now);
}

void Dispatcher::Cancel(RequestId id, const absl::Status& why, TimePoint now) {
  Fail(id, why, FinishReason::kCancelled, now);
}

bool Dispatcher::Resubmit(Flight& flight, RequestId id) {
  if (flight.heard || flight.resubmits >= limits_.resubmits_max) return false;
  ++flight.resubmits;
  flight.group.clear();
  queue_.push_front(id);
  return true;
}

void Dispatcher::HearToken(Flights::iterator at, const TokenEvent& event, TimePoint now) {
  Flight& flight = at->second;
  const RequestId id = at->first;
  if (event.not_taken) {
    Target& target = targets_.at(flight.group);
    if (!Resubmit(flight, id)) return End(at, {.finish = FinishReason::kError, .error = Unavailable(event.error)}, now);
    --target.in_flight;
    return Pump(now);
  }
  if (event.finish == FinishReason::kError || event.finish == FinishReason::kCancelled) {
    const std::string text = event.error.empty() ? "the group ended the request" : event.error;
    return End(at, {.finish = FinishReason::kError, .error = event.bad_request ? InvalidArgument(text) : Internal(text)}, now);
  }
  if (event.token && event.position < flight.answer.tokens()) return;  // heard before
  if (event.token && event.position > flight.answer.tokens())
    return Fail(id, Internal("token ", flight.answer.tokens(), " was skipped"), FinishReason::kError, now);
  if (event.token) {
    metrics_.Token(flight.submission.arrived, flight.last_token, now);
    if (flight.first_token == TimePoint{}) flight.first_token = now;
    flight.last_token = now;
  }
  Piece piece;
  if (std::exchange(flight.submission.want_prompt, false)) piece.prompt = flight.submission.request.prompt;
  const absl::StatusOr<bool> over = flight.answer.Add(event, piece);
  if (!over.ok()) return Fail(id, over.status(), FinishReason::kError, now);
  if (*over) {
    if (event.finish == FinishReason::kNone) send_(flight.group, targets_.at(flight.group).epoch, CancelOrder{id});
    return End(at, std::move(piece), now);
  }
  piece.id = id;
  piece.usage = {static_cast<int64_t>(flight.submission.request.prompt.size()), flight.answer.tokens()};
  piece.seed = flight.submission.request.sampling.seed;
  flight.heard = true;
  flight.submission.deliver(std::move(piece));
}

void Dispatcher::OnTokens(const std::string& group, Epoch epoch, std::vector<TokenEvent> events, TimePoint now) {
  const auto target = targets_.find(group);
  if (target == targets_.end() || target->second.epoch != epoch) return;
  for (const TokenEvent& event : events) {
    const auto flight = flights_.find(event.id);
    if (flight == flights_.end() || flight->second.group != group) continue;  // ended here already
    HearToken(flight, event, now);
  }
}

void Dispatcher::OnGroupReady(const std::string& group, Epoch epoch, int64_t slots, TimePoint now) {
  targets_[group] = {.epoch = epoch, .slots = slots + limits_.lookahead};
  Pump(now);
}

void Dispatcher::OnGroupLost(const std::string& group, const std::string& reason, TimePoint now) {
  if (targets_.erase(group) == 0) return;
  if (targets_.empty()) no_group_since_ = now;
  std::vector<RequestId> hit;
  for (const auto& [id, flight] : flights_)
    if (flight.group == group) hit.push_back(id);
  std::reverse(hit.begin(), hit.end());  // put back in front in the order of their ids
  for (const RequestId id : hit) {
    Flight& flight = flights_.at(id);
    if (Resubmit(flight, id)) continue;
    flight.group.clear();
    Fail(id, Unavailable("the group that served this request was lost: ", reason), FinishReason::kError, now);
  }
  Pump(now);
}

void Dispatcher::SetPaused(const std::string& group, bool paused, TimePoint now) {
  const auto target = targets_.find(group);
  if (target == targets_.end() || target->second.paused == paused) return;
  target->second.paused = paused;
  if (!paused) Pump(now);
}

void Dispatcher::FailAll(const absl::Status& why, TimePoint now) {
  std::vector<RequestId> ids;
  for (const auto& [id, flight] : flights_) ids.push_back(id);
  for (const RequestId id : ids) Fail(id, why, FinishReason::kError, now);
}

void Dispatcher::Tick(TimePoint now) {
  std::vector<RequestId> late, stranded;
  const bool hopeless = targets_.empty() && (draining_ || now - no_group_since_ >= limits_.hold_without_group);
  for (const auto& [id, flight] : flights_) {
    if (now >= flight.submission.deadline) {
      // Waiting ones first: the slots of the others must not go to what is late itself.
      late.insert(flight.group.empty() ? late.begin() : late.end(), id);
    } else if (hopeless && flight.group.empty()) {
      stranded.push_back(id);
    }
  }
  for (const RequestId id : late) Fail(id, DeadlineExceeded("the request's deadline has passed"), FinishReason::kError, now);
  for (const RequestId id : stranded) Fail(id, Unavailable("no group of workers is ready"), FinishReason::kError, now);
}

}  // namespace drover
