// Status helpers: the two control-flow macros and constructors of errors whose text is built from parts.
// The packaged Abseil has its own string_view, so messages are made here and handed over as std::string.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#define DROVER_CONCAT_INNER(a, b) a##b
#define DROVER_CONCAT(a, b) DROVER_CONCAT_INNER(a, b)

#define DROVER_RETURN_IF_ERROR(expr)                 \
  do {                                               \
    if (absl::Status drover_status = (expr); !drover_status.ok()) return drover_status; \
  } while (false)

#define DROVER_ASSIGN_OR_RETURN(lhs, expr) \
  DROVER_ASSIGN_OR_RETURN_INNER(DROVER_CONCAT(drover_or_, __LINE__), lhs, expr)
#define DROVER_ASSIGN_OR_RETURN_INNER(temp, lhs, expr) \
  auto temp = (expr);                                  \
  if (!temp.ok()) return std::move(temp).status();     \
  lhs = *std::move(temp)

namespace drover {

namespace internal {
void AppendPart(std::string& out, std::string_view part);
void AppendPart(std::string& out, double part);
void AppendInteger(std::string& out, long long part);
void AppendUnsigned(std::string& out, unsigned long long part);

template <class T>
void Append(std::string& out, const T& part) {
  if constexpr (std::is_same_v<T, bool>) {
    AppendPart(out, std::string_view(part ? "true" : "false"));
  } else if constexpr (std::is_same_v<T, char>) {
    out.push_back(part);
  } else if constexpr (std::is_enum_v<T>) {
    AppendInteger(out, static_cast<long long>(part));
  } else if constexpr (std::is_floating_point_v<T>) {
    AppendPart(out, static_cast<double>(part));
  } else if constexpr (std::is_unsigned_v<T>) {
    AppendUnsigned(out, part);
  } else if constexpr (std::is_integral_v<T>) {
    AppendInteger(out, part);
  } else {
    AppendPart(out, std::string_view(part));
  }
}
}  // namespace internal

// Joins strings, numbers, bools and enums (as numbers) into one string.
template <class... Parts>
std::string Cat(const Parts&... parts) {
  std::string out;
  (internal::Append(out, parts), ...);
  return out;
}

inline std::string Message(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

// The same error with "context: " in front of its message.
absl::Status Annotate(const absl::Status& status, std::string_view context);

#define DROVER_ERROR_MAKER(Name, Code)                           \
  template <class... Parts>                                      \
  absl::Status Name(const Parts&... parts) {                     \
    return absl::Status(absl::StatusCode::Code, Cat(parts...));  \
  }
DROVER_ERROR_MAKER(InvalidArgument, kInvalidArgument)
DROVER_ERROR_MAKER(NotFound, kNotFound)
DROVER_ERROR_MAKER(AlreadyExists, kAlreadyExists)
DROVER_ERROR_MAKER(OutOfRange, kOutOfRange)
DROVER_ERROR_MAKER(FailedPrecondition, kFailedPrecondition)
DROVER_ERROR_MAKER(ResourceExhausted, kResourceExhausted)
DROVER_ERROR_MAKER(Unimplemented, kUnimplemented)
DROVER_ERROR_MAKER(Unavailable, kUnavailable)
DROVER_ERROR_MAKER(DeadlineExceeded, kDeadlineExceeded)
DROVER_ERROR_MAKER(Cancelled, kCancelled)
DROVER_ERROR_MAKER(Aborted, kAborted)
DROVER_ERROR_MAKER(DataLoss, kDataLoss)
DROVER_ERROR_MAKER(Internal, kInternal)
#undef DROVER_ERROR_MAKER

}  // namespace drover
