// See convert.h: step messages between leader and followers.
#include "worker/convert.h"

namespace drover {
namespace {

absl::StatusOr<StepSequence> ReadSequence(const v1::StepSequence& in, const StepBounds& bounds) {
  if (in.position() < 0 || in.position() > bounds.kv_blocks * bounds.block_tokens)
    return InvalidArgument("position: found ", in.position(), ", expected one within the KV cache");
  if (in.tokens_size() == 0) return InvalidArgument("tokens: found none, expected at least 1");
  for (const int32_t token : in.tokens())
    if (token < 0 || token >= bounds.vocab)
      return InvalidArgument("tokens: found ", token, ", expected 0 to ", bounds.vocab - 1);
  for (const int32_t block : in.blocks())
    if (block < 0 || block >= bounds.kv_blocks)
      return InvalidArgument("blocks: found ", block, ", expected 0 to ", bounds.kv_blocks - 1);
  const int64_t end = in.position() + in.tokens_size();
  const int64_t needed = (end + bounds.block_tokens - 1) / bounds.block_tokens;
  if (in.blocks_size() < needed) return InvalidArgument("blocks: found ", in.blocks_size(), ", expected ", needed);
  if (in.length() != 0 && (in.length() < end || in.length() > bounds.kv_blocks * bounds.block_tokens))
    return InvalidArgument("length: found ", in.length(), ", expected 0 or ", end, " to ", bounds.kv_blocks * bounds.block_tokens);
  if (in.part() < 0 || in.part() >= bounds.attention_parts)
    return InvalidArgument("part: found ", in.part(), ", expected 0 to ", bounds.attention_parts - 1);
  if (in.logits() < 0 || in.logits() > static_cast<int32_t>(LogitsWanted::kAll))
    return InvalidArgument("logits: found ", in.logits(), ", expected 0 to 2");
  return StepSequence{.id = in.id(),
                      .position = in.position(),
                      .tokens = {in.tokens().begin(), in.tokens().end()},
                      .blocks = {in.blocks().begin(), in.blocks().end()},
                      .length = in.length(),
                      .logits = static_cast<LogitsWanted>(in.logits()),
                      .part = in.part()};
}

}  // namespace

void WriteStep(const StepPlan& plan, v1::StepMessage& message) {
  message.Clear();
  message.set_step(plan.step);
  for (const StepSequence& sequence : plan.sequences) {
    v1::StepSequence& out = *message.add_sequences();
    out.set_id(sequence.id);
    out.set_position(sequence.position);
    out.mutable_tokens()->Add(sequence.tokens.begin(), sequence.tokens.end());
    out.mutable_blocks()->Add(sequence.blocks.begin(), sequence.blocks.end());
    out.set_length(sequence.length);
    out.set_logits(static_cast<int32_t>(sequence.logits));
    out.set_part(static_cast<int32_t>(sequence.part));
  }
}

absl::StatusOr<StepPlan> ReadStep(const v1::StepMessage& in, const StepBounds& bounds) {
  StepPlan plan{.step = in.step(), .sequences = {}};
  for (int i = 0; i < in.sequences_size(); ++i) {
    absl::StatusOr<StepSequence> sequence = ReadSequence(in.sequences(i), bounds);
    if (!sequence.ok()) return Annotate(sequence.status(), Cat("step ", in.step(), " sequence ", i));
    plan.sequences.push_back(*std::move(sequence));
  }
  if (plan.empty()) return InvalidArgument("step ", in.step(), ": found no sequences, expected at least 1");
  if (plan.tokens() > bounds.max_step_tokens)
    return InvalidArgument("step ", in.step(), ": found ", plan.tokens(), " tokens, expected at most ", bounds.max_step_tokens);
  return plan;
}

}  // namespace drover
