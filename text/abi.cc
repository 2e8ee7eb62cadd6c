// Results of the crate as statuses and values.
#include "text/abi.h"

#include <cstring>

namespace drover::text::abi {

absl::StatusOr<std::string> Take(int32_t code, DroverOwned out) {
  std::string bytes(out.data, out.size);
  drover_text_free(out);
  if (code != 0) return absl::Status(static_cast<absl::StatusCode>(code), bytes);
  return bytes;
}

std::vector<int32_t> UnpackIds(std::string_view bytes) {
  std::vector<int32_t> ids(bytes.size() / sizeof(int32_t));
  if (!ids.empty()) std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(int32_t));
  return ids;
}

}  // namespace drover::text::abi
