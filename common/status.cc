// See status.h.
#include "common/status.h"

#include <charconv>

namespace drover {
namespace internal {

void AppendPart(std::string& out, std::string_view part) { out.append(part); }

void AppendPart(std::string& out, double part) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, part);
  if (error == std::errc()) out.append(text, end);
}

void AppendInteger(std::string& out, long long part) { out += std::to_string(part); }
void AppendUnsigned(std::string& out, unsigned long long part) { out += std::to_string(part); }

}  // namespace internal

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), Cat(context, ": ", Message(status)));
}

}  // namespace drover
