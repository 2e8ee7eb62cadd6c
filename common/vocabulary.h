// A vocabulary as a GGUF file stores it: plain values that travel from models/ (which knows the file) to text/ (which knows tokens).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace drover {

// Values of tokenizer.ggml.token_type.
enum class TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct Vocabulary {
  std::string model;              // tokenizer.ggml.model: "gpt2" (byte-level BPE), "llama" (SentencePiece BPE), ...
  std::string pre;                // tokenizer.ggml.pre: name of the pre-tokenizer, may be empty
  std::vector<std::string> tokens;
  std::vector<float> scores;      // empty or one per token
  std::vector<TokenType> types;   // empty or one per token
  std::vector<std::string> merges;  // "left right" in rank order
  std::optional<int32_t> bos, eos, unknown, padding, eot;
  std::vector<int32_t> end_ids;   // every id that ends a turn, the eos first
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::string chat_template;      // Jinja source, may be empty
};

}  // namespace drover
