// See step_plan.h.
#include "worker/step_plan.h"

namespace drover {

int64_t StepPlan::tokens() const {
  int64_t count = 0;
  for (const StepSequence& sequence : sequences) count += static_cast<int64_t>(sequence.tokens.size());
  return count;
}

int64_t StepPlan::logit_rows() const {
  int64_t rows = 0;
  for (const StepSequence& sequence : sequences) {
    if (sequence.logits == LogitsWanted::kAll) rows += static_cast<int64_t>(sequence.tokens.size());
    if (sequence.logits == LogitsWanted::kLast) rows += 1;
  }
  return rows;
}

std::string ToString(const StepPlan& plan) {
  std::string text;
  for (const StepSequence& sequence : plan.sequences)
    text += Cat(text.empty() ? "" : " ", sequence.id, "[", sequence.position, ",", sequence.end(), ")");
  return text;
}

}  // namespace drover
