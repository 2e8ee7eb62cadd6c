// See request.h.
#include "common/request.h"

#include <cmath>

namespace drover {
namespace {

absl::Status CheckRange(std::string_view field, double value, double low, double high) {
  if (std::isfinite(value) && value >= low && value <= high) return absl::OkStatus();
  return InvalidArgument(field, ": found ", value, ", expected a number from ", low, " to ", high);
}

}  // namespace

absl::Status Validate(const Sampling& s) {
  DROVER_RETURN_IF_ERROR(CheckRange("temperature", s.temperature, 0, 100));
  if (s.top_k < 0) return InvalidArgument("top_k: found ", s.top_k, ", expected 0 (off) or more");
  DROVER_RETURN_IF_ERROR(CheckRange("top_p", s.top_p, 0, 1));
  if (s.top_p <= 0) return InvalidArgument("top_p: found ", s.top_p, ", expected more than 0");
  DROVER_RETURN_IF_ERROR(CheckRange("min_p", s.min_p, 0, 1));
  DROVER_RETURN_IF_ERROR(CheckRange("repetition_penalty", s.repetition_penalty, 1e-3, 10));
  DROVER_RETURN_IF_ERROR(CheckRange("presence_penalty", s.presence_penalty, -2, 2));
  DROVER_RETURN_IF_ERROR(CheckRange("frequency_penalty", s.frequency_penalty, -2, 2));
  for (const auto& [id, bias] : s.logit_bias)
    DROVER_RETURN_IF_ERROR(CheckRange(Cat("logit_bias[", id, "]"), bias, -100, 100));
  return absl::OkStatus();
}

}  // namespace drover
