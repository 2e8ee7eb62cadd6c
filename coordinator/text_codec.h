// Text to token ids and back, as the coordinator needs it; over text/ in service, over a toy vocabulary in tests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/grammar.h"
#include "common/json.h"
#include "common/status.h"

namespace drover {

// A conversation to be rendered by the model's chat template.
struct ChatInput {
  Json messages = Json::array();  // of objects with "role" and "content"
  Json tools;                     // an array, or null
  Json variables;                 // more template variables, an object or null
  bool add_generation_prompt = true;
  bool continue_final_message = false;
};

// Turns one answer's ids into text; never gives out a part of a character. One thread.
class TextStream {
 public:
  virtual ~TextStream() = default;
  virtual absl::StatusOr<std::string> Append(int32_t id) = 0;
  virtual absl::StatusOr<std::string> Finish() = 0;
};

// Any thread. Without a tokenizer every call but the two questions answers kFailedPrecondition.
class TextCodec {
 public:
  virtual ~TextCodec() = default;
  virtual bool has_tokenizer() const = 0;
  virtual bool has_chat_template() const = 0;
  virtual absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, bool add_special, bool parse_special) const = 0;
  virtual absl::StatusOr<std::vector<int32_t>> EncodeChat(const ChatInput& chat) const = 0;
  virtual absl::StatusOr<std::string> Decode(const std::vector<int32_t>& ids, bool skip_special) const = 0;
  virtual absl::StatusOr<std::unique_ptr<TextStream>> NewStream(bool skip_special) const = 0;
  // kInvalidArgument: what is wrong with it, for the client. Takes a while: never on an event loop.
  virtual absl::Status CheckGrammar(const GrammarText& grammar) const = 0;
  // How one token is shown in log-probabilities; its bytes, which may be a part of a character.
  virtual std::string TokenText(int32_t id) const = 0;
};

// The codec of a model that serves token ids only.
std::unique_ptr<TextCodec> MakeNoTextCodec();

}  // namespace drover
