// What a client asks for, typed, as both edges (HTTP and gRPC) build it; and the model's facts it is checked against.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/clock.h"
#include "common/request.h"
#include "common/status.h"
#include "coordinator/text_codec.h"

namespace drover {

// Absent: the model's default.
struct SamplingWish {
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> top_k;
  std::optional<uint64_t> seed;
  std::vector<std::pair<int32_t, float>> logit_bias;
};

struct TextInput {
  std::string text;
  bool add_special_tokens = true;
};

using PromptInput = std::variant<std::vector<int32_t>, TextInput, ChatInput>;

struct ClientRequest {
  std::string model;  // empty: the only one
  PromptInput prompt;
  SamplingWish sampling;
  std::optional<int64_t> max_tokens;          // absent: default_max_tokens, else what is left of the context
  std::optional<int64_t> default_max_tokens;  // stands over the model's; cut to what is left
  int64_t min_tokens = 0;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false, include_stop = false, skip_special_tokens = true;
  int32_t logprobs = -1;  // -1: none; n: the token's own and the best n
  bool prompt_logprobs = false;
  LogitsWanted logits = LogitsWanted::kNone;
  std::optional<GrammarText> grammar;
  std::string grammar_field = "request";  // that it came in
  bool want_prompt = false;  // the prompt's ids come with the first piece
  int64_t choice = 0;        // added to the seed: choices of one request differ
  std::optional<Duration> timeout;
};

// Bounds on one request.
inline constexpr int64_t kStopStringsMax = 16;
inline constexpr int64_t kStopStringBytesMax = 256;
inline constexpr int64_t kStopTokensMax = 64;
inline constexpr int32_t kLogprobsMax = 20;
inline constexpr int64_t kLogitBiasMax = 1024;
inline constexpr int64_t kChoicesMax = 8;
inline constexpr int64_t kPromptsMax = 32;

struct ModelInfo {
  std::string name, family;
  int64_t vocab = 0, max_model_len = 0, parameters = 0;
  int64_t created = 0;             // seconds since 1970
  std::vector<int32_t> end_ids;
  SamplingWish defaults;           // of generation_config.json
  std::optional<int64_t> default_max_tokens;  // of the same file; cut to what is left
  bool has_tokenizer = false, has_chat_template = false;
  bool allow_logits = false;
};

// What holds: the request's wish, else the model's, else Drover's own (temperature 1, nothing cut off).
Sampling ResolveSampling(const SamplingWish& wish, const SamplingWish& model, uint64_t random_seed);

// Everything that can be judged before the prompt's tokens are known. Errors name the field.
absl::Status Check(const ClientRequest& request, const ModelInfo& model);

// The request that a group serves. `random_seed` is used when neither client nor model gives one.
absl::StatusOr<Request> Resolve(const ClientRequest& wish, std::vector<int32_t> prompt, const ModelInfo& model,
                                uint64_t random_seed);

// The prompt's ids; slow for long texts, so never on an event loop.
absl::StatusOr<std::vector<int32_t>> EncodePrompt(const PromptInput& prompt, const TextCodec& text);

}  // namespace drover
