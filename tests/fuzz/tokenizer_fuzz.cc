// libFuzzer: a tokenizer.json of any bytes loads or is refused; what loads encodes and decodes without a crash.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "text/stream_decoder.h"
#include "text/tokenizer.h"

// The input is the file, then a 0xff byte, then a text; without 0xff a fixed text is used.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(data, data + size);
  const size_t cut = input.find('\xff');
  const absl::StatusOr<drover::text::Tokenizer> tokenizer = drover::text::Tokenizer::FromJson(input.substr(0, cut));
  if (!tokenizer.ok()) return 0;
  const std::string text = cut == std::string::npos ? "a b  c<s>\xe4\xbd\xa0" : input.substr(cut + 1);
  const absl::StatusOr<std::vector<int32_t>> ids = tokenizer->Encode(text, {.parse_special = true, .max_bytes = 1 << 16});
  if (!ids.ok()) return 0;
  drover::text::StreamDecoder stream(*tokenizer, false);
  for (const int32_t id : *ids) (void)stream.Push(id);
  (void)stream.Finish();
  (void)tokenizer->Decode(*ids, true);
  return 0;
}
