// Any bytes as a GGUF file: refused with a reason, or tensors inside the file, and metadata read as spec and vocabulary.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "models/checkpoint/gguf_header.h"
#include "models/checkpoint/gguf_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace drover;
  const std::string_view file(static_cast<const char*>(static_cast<const void*>(data)), size);
  const auto cut = ParseGguf(file.substr(0, size / 2), static_cast<int64_t>(size));
  if (!cut.ok()) DROVER_CHECK(!cut.status().message().empty());
  const auto header = ParseGguf(file, static_cast<int64_t>(size));
  if (!header.ok()) {
    DROVER_CHECK(header.status().code() != absl::StatusCode::kOutOfRange);  // there is no more to give
    return 0;
  }
  for (const TensorInfo& tensor : header->tensors) {
    DROVER_CHECK(tensor.offset >= 0 && tensor.bytes > 0);
    DROVER_CHECK_LE(tensor.offset + tensor.bytes, static_cast<int64_t>(size));
  }
  const auto spec = SpecFromGguf(*header, {});
  if (spec.ok()) DROVER_CHECK(Validate(*spec).ok() && !ToString(*spec).empty());
  const auto vocabulary = VocabularyFromGguf(*header);
  if (vocabulary.ok() && vocabulary->has_value())
    for (const int32_t id : (*vocabulary)->end_ids) DROVER_CHECK(id >= 0 && static_cast<size_t>(id) < (*vocabulary)->tokens.size());
  return 0;
}
