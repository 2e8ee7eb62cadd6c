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
  if (guide != guides_.end()) guide->second.status = guide->second.grammar->Allow(guide->second.mask);
}

absl::Status Guides::StatusOf(RequestId id) const {
  const auto guide = guides_.find(id);
  return guide == guides_.end() ? absl::OkStatus() : guide->second.status;
}

absl::StatusOr<bool> Guides::Accept(RequestId id, int32_t token) {
  const auto guide = guides_.find(id);
  if (guide == guides_.end()) return false;
  DROVER_RETURN_IF_ERROR(guide->second.grammar->Accept(token));
  return guide->second.grammar->ended();
}

}  // namespace drover
