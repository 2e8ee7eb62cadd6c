// Ids as types: numbers that cannot be added to, or passed where another id belongs.
#pragma once

#include <cstdint>

namespace drover {

enum class RequestId : uint64_t {};
enum class Epoch : uint64_t {};

template <class Id>
constexpr uint64_t Value(Id id) {
  return static_cast<uint64_t>(id);
}

}  // namespace drover
