// Philox 4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011):
// a pure function of counter and key, so there is no state to keep, move or replay.
#pragma once

#include <array>
#include <cstdint>

namespace drover {

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A number in [0, 1) with 53 random bits for output `position` of the request with this seed.
double UniformAt(uint64_t seed, uint64_t position);

}  // namespace drover
