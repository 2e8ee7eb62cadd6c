// Rotary position embedding: which dimensions of a head turn, how fast, and how the frequencies are scaled.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/key_lengths.h"

namespace drover {

// How the two members of a rotated pair lie in a head: (x[i], x[i+d/2]) or (x[2i], x[2i+1]).
enum class RopePairing { kHalf, kInterleaved };

enum class RopeScalingKind { kNone, kLinear, kLlama3, kYarn, kDivisors, kDynamic, kLongrope };

struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::kNone;
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 1;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  bool truncate = true;                              // yarn: round the correction range to whole dimensions
  std::optional<double> attention_factor;            // yarn, longrope: multiplies cos and sin
  double original_positions = 0;                     // llama3, yarn, longrope; dynamic: the length that is not stretched
  std::vector<float> short_factors, long_factors;    // longrope: divisors up to the original positions, and beyond
  std::vector<float> divisors;                       // GGUF rope_freqs: each frequency is divided by its entry
  bool operator==(const RopeScaling&) const = default;
};

struct Rope {
  RopePairing pairing = RopePairing::kHalf;
  int64_t dims = 0;  // leading dimensions of the head that are rotated; one more when odd, as the reference does
  double theta = 10000;
  RopeScaling scaling;
  int64_t pairs() const { return (dims + 1) / 2; }
  bool operator==(const Rope&) const = default;
};

// Frequencies of the rotated pairs (Rope::pairs() values, radians per position), computed as the reference does (f32), and the
// factor on cos and sin.
struct RopeTable {
  std::vector<float> inverse_frequency;
  float factor = 1;
};
// `length`: of the sequence, for the scalings whose frequencies depend on it (0: short).
RopeTable MakeRopeTable(const Rope& rope, int64_t length = 0);

// The lengths at which keys change.
KeyLengths KeyLengthsOf(const Rope& rope);

}  // namespace drover
