// KernelTable: the inner loops of one instruction set, as function pointers chosen once at start-up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/status.h"
#include "kernels/groups.h"
#include "kernels/ops.h"

namespace drover {

enum class Isa { kBaseline, kAvx2, kAvx512 };

// Columns are processed in strides of one quantisation block.
inline constexpr int64_t kStride = 32;
inline constexpr int64_t kRowsAtOnce = 4;
inline constexpr int64_t kQueriesMax = 4;
inline constexpr int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Rows [begin, end) of y = Wx + b for all tokens. Without tokens: the first kRowsAtOnce of these rows are opened to f32 in `tile`.
struct LinearSlice {
  const std::byte* weights = nullptr;  // row 0
  int64_t row_bytes = 0;
  int64_t first = 0;            // stored column where the work begins; a multiple of kStride
  int64_t cols = 0;             // columns from there on; whole strides unless the type is plain
  const float* x = nullptr;     // x[0] meets column `first`; readable and zero up to RoundUp(cols, kStride)
  int64_t x_stride = 0;
  int64_t tokens = 0;
  const float* bias = nullptr;  // may be null
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t begin = 0, end = 0;
  const Groups* groups = nullptr;  // of grouped codes, with their index
  const GroupIndex* index = nullptr;
  int64_t group_row = 0;        // the weight's row that `weights` points to
  float* sides = nullptr;       // then: kRowsAtOnce rows of scales and of zeros, an entry of the index each
  float* tile = nullptr;        // kRowsAtOnce · RoundUp(cols, kStride) floats, 64-byte aligned
};

// Up to kQueriesMax query heads of one sequence that share a KV head. Keys of all ranges lie in [first, last] of the tile.
struct AttendTile {
  int64_t queries = 0;
  const float* q[kQueriesMax] = {};
  float* y[kQueriesMax] = {};
  int64_t first[kQueriesMax] = {}, last[kQueriesMax] = {};  // keys, both ends included
  const std::byte* keys = nullptr;  // of the KV head in block 0
  const std::byte* values = nullptr;
  DType type = DType::kF32;         // of keys and values
  int64_t token_stride = 0, block_tokens = 0;
  const int32_t* blocks = nullptr;
  int64_t head_dim = 0, value_dim = 0;
  float scale = 1, softcap = 0;
  float sink[kQueriesMax] = {};   // -infinity: none
  float slope[kQueriesMax] = {};  // 0: no bias
  float bias_factor = 1;
  bool bias_rounded = false;
  float* scores = nullptr;        // [kQueriesMax, score_stride]
  int64_t score_stride = 0;
};

using LinearKernel = void (*)(const LinearSlice&);

struct KernelTable {
  std::string_view name;
  std::array<LinearKernel, kDTypes> linear;  // by dtype; null where a dtype is no storage form of weights
  std::array<LinearKernel, kDTypes> linear_by_column;  // of grouped codes whose groups begin inside strides
  void (*attend)(const AttendTile&);
  // y = gain ⊙ x / sqrt(mean x² + eps); gain may be null.
  void (*rms_norm)(const float* x, const float* gain, int64_t n, float eps, float* y);
  // y[j] += Σ_i factors[i]·rows[i·stride + j] for i < count (at most kRowsAtOnce), in the order of i.
  void (*add_rows)(const float* factors, int64_t count, const float* rows, int64_t stride, int64_t n, float* y);
  void (*activate)(GateKind kind, float* x, int64_t n);
  void (*gated_product)(GateKind kind, const float* gate, const float* up, int64_t n, float* y);
  double (*read_sum)(const float* x, int64_t n);  // reads n floats once: the measure of read bandwidth
};

const KernelTable& BaselineKernels();
const KernelTable& Avx2Kernels();
const KernelTable& Avx512Kernels();

// What this machine can run, best last.
bool Supports(Isa isa);
Isa BestIsa();
absl::StatusOr<Isa> IsaFromName(std::string_view name);
std::string_view Name(Isa isa);

// The table of `isa`, which the machine must support.
const KernelTable& KernelsOf(Isa isa);

}  // namespace drover
