// Quantization: what quantization_config says about how the matrices of a checkpoint are packed. Which matrices are packed is
// seen from the tensors; the config says how to read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "common/status.h"

namespace drover {

// How codes and scales lie in the files; models/checkpoint/packed.cc reads each.
enum class Packing : uint8_t {
  kFloat8,  // X.weight of 8-bit floats beside X.weight_scale_inv or X.weight_scale
  kInt8,    // X.weight of int8 beside X.weight_scale
  kWords,   // X.weight_packed: codes along the inputs in 32-bit words
  kGptq,    // X.qweight: codes along the inputs in words, one word row after another
  kAwq,     // X.qweight: codes along the outputs in words, in an order of their own
  kMxfp4,   // X_blocks and X_scales: 32 four-bit floats a block
  kNf4,     // X.weight of bytes beside X.weight.absmax: 16 levels, blocks of 64 over the whole matrix
};

enum class ScaleShape : uint8_t { kTensor, kRow, kGroup, kBlock };

// One way in which matrices of a checkpoint are packed.
struct WeightScheme {
  Packing packing = Packing::kFloat8;
  int64_t bits = 8;
  ScaleShape shape = ScaleShape::kTensor;
  int64_t group_rows = 1, group_cols = 0;  // of kGroup (1 row) and kBlock
  bool zeros = false;                      // zero points are stored
  int64_t zero_plus = 0;                   // what a stored zero point lacks: 1 in the classic GPTQ form
  bool ordered = false;                    // each column names its group
  bool operator==(const WeightScheme&) const = default;
};

struct Quantization {
  std::string method;                 // as the config spells it
  std::vector<WeightScheme> schemes;  // tried in order
  std::vector<std::string> kept;      // modules that are left as they are: names, endings, "re:" patterns
  bool operator==(const Quantization&) const = default;
};

// Nothing when the config has no quantization_config. Errors name the key, what was found and what was expected; methods and
// keys that are not known are refused, as they may change the numbers.
absl::StatusOr<std::optional<Quantization>> ReadQuantization(const Json& config);

// Whether the config leaves `module` ("model.layers.0.mlp.gate_proj") unpacked.
bool KeepsModule(const Quantization& quantization, std::string_view module);

}  // namespace drover
