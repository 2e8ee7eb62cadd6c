// See packed.h: one function a packing.
#include "models/checkpoint/packed.h"

#include <algorithm>
#include <array>

#include "models/checkpoint/tensor_checks.h"

namespace drover {
namespace {

constexpr std::array<uint8_t, 8> kAwqPlace = {0, 4, 1, 5, 2, 6, 3, 7};  // output j of eight lies in nibble kAwqPlace[j]
constexpr std::array<uint8_t, 2> kHighFirst = {1, 0};
constexpr int64_t kWordBytes = 4;
constexpr int64_t kNestedBlocks = 256;
constexpr std::array kScaleTypes = {DType::kF32, DType::kF16, DType::kBF16};

using Shape = std::vector<int64_t>;

int64_t Parts(int64_t size, int64_t part) { return (size + part - 1) / part; }

// Looks up the tensors of one matrix and remembers the first thing that does not fit.
class Finder {
 public:
  Finder(const FindTensor& find, std::string module) : find_(find), module_(std::move(module)) {}

  const absl::Status& status() const { return status_; }
  const TensorInfo* Maybe(std::string_view ending) const { return find_(Cat(module_, ending)); }

  // The tensor with one of the shapes and dtypes given; null after an error.
  const TensorInfo* Need(std::string_view ending, std::span<const Shape> shapes, std::span<const DType> dtypes) {
    const TensorInfo* tensor = Maybe(ending);
    if (tensor == nullptr) return Fail(Cat("tensor ", module_, ending, " is missing, expected with shape ", ShapeText(shapes[0])));
    const bool shape_fits = std::ranges::find(shapes, tensor->shape) != shapes.end();
    if (!shape_fits)
      return Fail(Cat("tensor ", tensor->name, ": found shape ", ShapeText(tensor->shape), ", expected ", ShapeText(shapes[0])));
    if (const absl::Status dtype = CheckDtype(*tensor, dtypes); !dtype.ok()) return Fail(Message(dtype));
    return tensor;
  }
  const TensorInfo* Need(std::string_view ending, const Shape& shape, std::initializer_list<DType> dtypes) {
    return Need(ending, {&shape, 1}, {dtypes.begin(), dtypes.size()});
  }
  const TensorInfo* Fail(std::string text) {
    if (status_.ok()) status_ = InvalidArgument(text);
    return nullptr;
  }

 private:
  const FindTensor& find_;
  std::string module_;
  absl::Status status_;
};

// Numbers of the tensor's own dtype.
StoredArray Numbers(const TensorInfo* tensor, int64_t rows, int64_t cols, bool transposed) {
  StoredArray array{.tensor = tensor, .rows = rows, .cols = cols, .transposed = transposed};
  if (tensor != nullptr) array.unit_bytes = Info(tensor->dtype).bytes;
  array.bits = 8 * array.unit_bytes;
  return array;
}

StoredArray Words(const TensorInfo* tensor, int64_t rows, int64_t cols, int64_t bits) {
  return {.tensor = tensor, .rows = rows, .cols = cols, .unit_bytes = kWordBytes, .bits = bits};
}

DType CodesOf(int64_t bits) { return bits == 8 ? DType::kU8 : DType::kU4; }

// Group size of a scheme on this matrix.
void SetGroups(const WeightScheme& scheme, int64_t rows, int64_t cols, StorageForm& form) {
  const bool by_row = scheme.shape == ScaleShape::kRow || scheme.shape == ScaleShape::kGroup;
  form.group_rows = scheme.shape == ScaleShape::kTensor ? rows : by_row ? 1 : scheme.group_rows;
  form.group_cols = scheme.shape == ScaleShape::kTensor || scheme.shape == ScaleShape::kRow ? cols : scheme.group_cols;
}

int64_t Down(const StorageForm& form, int64_t rows) { return Parts(rows, form.group_rows); }
int64_t Across(const StorageForm& form, int64_t cols) { return Parts(cols, form.group_cols); }

// Shapes that the scales of a scheme may have.
std::vector<Shape> ScaleShapes(const WeightScheme& scheme, const StorageForm& form, int64_t rows, int64_t cols) {
  if (scheme.shape == ScaleShape::kTensor) return {{1}, {}, {1, 1}};
  if (scheme.shape == ScaleShape::kRow) return {{rows, 1}, {rows}};
  return {{Down(form, rows), Across(form, cols)}};
}

// One byte a value, beside its scales.
void LocateBytes(const WeightScheme& scheme, int64_t rows, int64_t cols, Finder& find, PackedSource& out) {
  const bool real = scheme.packing == Packing::kFloat8;
  out.codes = Numbers(find.Need(".weight", Shape{rows, cols}, {real ? DType::kF8E4M3 : DType::kI8}), rows, cols, false);
  out.form.codes = real ? DType::kF8E4M3 : DType::kU8;
  SetGroups(scheme, rows, cols, out.form);
  const bool inverse =
      find.Maybe(".weight_scale") == nullptr && (scheme.shape == ScaleShape::kBlock || find.Maybe(".weight_scale_inv") != nullptr);
  constexpr std::array kTypes = {DType::kF32, DType::kF16, DType::kBF16, DType::kE8M0};
  const TensorInfo* scales =
      find.Need(inverse ? ".weight_scale_inv" : ".weight_scale", ScaleShapes(scheme, out.form, rows, cols), kTypes);
  out.scales = Numbers(scales, Down(out.form, rows), Across(out.form, cols), false);
  if (real) return;
  out.codes.flip = 0x80;
  out.zero = 128;
  if (!scheme.zeros) return;
  out.zeros = Numbers(find.Need(".weight_zero_point", ScaleShapes(scheme, out.form, rows, cols), std::array{DType::kI8}),
                      Down(out.form, rows), Across(out.form, cols), false);
  out.zeros.flip = 0x80;
}

void LocateOrder(const WeightScheme& scheme, std::string_view ending, int64_t cols, Finder& find, PackedSource& out) {
  if (scheme.ordered || find.Maybe(ending) != nullptr) out.order = find.Need(ending, Shape{cols}, {DType::kI32});
  out.form.ordered = scheme.ordered;
}

void LocateWords(const WeightScheme& scheme, int64_t rows, int64_t cols, Finder& find, PackedSource& out) {
  const int64_t per = 8 * kWordBytes / scheme.bits;
  out.codes = Words(find.Need(".weight_packed", Shape{rows, Parts(cols, per)}, {DType::kI32}), rows, cols, scheme.bits);
  out.form.codes = CodesOf(scheme.bits);
  SetGroups(scheme, rows, cols, out.form);
  const int64_t down = Down(out.form, rows), across = Across(out.form, cols);
  out.scales = Numbers(find.Need(".weight_scale", ScaleShapes(scheme, out.form, rows, cols), kScaleTypes), down, across, false);
  out.zero = int64_t{1} << (scheme.bits - 1);
  if (scheme.zeros) {
    out.zeros = Words(find.Need(".weight_zero_point", Shape{Parts(down, per), across}, {DType::kI32}), down, across, scheme.bits);
    out.zeros.along_rows = true;
  }
  LocateOrder(scheme, ".weight_g_idx", cols, find, out);
  out.shape = find.Need(".weight_shape", Shape{2}, {DType::kI64});
}

// A stored size must be whole words.
bool Divides(int64_t per, int64_t size, std::string_view what, Finder& find) {
  if (size % per == 0) return true;
  find.Fail(Cat("tensor ", find.Maybe(".qweight")->name, ": found ", size, " ", what, ", expected a multiple of ", per));
  return false;
}

void LocateGptq(const WeightScheme& scheme, int64_t rows, int64_t cols, Finder& find, PackedSource& out) {
  const int64_t per = 8 * kWordBytes / scheme.bits;
  if (!Divides(per, cols, "inputs", find) || !Divides(per, rows, "outputs", find)) return;
  out.codes = Words(find.Need(".qweight", Shape{cols / per, rows}, {DType::kI32}), rows, cols, scheme.bits);
  out.codes.transposed = true;
  out.form.codes = CodesOf(scheme.bits);
  SetGroups(scheme, rows, cols, out.form);
  const int64_t across = Across(out.form, cols);
  out.scales = Numbers(find.Need(".scales", {{{across, rows}}}, kScaleTypes), rows, across, true);
  out.zeros = Words(find.Need(".qzeros", Shape{across, rows / per}, {DType::kI32}), rows, across, scheme.bits);
  out.zeros.along_rows = out.zeros.transposed = true;
  out.zero_plus = scheme.zero_plus;
  LocateOrder(scheme, ".g_idx", cols, find, out);
}

void LocateAwq(const WeightScheme& scheme, int64_t rows, int64_t cols, Finder& find, PackedSource& out) {
  const int64_t per = 8 * kWordBytes / scheme.bits;
  if (!Divides(per, rows, "outputs", find)) return;
  const auto words = [&](std::string_view ending, int64_t across) {
    StoredArray array = Words(find.Need(ending, Shape{across, rows / per}, {DType::kI32}), rows, across, scheme.bits);
    array.along_rows = array.transposed = true;
    array.place = kAwqPlace.data();
    return array;
  };
  out.codes = words(".qweight", cols);
  out.form.codes = CodesOf(scheme.bits);
  SetGroups(scheme, rows, cols, out.form);
  const int64_t across = Across(out.form, cols);
  out.scales = Numbers(find.Need(".scales", {{{across, rows}}}, kScaleTypes), rows, across, true);
  out.zeros = words(".qzeros", across);
}

void LocateNf4(const WeightScheme& scheme, int64_t rows, int64_t cols, Finder& find, PackedSource& out) {
  const int64_t block = scheme.group_cols, blocks = Parts(rows * cols, block);
  if (cols % block != 0) {
    find.Fail(Cat("tensor ", find.Maybe(".weight")->name, ": found rows of ", cols, " values, expected whole blocks of ", block));
    return;
  }
  const std::array<Shape, 2> bytes = {Shape{rows * cols / 2, 1}, Shape{1, rows * cols / 2}};
  const TensorInfo* codes = find.Need(".weight", bytes, std::array{DType::kU8});
  out.codes = {.tensor = codes, .rows = rows, .cols = cols, .unit_bytes = 1, .bits = 4, .place = kHighFirst.data()};
  out.form = {.codes = DType::kNF4, .group_rows = 1, .group_cols = block, .scales = DType::kF32};
  out.levels = find.Need(".weight.quant_map", Shape{16}, {DType::kF32});
  out.state = find.Maybe(".weight.quant_state.bitsandbytes__nf4");
  if (out.state == nullptr) {
    find.Need(".weight.quant_state.bitsandbytes__nf4", Shape{0}, {DType::kU8});
    return;
  }
  const bool nested = find.Maybe(".weight.nested_absmax") != nullptr;
  const TensorInfo* scales = find.Need(".weight.absmax", Shape{blocks}, {nested ? DType::kU8 : DType::kF32});
  out.scales = Numbers(scales, rows, cols / block, false);
  if (!nested) return;
  out.nested.of_256 = find.Need(".weight.nested_absmax", Shape{Parts(blocks, kNestedBlocks)}, {DType::kF32});
  out.nested.map = find.Need(".weight.nested_quant_map", Shape{256}, {DType::kF32});
}

// 32 four-bit floats a block, each block under one power of two.
void LocateBlocks(const Stack& stack, Finder& find, PackedSource& out) {
  constexpr int64_t kBlock = 32;
  if (stack.cols % kBlock != 0)
    find.Fail(Cat("tensor ", stack.name, "_blocks: found rows of ", stack.cols, " values, expected whole blocks of ", kBlock));
  const int64_t across = stack.cols / kBlock;
  out.form = {.codes = DType::kE2M1, .group_rows = 1, .group_cols = kBlock, .scales = DType::kE8M0};
  const TensorInfo* codes = find.Need("_blocks", Shape{stack.count, stack.total, across, kBlock / 2}, {DType::kU8});
  out.codes = {.tensor = codes, .rows = stack.total, .cols = stack.cols, .unit_bytes = 1, .bits = 4};
  out.codes.first_unit = stack.index * stack.total * stack.cols / 2;
  out.scales = Numbers(find.Need("_scales", Shape{stack.count, stack.total, across}, {DType::kU8}), stack.total, across, false);
  out.scales.first_unit = stack.index * stack.total * across;
}

// 8-bit floats with the outputs side by side, and a scale for each output.
void LocateColumns(const Stack& stack, Finder& find, PackedSource& out) {
  out.form = {.codes = DType::kF8E4M3, .group_rows = 1, .group_cols = stack.cols};
  const TensorInfo* codes = find.Need("", Shape{stack.count, stack.cols, stack.total}, {DType::kF8E4M3});
  out.codes = Numbers(codes, stack.total, stack.cols, true);
  out.codes.first_unit = stack.index * stack.total * stack.cols;
  const std::array<Shape, 2> shapes = {Shape{stack.count, 1, stack.total}, Shape{stack.count, stack.total, 1}};
  out.scales = Numbers(find.Need("_scale", shapes, kScaleTypes), stack.total, 1, false);
  out.scales.first_unit = stack.index * stack.total;
  if (out.scales.tensor != nullptr) out.form.scales = out.scales.tensor->dtype;
}

struct Row {
  Packing packing;
  std::string_view ending;      // of the tensor of codes
  std::optional<DType> dtype;   // that tells it from an unpacked one
  void (*locate)(const WeightScheme& scheme, int64_t rows, int64_t cols, Finder& find, PackedSource& out);
};
constexpr std::array<Row, 6> kRows = {{{Packing::kFloat8, ".weight", DType::kF8E4M3, LocateBytes},
                                       {Packing::kInt8, ".weight", DType::kI8, LocateBytes},
                                       {Packing::kWords, ".weight_packed", std::nullopt, LocateWords},
                                       {Packing::kGptq, ".qweight", std::nullopt, LocateGptq},
                                       {Packing::kAwq, ".qweight", std::nullopt, LocateAwq},
                                       {Packing::kNf4, ".weight", DType::kU8, LocateNf4}}};

const Row* RowOf(Packing packing) {
  for (const Row& row : kRows)
    if (row.packing == packing) return &row;
  return nullptr;
}

}  // namespace

void PackedSource::SetFused() {
  fused = scales.shared = zeros.shared = true;
  codes.shared = codes.along_rows;
}

std::vector<const TensorInfo*> TensorsOf(const PackedSource& packed) {
  std::vector<const TensorInfo*> tensors;
  for (const TensorInfo* tensor : {packed.codes.tensor, packed.scales.tensor, packed.zeros.tensor, packed.order, packed.levels,
                                   packed.state, packed.shape, packed.nested.map, packed.nested.of_256})
    if (tensor != nullptr) tensors.push_back(tensor);
  return tensors;
}

absl::StatusOr<std::optional<PackedSource>> LocatePacked(const Quantization& quantization, const FindTensor& find_tensor,
                                                         const std::string& name, int64_t total, int64_t cols,
                                                         const StoredRows& rows) {
  constexpr std::string_view kWeight = ".weight";
  if (!name.ends_with(kWeight)) return std::nullopt;
  const std::string module = name.substr(0, name.size() - kWeight.size());
  absl::Status first_error;
  for (const WeightScheme& scheme : quantization.schemes) {
    const Row* row = RowOf(scheme.packing);
    const TensorInfo* codes = row == nullptr ? nullptr : find_tensor(Cat(module, row->ending));
    if (codes == nullptr || (row->dtype && codes->dtype != *row->dtype)) continue;
    Finder find(find_tensor, module);
    PackedSource out;
    row->locate(scheme, total, cols, find, out);
    if (rows.run != 0 && out.form.group_rows > 1 && out.form.group_rows < total)
      find.Fail(Cat("tensor ", codes->name, ": found blocks of ", out.form.group_rows, " rows, expected a scale for each row, as several ",
                    "weights alternate in its rows"));
    if (find.status().ok()) {
      out.rows = rows;
      out.form.first_row = rows.run == 0 ? rows.first : 0;
      if (out.nested.map == nullptr) out.form.scales = out.scales.tensor->dtype;
      out.form.zeros = out.zeros.tensor != nullptr;
      return out;
    }
    if (first_error.ok()) first_error = find.status();
  }
  DROVER_RETURN_IF_ERROR(first_error);
  return std::nullopt;
}

absl::StatusOr<std::optional<PackedSource>> LocateStacked(const Quantization& quantization, const FindTensor& find_tensor,
                                                          const Stack& stack) {
  Finder find(find_tensor, stack.name);
  for (const WeightScheme& scheme : quantization.schemes) {
    const TensorInfo* whole = find.Maybe("");
    PackedSource out;
    if (scheme.packing == Packing::kMxfp4 && find.Maybe("_blocks") != nullptr)
      LocateBlocks(stack, find, out);
    else if (scheme.packing == Packing::kFloat8 && whole != nullptr && whole->dtype == DType::kF8E4M3)
      LocateColumns(stack, find, out);
    else
      continue;
    DROVER_RETURN_IF_ERROR(find.status());
    out.rows = stack.rows;
    out.form.first_row = stack.rows.first;
    return out;
  }
  return std::nullopt;
}

bool IsActivationScale(std::string_view name) {
  for (const std::string_view ending : {".input_scale", ".activation_scale", ".input_zero_point", ".k_scale", ".v_scale", ".q_scale",
                                        ".output_scale", ".input_scale_ub"})
    if (name.ends_with(ending)) return true;
  return false;
}

std::optional<StorageForm> PlannedForm(const Quantization& quantization, std::string_view module, int64_t rows, int64_t cols) {
  if (quantization.schemes.empty() || KeepsModule(quantization, module)) return std::nullopt;
  const WeightScheme& scheme = quantization.schemes[0];
  StorageForm form;
  switch (scheme.packing) {
    case Packing::kFloat8: form.codes = DType::kF8E4M3; break;
    case Packing::kMxfp4: form.codes = DType::kE2M1; break;
    case Packing::kNf4: form.codes = DType::kNF4; break;
    default: form.codes = CodesOf(scheme.bits);
  }
  SetGroups(scheme, rows, cols, form);
  const bool half = scheme.packing == Packing::kGptq || scheme.packing == Packing::kAwq || scheme.packing == Packing::kWords;
  form.scales = scheme.packing == Packing::kMxfp4 ? DType::kE8M0 : half ? DType::kF16 : DType::kF32;
  form.zeros = scheme.zeros;
  form.ordered = scheme.ordered;
  return form;
}

}  // namespace drover
