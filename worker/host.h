// What a rank says about its machine and itself.
#pragma once

#include <cstdint>
#include <string>

namespace drover {

std::string HostName();
// Of the host, or of the cgroup when that allows less.
int64_t MemoryBytes();
// Cores this process may run on.
int64_t Cores();
// Resident bytes of this process.
int64_t ResidentBytes();

}  // namespace drover
