// Any bytes as a safetensors file and as a shard index: refused with a reason, or tensors that lie inside the file.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "models/checkpoint/hf_index.h"
#include "models/checkpoint/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace drover;
  const std::string_view file(static_cast<const char*>(static_cast<const void*>(data)), size);
  const auto tensors = ParseSafetensors(file, static_cast<int64_t>(size));
  if (tensors.ok()) {
    for (const TensorInfo& tensor : *tensors) {
      DROVER_CHECK(tensor.offset >= 8 && tensor.bytes >= 0);
      DROVER_CHECK_LE(tensor.offset + tensor.bytes, static_cast<int64_t>(size));
    }
  } else {
    DROVER_CHECK(!tensors.status().message().empty());
  }
  const auto prefix = ParseSafetensors(file.substr(0, size / 2), static_cast<int64_t>(size));
  if (!prefix.ok()) DROVER_CHECK(!prefix.status().message().empty());
  const auto index = ParseShardIndex(file);
  if (index.ok())
    for (const auto& [tensor, shard] : index->file_of) DROVER_CHECK(shard.find('/') == std::string::npos && !tensor.empty());
  return 0;
}
