// See cpu_ops.h: work is cut into chunks here, loops are in the kernel tables.
#include "kernels/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/check.h"
#include "kernels/unpack.h"

namespace drover {
namespace {

constexpr int64_t kFloat = sizeof(float);
constexpr int64_t kTokenBlockBytes = 512 << 10;   // activations that stay in a core's cache while all rows pass
constexpr int64_t kChunkBytes = 24 << 10;         // least weight bytes worth a hand-over to another thread
constexpr int64_t kChunksPerThread = 6;           // more than one evens out threads of unequal speed
constexpr int64_t kHeadTokens = 32;               // tokens that meet a head's opened rows at a time
constexpr int64_t kSerialFloats = 8192;           // smaller element-wise work stays on the calling thread

struct HeadRange {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// Own query heads of own KV head `kv_head`.
HeadRange HeadsOf(const AttentionShape& shape, int64_t kv_head) {
  const int64_t first = (shape.first_kv_head + kv_head) * shape.group - shape.first_head;
  return {std::max<int64_t>(first, 0), std::min(first + shape.group, shape.heads)};
}

// Else a row would have to be padded, or put in order, for each head.
bool InWholeStrides(const PackedWeight& weight) {
  return weight.lead == 0 && weight.cols % kStride == 0 && weight.groups.order.empty();
}

float* Floats(AlignedBytes& bytes) { return reinterpret_cast<float*>(bytes.data()); }

// Part of a stride can stand before and after the own columns.
int64_t PaddedCols(int64_t cols) { return RoundUp(cols, kStride) + 2 * kStride; }

}  // namespace

CpuOps::CpuOps(Isa isa, const OpsOptions& options)
    : kernels_(KernelsOf(isa)),
      pool_(options.threads),
      tile_floats_(kRowsAtOnce * PaddedCols(options.bounds.cols)),
      score_stride_(RoundUp(options.bounds.keys, kStride) + kStride),
      padded_floats_(options.bounds.tokens * PaddedCols(options.bounds.cols)),
      tiles_(options.threads * tile_floats_ * kFloat),
      sides_(2 * options.threads * tile_floats_ * kFloat),
      scores_(options.threads * kQueriesMax * score_stride_ * kFloat),
      padded_(padded_floats_ * kFloat) {}

const float* CpuOps::Padded(const PackedWeight& weight, Tensor x, int64_t* stride) {
  const int64_t before = weight.lead % kStride, width = RoundUp(before + weight.cols, kStride);
  *stride = width;
  const std::span<const int32_t> order = weight.groups.order;
  if (width == x.cols && order.empty()) return x.data;
  DROVER_CHECK_LE(x.rows * width, padded_floats_);
  for (int64_t t = 0; t < x.rows; ++t) {
    float* row = Floats(padded_) + t * width;
    std::fill(row, row + before, 0.0f);
    if (order.empty()) std::ranges::copy(x.row(t), row + before);
    for (size_t c = 0; c < order.size(); ++c) row[c] = x.row(t)[static_cast<size_t>(order[c])];
    std::fill(row + before + weight.cols, row + width, 0.0f);
  }
  return Floats(padded_);
}

void CpuOps::Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y) {
  if (weight.empty() || x.rows == 0) return Ops::Linear(weight, bias, x, y);
  DROVER_CHECK(x.rows == y.rows && weight.rows == y.cols && weight.cols == x.cols);
  DROVER_CHECK(bias.empty() || static_cast<int64_t>(bias.size()) == y.cols);
  LinearSlice slice;
  slice.x = Padded(weight, x, &slice.x_stride);
  slice.weights = weight.bytes.data();
  slice.row_bytes = weight.row_bytes;
  slice.first = weight.lead / kStride * kStride;
  slice.cols = std::min(slice.x_stride, weight.stored_cols() - slice.first);
  slice.groups = &weight.groups;
  slice.index = &group_index_;
  slice.bias = bias.empty() ? nullptr : bias.data();
  slice.y = y.data;
  slice.y_stride = y.cols;
  DROVER_CHECK_LE(kRowsAtOnce * slice.x_stride, tile_floats_);
  const int64_t block = std::max<int64_t>(kTokenBlockBytes / (slice.x_stride * kFloat), 24);
  for (int64_t t = 0; t < x.rows; t += block) {
    LinearSlice part = slice;
    part.x += t * slice.x_stride;
    part.y += t * slice.y_stride;
    part.tokens = std::min(block, x.rows - t);
    LinearRows(weight, part);
  }
}

LinearKernel CpuOps::KernelFor(const PackedWeight& weight) {
  if (weight.grouped()) IndexGroups(weight, group_index_);
  const bool by_column = weight.grouped() && group_index_.by_column;
  return (by_column ? kernels_.linear_by_column : kernels_.linear)[static_cast<size_t>(weight.dtype)];
}

void CpuOps::LinearRows(const PackedWeight& weight, LinearSlice slice) {
  const LinearKernel kernel = KernelFor(weight);
  DROVER_CHECK(kernel != nullptr);
  const int64_t work = weight.rows * weight.row_bytes * std::max<int64_t>(slice.tokens / 4, 1);
  const int64_t chunks = pool_.threads() == 1 ? 1 : std::clamp<int64_t>(work / kChunkBytes, 1, kChunksPerThread * pool_.threads());
  const int64_t rows = RoundUp((weight.rows + chunks - 1) / chunks, kRowsAtOnce);
  pool_.Run((weight.rows + rows - 1) / rows, [&](int64_t chunk, int64_t thread) {
    LinearSlice part = slice;
    part.begin = chunk * rows;
    part.end = std::min(part.begin + rows, weight.rows);
    part.tile = Floats(tiles_) + thread * tile_floats_;
    part.sides = Floats(sides_) + thread * 2 * tile_floats_;
    kernel(part);
  });
}

LinearSlice CpuOps::SliceOfHead(const PackedWeight& weight, int64_t row, int64_t rows, int64_t thread) {
  LinearSlice slice;
  slice.weights = weight.row(row);
  slice.row_bytes = weight.row_bytes;
  slice.cols = weight.cols;
  slice.end = rows;
  slice.groups = &weight.groups;
  slice.index = &group_index_;
  slice.group_row = row;
  slice.sides = Floats(sides_) + thread * 2 * tile_floats_;
  slice.tile = Floats(tiles_) + thread * tile_floats_;
  return slice;
}

void CpuOps::HeadLinear(const PackedWeight& weight, const HeadRows& part, Tensor x, Tensor y) {
  const LinearKernel kernel = KernelFor(weight);
  if (!InWholeStrides(weight) || kernel == nullptr || part.heads == 0) return Ops::HeadLinear(weight, part, x, y);
  DROVER_CHECK(x.cols == part.heads * weight.cols && y.cols == part.heads * part.rows && weight.rows == part.heads * part.stride);
  if (x.rows == 0) return;
  pool_.Run(part.heads, [&](int64_t head, int64_t thread) {
    LinearSlice slice = SliceOfHead(weight, head * part.stride + part.first, part.rows, thread);
    slice.x = x.data + head * weight.cols;
    slice.x_stride = x.cols;
    slice.tokens = x.rows;
    slice.y = y.data + head * part.rows;
    slice.y_stride = y.cols;
    kernel(slice);
  });
}

// Rows are opened a few at a time and added to a block of tokens, whose results stay in the cache.
void CpuOps::HeadLinearTransposed(const PackedWeight& weight, const HeadRows& part, Tensor x, int64_t column, Tensor y) {
  const LinearKernel kernel = KernelFor(weight);
  if (!InWholeStrides(weight) || kernel == nullptr || part.heads == 0) return Ops::HeadLinearTransposed(weight, part, x, column, y);
  const int64_t x_head = x.cols / part.heads, y_head = y.cols / part.heads;
  DROVER_CHECK(part.rows <= x_head && column + weight.cols <= y_head && weight.rows == part.heads * part.stride);
  DROVER_CHECK_LE(kRowsAtOnce * weight.cols, tile_floats_);
  const int64_t blocks = (x.rows + kHeadTokens - 1) / kHeadTokens;
  pool_.Run(part.heads * blocks, [&](int64_t task, int64_t thread) {
    const int64_t head = task / blocks, first = task % blocks * kHeadTokens, end = std::min(first + kHeadTokens, x.rows);
    for (int64_t t = first; t < end; ++t) std::fill_n(y.row(t).data() + head * y_head + column, weight.cols, 0.0f);
    for (int64_t i = 0; i < part.rows; i += kRowsAtOnce) {
      const int64_t count = std::min(kRowsAtOnce, part.rows - i);
      const LinearSlice slice = SliceOfHead(weight, head * part.stride + part.first + i, count, thread);
      kernel(slice);  // without tokens: opens the rows
      for (int64_t t = first; t < end; ++t)
        kernels_.add_rows(x.row(t).data() + head * x_head + i, count, slice.tile, weight.cols, weight.cols,
                          y.row(t).data() + head * y_head + column);
    }
  });
}

void CpuOps::RmsNorm(Tensor x, std::span<const float> gain, float eps, Tensor y) {
  const auto width = static_cast<int64_t>(gain.size());
  DROVER_CHECK(width > 0 && x.rows == y.rows && x.cols == y.cols && x.cols % width == 0);
  for (int64_t i = 0; i < x.size(); i += width) kernels_.rms_norm(x.data + i, gain.data(), width, eps, y.data + i);
}

void CpuOps::L2Norm(int64_t width, float eps, Tensor x) {
  DROVER_CHECK(width > 0 && x.cols % width == 0);
  for (int64_t i = 0; i < x.size(); i += width) kernels_.rms_norm(x.data + i, nullptr, width, eps, x.data + i);
}

void CpuOps::Activate(GateKind kind, Tensor x) {
  const int64_t chunks = (x.size() + kSerialFloats - 1) / kSerialFloats;
  pool_.Run(chunks, [&](int64_t chunk, int64_t) {
    const int64_t begin = chunk * kSerialFloats;
    kernels_.activate(kind, x.data + begin, std::min(kSerialFloats, x.size() - begin));
  });
}

void CpuOps::GatedProduct(GateKind kind, Tensor gate, Tensor up, Tensor y) {
  DROVER_CHECK(gate.size() == up.size() && gate.size() == y.size());
  const int64_t chunks = (y.size() + kSerialFloats - 1) / kSerialFloats;
  pool_.Run(chunks, [&](int64_t chunk, int64_t) {
    const int64_t begin = chunk * kSerialFloats, n = std::min(kSerialFloats, y.size() - begin);
    kernels_.gated_product(kind, gate.data + begin, up.data + begin, n, y.data + begin);
  });
}

void CpuOps::ClampedPairs(float alpha, float limit, Tensor x, Tensor y) {
  DROVER_CHECK(x.size() == 2 * y.size() && x.rows == y.rows);
  const int64_t chunks = (y.size() + kSerialFloats - 1) / kSerialFloats;
  pool_.Run(chunks, [&](int64_t chunk, int64_t) {
    const int64_t begin = chunk * kSerialFloats, end = std::min(begin + kSerialFloats, y.size());
    for (int64_t i = begin; i < end; ++i) {
      const float gate = std::min(x.data[2 * i], limit), up = std::clamp(x.data[2 * i + 1], -limit, limit);
      y.data[i] = (up + 1) * gate / (1 + std::exp(-alpha * gate));
    }
  });
}

void CpuOps::Attend(Tensor q, std::span<const SequenceRows> sequences, const KvLayer& kv, const AttentionShape& shape, Tensor y) {
  DROVER_CHECK(q.cols == shape.heads * shape.head_dim && y.cols == shape.heads * shape.ValueDim() && y.rows == q.rows);
  DROVER_CHECK(kv.type == DType::kF32 || kv.type == DType::kBF16);
  tasks_.clear();
  for (size_t s = 0; s < sequences.size(); ++s) {
    for (int64_t kv_head = 0; kv_head < shape.kv_heads && shape.heads > 0; ++kv_head) {
      const int64_t queries = sequences[s].rows * HeadsOf(shape, kv_head).size();
      for (int64_t begin = 0; begin < queries; begin += kQueriesMax)
        tasks_.push_back({static_cast<int32_t>(s), static_cast<int32_t>(kv_head), begin});
    }
  }
  pool_.Run(static_cast<int64_t>(tasks_.size()), [&](int64_t task, int64_t thread) {
    RunAttendTask(tasks_[static_cast<size_t>(task)], thread, q, sequences, kv, shape, y);
  });
}

void CpuOps::RunAttendTask(const AttendTask& task, int64_t thread, Tensor q, std::span<const SequenceRows> sequences,
                           const KvLayer& kv, const AttentionShape& shape, Tensor y) {
  const SequenceRows& sequence = sequences[static_cast<size_t>(task.sequence)];
  const HeadRange heads = HeadsOf(shape, task.kv_head);
  AttendTile tile;
  tile.queries = std::min(kQueriesMax, sequence.rows * heads.size() - task.begin);
  for (int64_t i = 0; i < tile.queries; ++i) {
    const int64_t row = (task.begin + i) / heads.size(), head = heads.begin + (task.begin + i) % heads.size();
    tile.q[i] = q.data + (sequence.first_row + row) * q.cols + head * shape.head_dim;
    tile.y[i] = y.data + (sequence.first_row + row) * y.cols + head * shape.ValueDim();
    tile.sink[i] = shape.sinks.empty() ? -std::numeric_limits<float>::infinity() : shape.sinks[static_cast<size_t>(head)];
    tile.last[i] = sequence.position + row;
    tile.first[i] = shape.FirstKey(tile.last[i]);
    tile.slope[i] = shape.slopes.empty() ? 0 : shape.slopes[static_cast<size_t>(head)];
    DROVER_CHECK_LE(RoundUp(tile.last[i] + 1, kStride), score_stride_);
  }
  tile.keys = kv.keys + task.kv_head * shape.head_dim * kv.element_bytes();
  tile.values = kv.values + task.kv_head * shape.head_dim * kv.element_bytes();
  tile.type = kv.type;
  tile.token_stride = kv.token_stride();
  tile.block_tokens = kv.block_tokens;
  tile.blocks = sequence.blocks.data();
  tile.head_dim = shape.head_dim;
  tile.value_dim = shape.ValueDim();
  tile.scale = shape.scale;
  tile.softcap = shape.softcap;
  tile.bias_factor = shape.bias_factor;
  tile.bias_rounded = shape.bias_rounded;
  tile.scores = Floats(scores_) + thread * kQueriesMax * score_stride_;
  tile.score_stride = score_stride_;
  kernels_.attend(tile);
}

}  // namespace drover
