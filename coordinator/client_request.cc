// See client_request.h.
#include "coordinator/client_request.h"

#include <algorithm>

namespace drover {
namespace {

absl::Status CheckStops(const ClientRequest& request) {
  if (static_cast<int64_t>(request.stop.size()) > kStopStringsMax)
    return InvalidArgument("stop: found ", request.stop.size(), " strings, expected at most ", kStopStringsMax);
  for (const std::string& stop : request.stop) {
    if (stop.empty()) return InvalidArgument("stop: found an empty string, expected text");
    if (static_cast<int64_t>(stop.size()) > kStopStringBytesMax)
      return InvalidArgument("stop: found a string of ", stop.size(), " bytes, expected at most ", kStopStringBytesMax);
  }
  if (static_cast<int64_t>(request.stop_token_ids.size()) > kStopTokensMax)
    return InvalidArgument("stop_token_ids: found ", request.stop_token_ids.size(), ", expected at most ", kStopTokensMax);
  return absl::OkStatus();
}

absl::Status CheckIds(std::string_view field, const std::vector<int32_t>& ids, int64_t vocab) {
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= vocab)
      return InvalidArgument(field, "[", i, "]: found token id ", ids[i], ", expected 0 to ", vocab - 1);
  return absl::OkStatus();
}

template <class T>
T Pick(const std::optional<T>& wish, const std::optional<T>& model, T fallback) {
  return wish ? *wish : model.value_or(fallback);
}

absl::Status CheckContext(const ClientRequest& wish, int64_t prompt, int64_t window) {
  const int64_t asked = wish.max_tokens.value_or(0);
  if (prompt + asked <= window && (prompt < window || wish.max_tokens == 0)) return absl::OkStatus();
  return OutOfRange("this model's maximum context length is ", window, " tokens; found ", prompt + asked, " tokens (", prompt,
                    " in the prompt, ", asked, " for the completion)");
}

}  // namespace

Sampling ResolveSampling(const SamplingWish& wish, const SamplingWish& model, uint64_t random_seed) {
  return {.temperature = Pick(wish.temperature, model.temperature, 1.0),
          .top_k = Pick<int64_t>(wish.top_k, model.top_k, 0),
          .top_p = Pick(wish.top_p, model.top_p, 1.0),
          .min_p = Pick(wish.min_p, model.min_p, 0.0),
          .repetition_penalty = Pick(wish.repetition_penalty, model.repetition_penalty, 1.0),
          .presence_penalty = Pick(wish.presence_penalty, model.presence_penalty, 0.0),
          .frequency_penalty = Pick(wish.frequency_penalty, model.frequency_penalty, 0.0),
          .seed = Pick<uint64_t>(wish.seed, model.seed, random_seed),
          .logit_bias = wish.logit_bias};
}

absl::Status Check(const ClientRequest& request, const ModelInfo& model) {
  if (!request.model.empty() && request.model != model.name) return NotFound("the model does not exist");
  DROVER_RETURN_IF_ERROR(CheckStops(request));
  DROVER_RETURN_IF_ERROR(CheckIds("stop_token_ids", request.stop_token_ids, model.vocab));
  DROVER_RETURN_IF_ERROR(Validate(ResolveSampling(request.sampling, model.defaults, 0)));
  if (request.logprobs < -1 || request.logprobs > kLogprobsMax)
    return InvalidArgument("logprobs: found ", request.logprobs, ", expected 0 to ", kLogprobsMax);
  if (request.max_tokens && (*request.max_tokens < 0 || *request.max_tokens > INT32_MAX))
    return InvalidArgument("max_tokens: found ", *request.max_tokens, ", expected 0 to ", INT32_MAX);
  if (request.min_tokens < 0 || request.min_tokens > request.max_tokens.value_or(INT32_MAX))
    return InvalidArgument("min_tokens: found ", request.min_tokens, ", expected 0 to max_tokens");
  const auto& bias = request.sampling.logit_bias;
  if (static_cast<int64_t>(bias.size()) > kLogitBiasMax)
    return InvalidArgument("logit_bias: found ", bias.size(), " entries, expected at most ", kLogitBiasMax);
  for (const auto& [id, value] : bias)
    if (id < 0 || id >= model.vocab) return InvalidArgument("logit_bias: found token id ", id, ", expected 0 to ", model.vocab - 1);
  if (request.logits != LogitsWanted::kNone && !model.allow_logits)
    return absl::PermissionDeniedError("logits: not given out; the coordinator was started without --allow-logits");
  const bool text = !std::holds_alternative<std::vector<int32_t>>(request.prompt);
  if (request.grammar && request.grammar->text.size() > kGrammarBytesMax)
    return InvalidArgument(request.grammar_field, ": found ", request.grammar->text.size(), " bytes, expected at most ", kGrammarBytesMax);
  if ((text || !request.stop.empty() || request.grammar) && !model.has_tokenizer)
    return FailedPrecondition("this model has no tokenizer: send token ids, no stop strings and no grammar");
  if (std::holds_alternative<ChatInput>(request.prompt) && !model.has_chat_template)
    return FailedPrecondition("this model has no chat template: send text or token ids");
  return absl::OkStatus();
}

absl::StatusOr<Request> Resolve(const ClientRequest& wish, std::vector<int32_t> prompt, const ModelInfo& model,
                                uint64_t random_seed) {
  DROVER_RETURN_IF_ERROR(Check(wish, model));
  if (prompt.empty()) return InvalidArgument("prompt: found no tokens, expected at least one");
  const auto length = static_cast<int64_t>(prompt.size());
  DROVER_RETURN_IF_ERROR(CheckContext(wish, length, model.max_model_len));
  DROVER_RETURN_IF_ERROR(CheckIds("prompt", prompt, model.vocab));
  const int64_t left = model.max_model_len - length;
  Request request{.prompt = std::move(prompt)};
  request.sampling = ResolveSampling(wish.sampling, model.defaults, random_seed);
  request.sampling.seed += static_cast<uint64_t>(wish.choice);
  const int64_t most = wish.default_max_tokens ? *wish.default_max_tokens : model.default_max_tokens.value_or(left);
  request.max_tokens = wish.max_tokens ? *wish.max_tokens : std::min(left, most);
  request.min_tokens = std::min(wish.min_tokens, request.max_tokens);
  if (!wish.ignore_eos) request.end_ids = model.end_ids;
  request.end_ids.insert(request.end_ids.end(), wish.stop_token_ids.begin(), wish.stop_token_ids.end());
  request.logprobs = wish.logprobs;
  request.prompt_logprobs = wish.prompt_logprobs;
  request.logits = wish.logits;
  request.grammar = wish.grammar;
  return request;
}

absl::StatusOr<std::vector<int32_t>> EncodePrompt(const PromptInput& prompt, const TextCodec& text) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return *ids;
  if (const auto* plain = std::get_if<TextInput>(&prompt)) return text.Encode(plain->text, plain->add_special_tokens, false);
  return text.EncodeChat(std::get<ChatInput>(prompt));
}

}  // namespace drover
