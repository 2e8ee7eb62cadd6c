// See random.h.
#include "worker/weights/random.h"

#include <cmath>

#include "models/weights.h"
#include "worker/weights/slots.h"

namespace drover {
namespace {

uint64_t HashName(uint64_t seed, const std::string& name) {
  uint64_t hash = MixBits(seed);
  for (const char c : name) hash = MixBits(hash ^ static_cast<unsigned char>(c));
  return hash;
}

RandomMatrix ValuesOf(const Weight& weight, const Part& part, uint64_t key, DType dtype) {
  const DTypeInfo& info = Info(dtype);
  const float bound = std::sqrt(3.0f / static_cast<float>(weight.cols));
  RandomMatrix values{.key = key, .first_row = part.rows.begin, .first_col = StoredCols(part.cols, {.codes = dtype}).range.begin,
                      .bound = bound, .dtype = dtype};
  values.block_values = static_cast<int32_t>(info.values);
  values.block_bytes = static_cast<int32_t>(info.bytes);
  if (dtype == DType::kQ8_0) values.scale = FloatToHalf(bound / 127);
  if (dtype == DType::kQ4_0) values.scale = FloatToHalf(bound / 8);
  if (dtype == DType::kQ4_1) values.scale = FloatToHalf(bound * 2 / 15);
  values.minimum = FloatToHalf(-bound);
  return values;
}

// A matrix made where it is needed.
absl::StatusOr<PackedWeight> MakeMatrix(const Weight& weight, const Part& part, const RandomMatrix& values, Ops& ops, Memory& memory) {
  PackedWeight shape = MakePacked(weight, part, {.codes = values.dtype});
  if (!memory.on_host()) {
    DROVER_ASSIGN_OR_RETURN(shape.bytes, memory.Allocate(shape.rows * shape.row_bytes));
  }
  ops.Randomise(values, shape);
  return shape;
}

std::vector<float> MakeVector(const Weight& weight, const Part& part, uint64_t key) {
  std::vector<float> out;
  const bool bias = weight.name.ends_with("bias") || weight.name.ends_with("sinks");
  for (int64_t r = part.rows.begin; r < part.rows.end; ++r) out.push_back((bias ? 0.0f : 1.0f) + 0.1f * RandomMatrix::Uniform(key, r));
  return out;
}

absl::Status CheckType(DType dtype) {
  for (const DType served : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1})
    if (dtype == served) return absl::OkStatus();
  return InvalidArgument("random weights: found dtype ", Name(dtype), ", expected f32, f16, bf16, q8_0, q4_0 or q4_1");
}

}  // namespace

absl::StatusOr<RankWeights> RandomRankWeights(const ModelSpec& spec, const RankCut& cut, uint64_t seed, DType dtype, Ops* ops) {
  Ops host;
  Ops& to = ops != nullptr ? *ops : host;
  PieceMemory memory(to.memory());
  DROVER_RETURN_IF_ERROR(CheckType(dtype));
  RankWeights weights = Shape(spec, cut);
  for (const Weight& weight : WeightTable(spec)) {
    const Part part = PartOf(weight, spec, cut);
    if (part.empty()) continue;
    const Slot slot = SlotOf(weights, weight, spec, cut);
    const uint64_t key = HashName(seed, weight.name);
    weights.bytes += PartBytes(weight, part, {.codes = dtype});
    if (slot.vector != nullptr) {
      DROVER_ASSIGN_OR_RETURN(*slot.vector, FloatVector::Make(MakeVector(weight, part, key), memory));
      continue;
    }
    if (weight.cols % Info(dtype).values != 0)
      return InvalidArgument(weight.name, ": ", weight.cols, " columns are not whole ", Name(dtype), " blocks");
    DROVER_ASSIGN_OR_RETURN(*slot.matrix, MakeMatrix(weight, part, ValuesOf(weight, part, key, dtype), to, memory));
  }
  return weights;
}

}  // namespace drover
