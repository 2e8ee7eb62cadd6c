// See random.h.
#include "worker/weights/random.h"

#include <array>
#include <cmath>
#include <cstring>

#include "models/weights.h"
#include "worker/weights/slots.h"

namespace drover {
namespace {

// The finaliser of splitmix64: a bijection whose outputs look independent.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t HashName(uint64_t seed, const std::string& name) {
  uint64_t hash = Mix(seed);
  for (const char c : name) hash = Mix(hash ^ static_cast<unsigned char>(c));
  return hash;
}

// Uniform in [-1, 1).
float Uniform(uint64_t row_key, int64_t col) {
  return static_cast<float>(Mix(row_key + static_cast<uint64_t>(col)) >> 40) * 0x1p-23f - 1;
}

void PutHalf(std::byte* out, float value) {
  const uint16_t bits = FloatToHalf(value);
  std::memcpy(out, &bits, sizeof bits);
}

// 32 values from column `col` on. Quantised blocks get random codes under a fixed scale, so no search for a scale is needed.
void FillBlock(DType dtype, uint64_t row_key, int64_t col, float bound, std::byte* out) {
  constexpr int64_t kBlock = 32;
  if (dtype == DType::kQ8_0) {
    PutHalf(out, bound / 127);
    for (int64_t i = 0; i < kBlock; ++i)
      out[2 + i] = static_cast<std::byte>(static_cast<int8_t>(std::lround(Uniform(row_key, col + i) * 127)));
    return;
  }
  const bool with_minimum = dtype == DType::kQ4_1;
  PutHalf(out, with_minimum ? bound * 2 / 15 : bound / 8);
  if (with_minimum) PutHalf(out + 2, -bound);
  for (int64_t i = 0; i < kBlock / 2; ++i) {
    const uint64_t bits = Mix(row_key + static_cast<uint64_t>(col + i));
    out[(with_minimum ? 4 : 2) + i] = static_cast<std::byte>(bits & 0xff);
  }
}

void FillPlain(DType dtype, float value, std::byte* out) {
  if (dtype == DType::kF32) {
    std::memcpy(out, &value, sizeof value);
    return;
  }
  const uint16_t bits = dtype == DType::kF16 ? FloatToHalf(value) : FloatToBFloat16(value);
  std::memcpy(out, &bits, sizeof bits);
}

void FillMatrix(const Weight& weight, const Part& part, uint64_t key, PackedWeight& out) {
  const DTypeInfo& info = Info(out.dtype);
  const Range stored = StoredCols(part.cols, {.codes = out.dtype}).range;
  const float bound = std::sqrt(3.0f / static_cast<float>(weight.cols));
  for (int64_t r = 0; r < out.rows; ++r) {
    const uint64_t row_key = Mix(key + static_cast<uint64_t>(part.rows.begin + r));
    std::byte* at = out.row(r);
    for (int64_t c = stored.begin; c < stored.end; c += info.values, at += info.bytes) {
      if (info.values == 1)
        FillPlain(out.dtype, bound * Uniform(row_key, c), at);
      else
        FillBlock(out.dtype, row_key, c, bound, at);
    }
  }
}

void FillVector(const Weight& weight, const Part& part, uint64_t key, std::vector<float>& out) {
  const bool bias = weight.name.ends_with("bias") || weight.name.ends_with("sinks");
  for (int64_t r = part.rows.begin; r < part.rows.end; ++r) out.push_back((bias ? 0.0f : 1.0f) + 0.1f * Uniform(key, r));
}

absl::Status CheckType(DType dtype) {
  for (const DType served : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1})
    if (dtype == served) return absl::OkStatus();
  return InvalidArgument("random weights: found dtype ", Name(dtype), ", expected f32, f16, bf16, q8_0, q4_0 or q4_1");
}

}  // namespace

absl::StatusOr<RankWeights> RandomRankWeights(const ModelSpec& spec, const RankCut& cut, uint64_t seed, DType dtype) {
  DROVER_RETURN_IF_ERROR(CheckType(dtype));
  RankWeights weights = Shape(spec, cut);
  for (const Weight& weight : WeightTable(spec)) {
    const Part part = PartOf(weight, spec, cut);
    if (part.empty()) continue;
    const Slot slot = SlotOf(weights, weight, spec, cut);
    const uint64_t key = HashName(seed, weight.name);
    weights.bytes += PartBytes(weight, part, {.codes = dtype});
    if (slot.vector != nullptr) {
      FillVector(weight, part, key, *slot.vector);
      continue;
    }
    if (weight.cols % Info(dtype).values != 0)
      return InvalidArgument(weight.name, ": ", weight.cols, " columns are not whole ", Name(dtype), " blocks");
    *slot.matrix = MakePacked(weight, part, {.codes = dtype});
    FillMatrix(weight, part, key, *slot.matrix);
  }
  return weights;
}

}  // namespace drover
