// Where a checkpoint stores a packed matrix: its codes, scales, zeros and order, in the layouts of the tools that write them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/checkpoint/checkpoint.h"
#include "models/storage_form.h"

namespace drover {

// A matrix of small integers or plain numbers in a tensor made of units (words, bytes, numbers). A unit holds 8·unit_bytes / bits
// values that follow each other along the columns, or along the rows; value i of a unit lies at bit place[i]·bits. Units follow
// each other along the rows of units, or, transposed, along their columns.
struct StoredArray {
  const TensorInfo* tensor = nullptr;
  int64_t first_unit = 0;  // of the matrix in the tensor
  int64_t rows = 0, cols = 0;
  int64_t unit_bytes = 1, bits = 8;
  bool along_rows = false, transposed = false;
  const uint8_t* place = nullptr;  // null: i
  uint32_t flip = 0;               // bits to invert in every code: makes signed integers unsigned
  bool shared = false;             // units that hold this matrix hold values of other weights too

  int64_t per_unit() const { return 8 * unit_bytes / bits; }
  int64_t unit_rows() const { return along_rows ? (rows + per_unit() - 1) / per_unit() : rows; }
  int64_t unit_cols() const { return along_rows ? cols : (cols + per_unit() - 1) / per_unit(); }
  // Units that hold the values of these rows and columns.
  Range UnitRows(Range values) const { return along_rows ? Units(values) : values; }
  Range UnitCols(Range values) const { return along_rows ? values : Units(values); }

 private:
  Range Units(Range values) const { return {values.begin / per_unit(), (values.end + per_unit() - 1) / per_unit()}; }
};

// Scales of which every level is itself quantised (NF4): scale = map[code]·of_256[block / 256] + offset, blocks counted over the
// whole matrix. The offset, and the shape once more, stand in `state`, a tensor of JSON.
struct NestedScales {
  const TensorInfo* map = nullptr;
  const TensorInfo* of_256 = nullptr;
};

// Which rows of a stored matrix a weight is: runs of `run` rows, the first at `first`, one every `stride`; run 0: a single one.
struct StoredRows {
  int64_t first = 0, run = 0, stride = 0;

  int64_t At(int64_t row) const { return first + (run == 0 ? row : row / run * stride + row % run); }
  // How many rows from `row` on, up to `end`, follow each other.
  int64_t Following(int64_t row, int64_t end) const { return run == 0 ? end - row : std::min(end - row, run - row % run); }
};

struct PackedSource {
  StorageForm form;
  StoredRows rows;
  StoredArray codes, scales;
  StoredArray zeros;               // tensor null: `zero` everywhere
  int64_t zero = 0, zero_plus = 0; // what is added to a stored zero
  const TensorInfo* order = nullptr;  // int32 of each column: its group
  NestedScales nested;
  const TensorInfo* levels = nullptr;  // the 16 values of NF4 codes, once more
  const TensorInfo* state = nullptr;
  const TensorInfo* shape = nullptr;   // two int64: rows and columns once more
  bool fused = false;                  // what lies beside the codes belongs to other weights too

  void SetFused();
};

// All tensors of the matrix.
std::vector<const TensorInfo*> TensorsOf(const PackedSource& packed);

using FindTensor = std::function<const TensorInfo*(const std::string& name)>;

// A matrix of `total` × `cols` that would be named `name` ("….q_proj.weight") if it were not packed, and of it the rows `rows`;
// nothing when the file holds no packed form of it. Errors name the tensor that is missing or does not fit, what was found and what was expected.
absl::StatusOr<std::optional<PackedSource>> LocatePacked(const Quantization& quantization, const FindTensor& find,
                                                         const std::string& name, int64_t total, int64_t cols,
                                                         const StoredRows& rows = {});

// The same of matrix `index` of `count` that a file holds together: in "NAME_blocks" and "NAME_scales", or as 8-bit floats of
// [experts, inputs, outputs] in NAME beside "NAME_scale".
struct Stack {
  std::string name;
  int64_t index = 0, count = 0;
  int64_t total = 0, cols = 0;  // of one of them
  StoredRows rows;
};
absl::StatusOr<std::optional<PackedSource>> LocateStacked(const Quantization& quantization, const FindTensor& find, const Stack& stack);

// A tensor without effect on weights that quantised checkpoints carry: scales of activations and of caches.
bool IsActivationScale(std::string_view name);

// How the config says that a matrix will be stored; nothing when it stays as it is. For plans made without the weights.
std::optional<StorageForm> PlannedForm(const Quantization& quantization, std::string_view module, int64_t rows, int64_t cols);

}  // namespace drover
