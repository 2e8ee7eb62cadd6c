// Where GGUF files store each weight: llama.cpp's names, its fused projections and its splits.
#include <algorithm>

#include "models/checkpoint/gguf_architecture.h"
#include "models/checkpoint/names.h"
#include "models/checkpoint/tensor_checks.h"
#include "models/locate.h"

namespace drover {
namespace {

// The weight under the name that its architecture gives it, or under the usual one; `name` is then the usual one.
const TensorInfo* FindNamed(const Weight& weight, const Checkpoint& checkpoint, std::string& name) {
  for (const GgufModule& module : checkpoint.gguf->modules) {
    if (module.role != ModuleRole(weight.role)) continue;
    if (const TensorInfo* tensor = FindStored(checkpoint, GgufName(weight.role, weight.layer, module.module))) return tensor;
  }
  name = GgufName(weight.role, weight.layer);
  return FindStored(checkpoint, name);
}

// q, k and v in one tensor, one after another; gate in front of up.
absl::StatusOr<Source> Fused(const Weight& weight, const Checkpoint& checkpoint, const TensorInfo& tensor) {
  const Rows rows = FusedRows(weight, checkpoint.spec, FusedQkv::kStacked);
  std::vector<int64_t> shape = {rows.total};
  if (!weight.vector()) shape.push_back(weight.cols);
  DROVER_RETURN_IF_ERROR(CheckTensor(weight, tensor, shape));
  return Source{&tensor, rows.first * weight.cols, weight.cols, 1, 0};
}

const TensorInfo* FindFused(const Weight& weight, const Checkpoint& checkpoint) {
  const Role module = ModuleRole(weight.role);
  if (module == Role::kQ || module == Role::kK || module == Role::kV) {
    if (checkpoint.spec.layer(weight.layer).attention.latent) return nullptr;
    return FindStored(checkpoint, Cat("blk.", weight.layer, ".attn_qkv", weight.role == module ? ".weight" : ".bias"));
  }
  if (module != Role::kGate && module != Role::kUp) return nullptr;
  const TensorInfo* up = FindStored(checkpoint, GgufName(Role::kUp, weight.layer));
  const bool both = checkpoint.spec.layer(weight.layer).ffn.gated && up != nullptr && !up->shape.empty() && up->shape[0] == 2 * weight.rows;
  return both && weight.role == module ? up : nullptr;
}

absl::Status NeedType(const TensorInfo& tensor, DType expected) {
  if (tensor.dtype == expected) return absl::OkStatus();
  return InvalidArgument("tensor ", tensor.name, ": found dtype ", Name(tensor.dtype), ", expected ", Name(expected), ", as of the tensor beside it");
}

// Gate and up rows in turn, which the file keeps apart.
absl::StatusOr<Source> Pairs(const Weight& weight, const Checkpoint& checkpoint) {
  const bool vector = weight.vector();
  const int64_t experts = checkpoint.spec.layer(weight.layer).ffn.experts->count, rows = weight.rows / 2;
  const std::vector<int64_t> shape = vector ? std::vector<int64_t>{experts, rows} : std::vector<int64_t>{experts, rows, weight.cols};
  Source source;
  Turns turns;
  for (const Role role : {Role::kExpertGate, Role::kExpertUp}) {
    std::string name = GgufName(role, weight.layer);
    if (vector) name.replace(name.rfind('.'), name.npos, ".bias");
    const TensorInfo* tensor = FindStored(checkpoint, name);
    if (tensor == nullptr) return MissingTensor(name, shape);
    DROVER_RETURN_IF_ERROR(CheckTensor(weight, *tensor, shape));
    (role == Role::kExpertGate ? source.tensor : turns.second) = tensor;
  }
  DROVER_RETURN_IF_ERROR(NeedType(*turns.second, source.tensor->dtype));
  turns.offset = turns.second_offset = weight.expert * rows * weight.cols;
  turns.codes = source.tensor->dtype;
  source.turns = turns;
  return source;
}

// Keys and values of each head from the latent, split for attention on the latent itself: keys as [heads, latent, size], values as
// [heads, size, latent]. Blocks of keys run across the rows: those become f32.
absl::StatusOr<Source> LatentSplit(const Weight& weight, const Checkpoint& checkpoint, const TensorInfo& keys) {
  const Attention& attention = checkpoint.spec.layer(weight.layer).attention;
  const LatentKv& latent = *attention.latent;
  const std::string name = Cat("blk.", weight.layer, ".attn_v_b.weight");
  const std::vector<int64_t> shape = {attention.heads, latent.value_dim, latent.kv_rank};
  const TensorInfo* values = FindStored(checkpoint, name);
  if (values == nullptr) return MissingTensor(name, shape);
  DROVER_RETURN_IF_ERROR(CheckTensor(weight, keys, {attention.heads, latent.kv_rank, latent.nope_dim}));
  DROVER_RETURN_IF_ERROR(CheckTensor(weight, *values, shape));
  const bool plain = keys.dtype == values->dtype && Info(keys.dtype).values == 1;
  Source source{.tensor = &keys};
  source.turns = Turns{.second = values, .rows = latent.nope_dim, .second_rows = latent.value_dim, .transposed = true,
                       .codes = plain ? keys.dtype : DType::kF32};
  return source;
}

absl::StatusOr<Source> Stacked(const Weight& weight, const Checkpoint& checkpoint, const TensorInfo& tensor) {
  const int64_t experts = checkpoint.spec.layer(weight.layer).ffn.experts->count;
  std::vector<int64_t> shape = {experts, weight.rows};
  if (!weight.vector()) shape.push_back(weight.cols);
  DROVER_RETURN_IF_ERROR(CheckTensor(weight, tensor, shape));
  return Source{&tensor, weight.expert * weight.rows * weight.cols, weight.cols, 1, 0};
}

// The weight is not there under its name.
absl::StatusOr<Source> LocateOtherwise(const Weight& weight, const Checkpoint& checkpoint, const std::string& name) {
  if (weight.role == Role::kExpertPairs || weight.role == Role::kExpertPairsBias) return Pairs(weight, checkpoint);
  if (weight.expert >= 0 && !weight.vector())
    if (const TensorInfo* one = FindStored(checkpoint, OldGgufExpertName(weight.role, weight.layer, weight.expert))) return PlainSource(weight, *one);
  if (weight.role == Role::kKvUp)
    if (const TensorInfo* keys = FindStored(checkpoint, Cat("blk.", weight.layer, ".attn_k_b.weight"))) return LatentSplit(weight, checkpoint, *keys);
  return MissingTensor(name, ShapeOf(weight));
}

}  // namespace

absl::StatusOr<Source> LocateGguf(const Weight& weight, const Checkpoint& checkpoint) {
  if (const TensorInfo* fused = FindFused(weight, checkpoint)) return Fused(weight, checkpoint, *fused);
  std::string name;
  const TensorInfo* tensor = FindNamed(weight, checkpoint, name);
  if (tensor == nullptr) return LocateOtherwise(weight, checkpoint, name);
  if (weight.expert >= 0) return Stacked(weight, checkpoint, *tensor);
  if (weight.rows == 1 && !weight.vector() && tensor->shape.size() == 1) {  // a matrix of one row is stored as a vector
    DROVER_RETURN_IF_ERROR(CheckTensor(weight, *tensor, {weight.cols}));
    return Source{tensor, 0, weight.cols, 1, 0};
  }
  absl::StatusOr<Source> source = PlainSource(weight, *tensor);
  const Role module = ModuleRole(weight.role);
  if (source.ok() && (module == Role::kQ || module == Role::kK) && checkpoint.gguf->permuted_heads)
    source->permuted_head_dim = checkpoint.spec.layer(weight.layer).attention.head_dim;
  return source;
}

}  // namespace drover
