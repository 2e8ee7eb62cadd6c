// The C interface of the Rust crate (src/abi.rs); only the .cc files of this folder use it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"

extern "C" {
struct DroverBytes {
  const char* data;
  size_t size;
};
struct DroverOwned {
  char* data;
  size_t size;
  size_t capacity;
};
struct DroverChatInput {
  DroverBytes context, trusted, now;
  uint64_t fuel;
  size_t output_bytes;
  size_t recursion;
  bool continue_final;
};
struct DroverTokenizer;
struct DroverStream;
struct DroverTemplate;
struct DroverGrammarTokens;
struct DroverGrammar;

void drover_text_free(DroverOwned owned);
int32_t drover_text_tokenizer_new(uint32_t kind, DroverBytes data, DroverBytes config, DroverTokenizer** slot, DroverOwned* out);
void drover_text_tokenizer_free(DroverTokenizer* tokenizer);
int32_t drover_text_encode(const DroverTokenizer* tokenizer, DroverBytes text, DroverBytes pair, uint32_t flags, size_t max_bytes,
                           DroverOwned* out);
int32_t drover_text_decode(const DroverTokenizer* tokenizer, DroverBytes ids, bool skip_special, DroverOwned* out);
int64_t drover_text_token_id(const DroverTokenizer* tokenizer, DroverBytes piece);
int32_t drover_text_piece(const DroverTokenizer* tokenizer, uint32_t id, bool bytes, DroverOwned* out);
int32_t drover_text_info(const DroverTokenizer* tokenizer, DroverOwned* out);
void drover_text_stream_new(const DroverTokenizer* tokenizer, bool skip_special, DroverStream** slot);
void drover_text_stream_free(DroverStream* stream);
int32_t drover_text_stream_push(DroverStream* stream, uint32_t id, DroverOwned* out);
int32_t drover_text_stream_finish(DroverStream* stream, DroverOwned* out);
int32_t drover_text_template_new(DroverBytes source, DroverTemplate** slot, DroverOwned* out);
void drover_text_template_free(DroverTemplate* handle);
int32_t drover_text_render(const DroverTemplate* handle, const DroverChatInput* input, DroverOwned* out);
int32_t drover_text_segments(const DroverTokenizer* tokenizer, const DroverTemplate* handle, const DroverChatInput* input,
                             DroverOwned* out);
int32_t drover_text_encode_chat(const DroverTokenizer* tokenizer, const DroverTemplate* handle, const DroverChatInput* input,
                                bool safe, size_t max_bytes, DroverOwned* out);
int32_t drover_text_grammar_tokens_new(const DroverTokenizer* tokenizer, uint32_t vocab, DroverBytes end_ids,
                                       DroverGrammarTokens** slot, DroverOwned* out);
void drover_text_grammar_tokens_free(DroverGrammarTokens* tokens);
int32_t drover_text_grammar_new(const DroverGrammarTokens* tokens, uint32_t kind, DroverBytes text, DroverGrammar** slot,
                                DroverOwned* out);
void drover_text_grammar_free(DroverGrammar* grammar);
int32_t drover_text_grammar_allow(DroverGrammar* grammar, uint32_t* words, size_t count, DroverOwned* out);
int32_t drover_text_grammar_accept(DroverGrammar* grammar, int32_t id, DroverOwned* out);
bool drover_text_grammar_ended(const DroverGrammar* grammar);
}

namespace drover::text::abi {

inline DroverBytes Borrow(std::string_view text) { return {text.data(), text.size()}; }

struct FreeTokenizer {
  void operator()(DroverTokenizer* handle) const { drover_text_tokenizer_free(handle); }
};
struct FreeStream {
  void operator()(DroverStream* handle) const { drover_text_stream_free(handle); }
};
struct FreeTemplate {
  void operator()(DroverTemplate* handle) const { drover_text_template_free(handle); }
};
struct FreeGrammarTokens {
  void operator()(DroverGrammarTokens* handle) const { drover_text_grammar_tokens_free(handle); }
};
struct FreeGrammar {
  void operator()(DroverGrammar* handle) const { drover_text_grammar_free(handle); }
};

// Takes what a call left in `out`: its bytes, or its error with the code that the call returned.
absl::StatusOr<std::string> Take(int32_t code, DroverOwned out);

// Ids as the crate packs them: 32-bit numbers of this machine.
std::vector<int32_t> UnpackIds(std::string_view bytes);

}  // namespace drover::text::abi
