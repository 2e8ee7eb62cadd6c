// Where a checkpoint stores each weight of the table, and whether it holds exactly those.
#include "models/locate.h"

#include <algorithm>
#include <array>
#include <set>

#include "common/file.h"
#include "models/checkpoint/names.h"
#include "models/checkpoint/tensor_checks.h"

namespace drover {
namespace {

constexpr std::array kMatrixTypes = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ8_0, DType::kQ8_1, DType::kQ4_0,
                                     DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ2_K, DType::kQ3_K, DType::kQ4_K,
                                     DType::kQ5_K, DType::kQ6_K, DType::kQ8_K, DType::kMxfp4};
constexpr std::array kVectorTypes = {DType::kF32, DType::kF16, DType::kBF16};

Rows RowsOf(const Weight& weight) { return {weight.rows, 0, weight.rows, weight.rows}; }

// A text model inside a multi-modal one has its names behind a prefix; a file of the bare decoder has none at all.
const TensorInfo* FindHf(const Checkpoint& checkpoint, const std::string& name) {
  if (name.empty()) return nullptr;
  const TensorInfo* tensor = FindStored(checkpoint, name);
  if (tensor != nullptr) return tensor;
  const std::string_view base = NamingOf(checkpoint.spec).base;
  if (!checkpoint.spec.not_served.empty()) {
    tensor = FindStored(checkpoint, "language_model." + name);
    if (tensor != nullptr || !name.starts_with(base)) return tensor;
    return FindStored(checkpoint, Cat(base, "language_model.", name.substr(base.size())));
  }
  return name.starts_with(base) ? FindStored(checkpoint, name.substr(base.size())) : nullptr;
}

// Not cut into blocks: a quantised one cannot be read across its rows.
absl::Status CheckPlain(const TensorInfo& tensor) {
  if (Info(tensor.dtype).values == 1) return absl::OkStatus();
  return InvalidArgument("tensor ", tensor.name, ": found dtype ", Name(tensor.dtype), ", expected a plain one, as it is transposed");
}

// Experts of a layer in one tensor; of gate and up, which share one, gate comes first.
absl::StatusOr<Source> FusedExperts(const Weight& weight, const Checkpoint& checkpoint, const TensorInfo& tensor) {
  const int64_t experts = checkpoint.spec.layer(weight.layer).ffn.experts->count;
  const bool shares = weight.role == Role::kExpertGate || weight.role == Role::kExpertUp;
  const int64_t outputs = shares ? 2 * weight.rows : weight.rows, inputs = weight.cols;
  const int64_t first = weight.expert * outputs * inputs;
  const int64_t skip = weight.role == Role::kExpertUp ? weight.rows : 0;
  if (weight.vector()) {
    DROVER_RETURN_IF_ERROR(CheckTensor(weight, tensor, {experts, outputs}));
    return Source{&tensor, first, 1, 1, 0};
  }
  if (NamingOf(checkpoint.spec).experts_input_major) {
    DROVER_RETURN_IF_ERROR(CheckTensor(weight, tensor, {experts, inputs, outputs}));
    DROVER_RETURN_IF_ERROR(CheckPlain(tensor));
    return Source{&tensor, first + skip, 1, outputs, 0};
  }
  DROVER_RETURN_IF_ERROR(CheckTensor(weight, tensor, {experts, outputs, inputs}));
  return Source{&tensor, first + skip * inputs, inputs, 1, 0};
}

// Codes with scales beside them, when the file holds the matrix so.
absl::StatusOr<std::optional<PackedSource>> FindPacked(const Weight& weight, const Checkpoint& checkpoint) {
  if (!checkpoint.quantization || weight.vector()) return std::nullopt;
  const FindTensor find = [&checkpoint](const std::string& name) { return FindHf(checkpoint, name); };
  if (weight.expert >= 0) {
    const bool shares = weight.role == Role::kExpertGate || weight.role == Role::kExpertUp;
    const Stack stack{.name = HfFusedName(NamingOf(checkpoint.spec), weight.role, weight.layer),
                      .index = weight.expert,
                      .count = checkpoint.spec.layer(weight.layer).ffn.experts->count,
                      .total = shares ? 2 * weight.rows : weight.rows,
                      .cols = weight.cols,
                      .rows = {weight.role == Role::kExpertUp ? weight.rows : 0}};
    DROVER_ASSIGN_OR_RETURN(std::optional<PackedSource> packed, LocateStacked(*checkpoint.quantization, find, stack));
    if (packed) return packed;
  }
  DROVER_ASSIGN_OR_RETURN(std::optional<PackedSource> packed, LocatePacked(*checkpoint.quantization, find, weight.name, weight.rows, weight.cols));
  const std::string fused = HfFusedName(NamingOf(checkpoint.spec), weight.role, weight.layer);
  if (packed || fused.empty() || weight.expert >= 0) return packed;
  const Rows rows = FusedRows(weight, checkpoint.spec, NamingOf(checkpoint.spec).qkv);
  const StoredRows stored{rows.first, rows.run == weight.rows ? 0 : rows.run, rows.stride};
  DROVER_ASSIGN_OR_RETURN(packed, LocatePacked(*checkpoint.quantization, find, fused, rows.total, weight.cols, stored));
  if (packed) packed->SetFused();
  return packed;
}

// Early tools gave every packed matrix a bias of zeros. Biases that are not zero are no part of a model without biases.
bool IsZeroBias(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  constexpr int64_t kBytesMax = 4 << 20;
  constexpr std::string_view kBias = ".bias";
  if (!checkpoint.quantization || !tensor.name.ends_with(kBias) || tensor.shape.size() != 1 || tensor.bytes > kBytesMax) return false;
  if (FindStored(checkpoint, tensor.name.substr(0, tensor.name.size() - kBias.size()) + ".qweight") == nullptr) return false;
  const absl::StatusOr<File> file = File::Open(checkpoint.files[static_cast<size_t>(tensor.file)]);
  std::vector<std::byte> bytes(static_cast<size_t>(tensor.bytes));
  if (!file.ok() || !file->ReadAt(tensor.offset, bytes).ok()) return false;
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

absl::StatusOr<Source> TakeRows(const Weight& weight, const ModelSpec& spec, const TensorInfo& tensor, const Rows& rows) {
  const bool input_major = NamingOf(spec).input_major && weight.layer >= 0 && !weight.vector();
  std::vector<int64_t> shape = {rows.total};
  if (!weight.vector()) shape.insert(input_major ? shape.begin() : shape.end(), weight.cols);
  DROVER_RETURN_IF_ERROR(CheckTensor(weight, tensor, shape));
  if (input_major) DROVER_RETURN_IF_ERROR(CheckPlain(tensor));
  Source source{&tensor, rows.first * weight.cols, weight.cols, 1, 0};
  if (input_major) source = {&tensor, rows.first, 1, rows.total, 0};
  if (rows.run != weight.rows) {
    source.group_rows = rows.run;
    source.group_stride = rows.stride;
  }
  return source;
}

absl::StatusOr<Source> LocateHf(const Weight& weight, const Checkpoint& checkpoint) {
  const ModelSpec& spec = checkpoint.spec;
  DROVER_ASSIGN_OR_RETURN(std::optional<PackedSource> packed, FindPacked(weight, checkpoint));
  if (packed) return Source{.tensor = packed->codes.tensor, .packed = std::move(packed)};
  if (const TensorInfo* tensor = FindHf(checkpoint, weight.name)) return TakeRows(weight, spec, *tensor, RowsOf(weight));
  const std::string fused = HfFusedName(NamingOf(spec), weight.role, weight.layer);
  if (fused.empty()) return MissingTensor(weight.name, ShapeOf(weight));
  if (const TensorInfo* tensor = FindHf(checkpoint, fused)) {
    if (weight.expert >= 0) return FusedExperts(weight, checkpoint, *tensor);
    return TakeRows(weight, spec, *tensor, FusedRows(weight, spec, NamingOf(spec).qkv));
  }
  return MissingTensor(Cat(weight.name, " (or fused ", fused, ")"), ShapeOf(weight));
}

}  // namespace

absl::Status CheckTensor(const Weight& weight, const TensorInfo& tensor, const std::vector<int64_t>& shape) {
  if (tensor.shape != shape)
    return InvalidArgument("tensor ", tensor.name, ": found shape ", ShapeText(tensor.shape), ", expected ", ShapeText(shape));
  return weight.vector() ? CheckDtype(tensor, kVectorTypes) : CheckDtype(tensor, kMatrixTypes);
}

const TensorInfo* FindStored(const Checkpoint& checkpoint, const std::string& name) {
  const auto it = checkpoint.tensors.find(name);
  return it == checkpoint.tensors.end() ? nullptr : &it->second;
}

std::vector<int64_t> ShapeOf(const Weight& weight) {
  return weight.vector() ? std::vector<int64_t>{weight.rows} : std::vector<int64_t>{weight.rows, weight.cols};
}

absl::Status MissingTensor(const std::string& name, const std::vector<int64_t>& shape) {
  return InvalidArgument("tensor ", name, " is missing, expected with shape ", ShapeText(shape));
}

absl::StatusOr<Source> PlainSource(const Weight& weight, const TensorInfo& tensor) {
  DROVER_RETURN_IF_ERROR(CheckTensor(weight, tensor, ShapeOf(weight)));
  return Source{&tensor, 0, weight.cols, 1, 0};
}

Rows FusedRows(const Weight& weight, const ModelSpec& spec, FusedQkv qkv) {
  if (weight.split == Split::kFfnRows) {
    const bool up = weight.role == Role::kUp || weight.role == Role::kUpBias;
    return {2 * weight.rows, up ? weight.rows : 0, weight.rows, weight.rows};
  }
  const Attention& a = spec.layer(weight.layer).attention;
  const bool q = weight.role == Role::kQ || weight.role == Role::kQBias, v = weight.role == Role::kV || weight.role == Role::kVBias;
  const int64_t total = (a.heads + 2 * a.kv_heads) * a.head_dim;
  if (qkv == FusedQkv::kStacked) {
    const int64_t heads_before = q ? 0 : a.heads + (v ? a.kv_heads : 0);
    return {total, heads_before * a.head_dim, weight.rows, weight.rows};
  }
  const int64_t group = a.heads / a.kv_heads, heads_before = q ? 0 : group + (v ? 1 : 0);
  return {total, heads_before * a.head_dim, (q ? group : 1) * a.head_dim, (group + 2) * a.head_dim};
}

absl::StatusOr<Source> Locate(const Weight& weight, const Checkpoint& checkpoint) {
  if (checkpoint.form == CheckpointForm::kConfigOnly)
    return FailedPrecondition(checkpoint.path, ": holds a config and no weights");
  return checkpoint.form == CheckpointForm::kGguf ? LocateGguf(weight, checkpoint) : LocateHf(weight, checkpoint);
}

std::vector<const TensorInfo*> TensorsOf(const Source& source) {
  if (source.packed) return TensorsOf(*source.packed);
  if (source.turns) return {source.tensor, source.turns->second};
  return {source.tensor};
}

int64_t StoredRow(const Source& source, int64_t row) {
  if (source.group_rows > 0) return row / source.group_rows * source.group_stride + row % source.group_rows;
  const int64_t d = source.permuted_head_dim;
  if (d == 0) return row;
  const int64_t in_head = row % d;
  return row - in_head + 2 * (in_head % (d / 2)) + in_head / (d / 2);
}

int64_t RunOfRows(const Source& source, int64_t row, int64_t end) {
  if (source.permuted_head_dim > 0) return 1;
  if (source.group_rows == 0) return end - row;
  return std::min(end - row, source.group_rows - row % source.group_rows);
}

absl::Status CheckTensors(const Checkpoint& checkpoint) {
  constexpr size_t kListed = 5;
  std::vector<std::string> differences;
  std::set<std::string> seen, misfits;
  std::set<const TensorInfo*> used;
  for (const Weight& weight : WeightTable(checkpoint.spec)) {
    const absl::StatusOr<Source> source = Locate(weight, checkpoint);
    if (source.ok()) {
      for (const TensorInfo* tensor : TensorsOf(*source)) used.insert(tensor);
    } else if (const std::string text = Message(source.status()); seen.insert(text).second) {
      differences.push_back(text);
      misfits.insert(text.substr(0, text.find(": ")));
    }
  }
  const auto known = [&](const std::string& name, const TensorInfo& tensor) {
    return (checkpoint.quantization && IsActivationScale(name)) || IsZeroBias(checkpoint, tensor);
  };
  for (const auto& [name, tensor] : checkpoint.tensors)
    if (!used.contains(&tensor) && !misfits.contains("tensor " + name) && !known(name, tensor) &&
        !IsIgnoredTensor(name, checkpoint.spec))
      differences.push_back(Cat("tensor ", name, " ", ShapeText(tensor.shape), " is not part of the model"));
  if (differences.empty()) return absl::OkStatus();
  std::string list = differences[0];
  for (size_t i = 1; i < differences.size() && i < kListed; ++i) list += "; " + differences[i];
  if (differences.size() > kListed) list += Cat("; and ", differences.size() - kListed, " more");
  return InvalidArgument(checkpoint.path, ": tensors do not fit the config: ", list);
}

}  // namespace drover
