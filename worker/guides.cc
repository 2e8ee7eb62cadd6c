// See guides.h.
#include "worker/guides.h"

#include <utility>

namespace drover {

void Guides::Add(RequestId id, std::unique_ptr<Grammar> grammar) {
  if (grammar == nullptr) return;
  guides_[id] = {std::move(grammar), std::vector<uint32_t>(static_cast<size_t>(MaskWords(vocab_))), {}};
}

std::span<const uint32_t> Guides::MaskOf(RequestId id) const {
  const auto guide = guides_.find(id);
  if (guide == guides_.end()) return {};
  return guide->second.mask;
}

void Guides::Allow(RequestId id) {
  const auto guide = guides_.find(id);
  if (guide == guides_.end()) return;
  const absl::Status status = guide->second.grammar->Allow(guide->second.mask);
  guide->second.status = status.ok() ? status : InvalidArgument(Message(status));
}

absl::Status Guides::StatusOf(RequestId id) const {
  const auto guide = guides_.find(id);
  return guide == guides_.end() ? absl::OkStatus() : guide->second.status;
}

bool Guides::IsComplete(RequestId id) const {
  const auto guide = guides_.find(id);
  return guide != guides_.end() && guide->second.grammar->ended();
}

absl::Status Guides::Accept(RequestId id, int32_t token) {
  const auto guide = guides_.find(id);
  if (guide == guides_.end()) return absl::OkStatus();
  const absl::Status status = guide->second.grammar->Accept(token);
  return status.ok() ? status : InvalidArgument(Message(status));
}

}  // namespace drover
