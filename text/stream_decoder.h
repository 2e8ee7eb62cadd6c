// StreamDecoder: text of one answer while its tokens arrive. Never gives out a part of a character; the pieces together are
// what Tokenizer::Decode gives for all ids (invalid byte tokens may print as fewer or more U+FFFD). One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/status.h"
#include "text/tokenizer.h"

namespace drover::text {

class StreamDecoder {
 public:
  // May outlive `tokenizer`.
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special);

  // Text that `id` completes, often empty. The cost does not grow with the answer.
  absl::StatusOr<std::string> Push(int32_t id);
  // What was held back; the decoder is then as new.
  absl::StatusOr<std::string> Finish();

 private:
  std::unique_ptr<DroverStream, abi::FreeStream> handle_;
};

}  // namespace drover::text
