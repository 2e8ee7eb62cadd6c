// A tokenizer small enough to reason about in a test: one token per byte, 256 ends a sequence, 257 is a special token "<s>".
#pragma once

#include <string>

#include "coordinator/client_request.h"
#include "coordinator/rank_messages.h"
#include "coordinator/text_codec.h"

namespace drover::testing {

inline constexpr int32_t kToyEnd = 256;
inline constexpr int32_t kToyStart = 257;
inline constexpr int64_t kToyVocab = 258;

// Length of the longest prefix that holds whole UTF-8 characters.
inline size_t WholeCharacters(const std::string& bytes) {
  size_t begin = bytes.size();
  for (size_t back = 1; back <= 4 && back <= bytes.size(); ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    const size_t need = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    begin = need > back ? bytes.size() - back : bytes.size();
    break;
  }
  return begin;
}

class ToyStream final : public TextStream {
 public:
  absl::StatusOr<std::string> Append(int32_t id) override {
    if (id < 256) held_.push_back(static_cast<char>(id));
    const size_t whole = WholeCharacters(held_);
    std::string out = held_.substr(0, whole);
    held_.erase(0, whole);
    return out;
  }
  absl::StatusOr<std::string> Finish() override { return std::string(held_.empty() ? "" : "\xEF\xBF\xBD"); }

 private:
  std::string held_;
};

class ToyText final : public TextCodec {
 public:
  bool has_tokenizer() const override { return true; }
  bool has_chat_template() const override { return true; }
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, bool add_special, bool) const override {
    std::vector<int32_t> ids;
    if (add_special) ids.push_back(kToyStart);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  absl::StatusOr<std::vector<int32_t>> EncodeChat(const ChatInput& chat) const override {
    std::string text;
    for (const Json& message : chat.messages) text += message["role"].get<std::string>() + ": " + message["content"].get<std::string>() + "\n";
    if (chat.add_generation_prompt) text += "assistant: ";
    return Encode(text, false, false);
  }
  absl::StatusOr<std::string> Decode(const std::vector<int32_t>& ids, bool skip_special) const override {
    std::string out;
    for (const int32_t id : ids) {
      if (id < 256) out.push_back(static_cast<char>(id));
      if (id >= 256 && !skip_special) out += id == kToyEnd ? "</s>" : "<s>";
    }
    return out;
  }
  absl::StatusOr<std::unique_ptr<TextStream>> NewStream(bool) const override { return std::make_unique<ToyStream>(); }
  absl::Status CheckGrammar(const GrammarText& grammar) const override {
    return grammar.text.find("bad") == std::string::npos ? absl::OkStatus() : InvalidArgument("grammar: found a bad one");
  }
  std::string TokenText(int32_t id) const override { return *Decode({id}, false); }
};

inline ModelInfo ToyModel() {
  return {.name = "toy", .family = "toy", .vocab = kToyVocab, .max_model_len = 4096, .created = 1'700'000'000, .end_ids = {kToyEnd},
          .has_tokenizer = true, .has_chat_template = true};
}

inline absl::StatusOr<GroupPlan> ToyPlan(const std::vector<Hello>& hellos) {
  GroupPlan plan{.model = "toy", .fingerprint = "toy-1", .ranks = static_cast<int64_t>(hellos.size()), .kv_blocks = 1024, .max_sequences = 8,
                 .max_model_len = 1 << 20};
  plan.rank_bytes.resize(hellos.size(), {.weights = 100, .kv = 10, .runtime = 1});
  return plan;
}

}  // namespace drover::testing
