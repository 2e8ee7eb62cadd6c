// See batch.h.
#include "worker/model/batch.h"

#include <algorithm>
#include <string_view>

#include "common/plan.h"

namespace drover {
namespace {

// Far above any context; keeps sums of positions from overflowing.
constexpr int64_t kPositionMax = int64_t{1} << 40;

// Every step checks the block lists of all sequences: without a branch for each id.
absl::Status CheckIds(std::span<const int32_t> ids, std::string_view what, int64_t end) {
  const auto last = static_cast<uint32_t>(end - 1);
  uint32_t outside = 0;  // its sign bit: of an id, or of the way from it to the last one
  for (const int32_t id : ids) outside |= static_cast<uint32_t>(id) | (last - static_cast<uint32_t>(id));
  if (outside >> 31 == 0) return absl::OkStatus();
  const auto wrong = std::ranges::find_if(ids, [end](int32_t id) { return id < 0 || id >= end; });
  return InvalidArgument(what, *wrong, ", expected 0 to ", end - 1);
}

absl::Status CheckTokens(const StepSequence& sequence, const BatchLimits& limits) {
  if (sequence.tokens.empty()) return InvalidArgument("tokens: found none, expected at least one");
  return CheckIds(sequence.tokens, "tokens: found id ", limits.vocab);
}

absl::Status CheckBlocks(const StepSequence& sequence, const BatchLimits& limits) {
  const int64_t end = sequence.end();
  if (sequence.part < 0 || sequence.part >= limits.attention_parts)
    return InvalidArgument("part: found ", sequence.part, ", expected 0 to ", limits.attention_parts - 1);
  if (sequence.position < 0 || sequence.position > kPositionMax) return InvalidArgument("position: found ", sequence.position);
  const auto held = static_cast<int64_t>(sequence.blocks.size()) * limits.block_tokens;
  if (sequence.length != 0 && sequence.length < end) return InvalidArgument("length: found ", sequence.length, ", expected at least ", end);
  if (end > held) return InvalidArgument("blocks: hold ", held, " positions, expected at least ", end);
  return CheckIds(sequence.blocks, "blocks: found ", limits.kv_blocks);
}

// Blocks that this step writes.
std::span<const int32_t> Written(const StepSequence& sequence, int64_t block_tokens) {
  const auto first = static_cast<size_t>(sequence.position / block_tokens);
  const auto last = static_cast<size_t>((sequence.end() - 1) / block_tokens);
  return std::span(sequence.blocks).subspan(first, last - first + 1);
}

absl::Status CheckSharing(const StepPlan& plan, const BatchLimits& limits) {
  std::vector<bool> written(static_cast<size_t>(limits.attention_parts * limits.kv_blocks));
  for (const StepSequence& sequence : plan.sequences)
    for (const int32_t block : Written(sequence, limits.block_tokens)) {
      const auto place = static_cast<size_t>(sequence.part * limits.kv_blocks + block);
      if (written[place]) return InvalidArgument("blocks: ", block, " would be written twice in one step");
      written[place] = true;
    }
  return absl::OkStatus();
}

absl::Status CheckParts(const StepPlan& plan, const BatchLimits& limits) {
  const int64_t most = PartTokens(limits.max_step_tokens, limits.attention_parts);
  std::vector<int64_t> tokens(static_cast<size_t>(limits.attention_parts));
  for (const StepSequence& sequence : plan.sequences) {
    int64_t& count = tokens[static_cast<size_t>(sequence.part)];
    count += static_cast<int64_t>(sequence.tokens.size());
    if (count > most) return InvalidArgument("tokens: found ", count, " in part ", sequence.part, ", expected at most ", most);
  }
  return absl::OkStatus();
}

absl::Status Check(const StepPlan& plan, const BatchLimits& limits) {
  if (static_cast<int64_t>(plan.sequences.size()) > limits.max_sequences)
    return InvalidArgument("sequences: found ", plan.sequences.size(), ", expected at most ", limits.max_sequences);
  if (plan.tokens() > limits.max_step_tokens)
    return InvalidArgument("tokens: found ", plan.tokens(), ", expected at most ", limits.max_step_tokens);
  for (const StepSequence& sequence : plan.sequences) {
    absl::Status status = CheckTokens(sequence, limits);
    if (status.ok()) status = CheckBlocks(sequence, limits);
    if (!status.ok()) return Annotate(status, Cat("sequence ", sequence.id));
  }
  DROVER_RETURN_IF_ERROR(CheckParts(plan, limits));
  return CheckSharing(plan, limits);
}

void Reserve(const StepPlan& plan, Batch& batch) {
  const auto rows = static_cast<size_t>(plan.tokens()), logit_rows = static_cast<size_t>(plan.logit_rows());
  batch.ids.reserve(rows);
  batch.positions.reserve(rows);
  batch.sequences.reserve(plan.sequences.size());
  batch.lengths.reserve(plan.sequences.size());
  batch.logit_rows.reserve(logit_rows);
  batch.draws.reserve(logit_rows);
}

void AppendRows(const StepSequence& sequence, const BatchLimits& limits, Batch& batch) {
  const auto count = static_cast<int64_t>(sequence.tokens.size());
  Range& part = batch.part_rows[static_cast<size_t>(sequence.part)];
  if (part.empty()) part.begin = batch.rows();
  if (sequence.part == limits.part) {
    batch.lengths.push_back(std::max(sequence.length, sequence.position + count));
    batch.sequences.push_back({batch.rows() - part.begin, count, sequence.position, sequence.blocks});
  }
  batch.ids.insert(batch.ids.end(), sequence.tokens.begin(), sequence.tokens.end());
  for (int64_t i = 0; i < count; ++i) batch.positions.push_back(sequence.position + i);
  part.end = batch.rows();
}

}  // namespace

absl::StatusOr<Batch> MakeBatch(const StepPlan& plan, const BatchLimits& limits) {
  DROVER_RETURN_IF_ERROR(Annotate(Check(plan, limits), Cat("plan of step ", plan.step)));
  Batch batch;
  batch.step = plan.step;
  batch.part_rows.resize(static_cast<size_t>(limits.attention_parts));
  Reserve(plan, batch);
  std::vector<int64_t> first_rows(plan.sequences.size());
  for (int64_t part = 0; part < limits.attention_parts; ++part)
    for (size_t i = 0; i < plan.sequences.size(); ++i) {
      if (plan.sequences[i].part != part) continue;
      first_rows[i] = batch.rows();
      AppendRows(plan.sequences[i], limits, batch);
    }
  batch.own_rows = batch.part_rows[static_cast<size_t>(limits.part)];
  for (size_t s = 0; s < plan.sequences.size(); ++s) {
    const StepSequence& sequence = plan.sequences[s];
    const auto count = static_cast<int64_t>(sequence.tokens.size());
    for (int64_t i = 0; i < count; ++i) {
      const bool last = i + 1 == count;
      if (sequence.logits == LogitsWanted::kAll || (sequence.logits == LogitsWanted::kLast && last)) {
        batch.logit_rows.push_back(static_cast<int32_t>(first_rows[s] + i));
        batch.draws.push_back(last && sequence.draw ? &*sequence.draw : nullptr);
      }
    }
  }
  return batch;
}

bool IsDecoding(const Batch& batch) {
  return std::ranges::all_of(batch.sequences, [](const SequenceRows& sequence) { return sequence.rows == 1; }) &&
         batch.logit_rows.size() == batch.ids.size();
}

void Pad(Batch& batch, int64_t rows, std::span<const int32_t> spare) {
  for (int64_t row = batch.rows(); row < rows; ++row) {
    batch.ids.push_back(0);
    batch.positions.push_back(0);
    batch.sequences.push_back({row, 1, 0, spare});
    batch.lengths.push_back(1);
    batch.logit_rows.push_back(static_cast<int32_t>(row));
    batch.draws.push_back(nullptr);
  }
  batch.own_rows.end = batch.part_rows.front().end = batch.rows();
}

}  // namespace drover
