// StreamDecoder over the C interface of the crate.
#include "text/stream_decoder.h"

namespace drover::text {

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special) {
  DroverStream* handle = nullptr;
  drover_text_stream_new(tokenizer.handle(), skip_special, &handle);
  handle_.reset(handle);
}

absl::StatusOr<std::string> StreamDecoder::Push(int32_t id) {
  DroverOwned out = {};
  const int32_t code = drover_text_stream_push(handle_.get(), static_cast<uint32_t>(id), &out);
  return abi::Take(code, out);
}

absl::StatusOr<std::string> StreamDecoder::Finish() {
  DroverOwned out = {};
  const int32_t code = drover_text_stream_finish(handle_.get(), &out);
  return abi::Take(code, out);
}

}  // namespace drover::text
