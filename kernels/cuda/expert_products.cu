// See expert_products.h. A block multiplies some rows of one expert's matrix by one batch: an expert is a Linear over its own rows.
#include "kernels/cuda/expert_products.h"

#include "kernels/cuda/expert_tiles.cuh"
#include "kernels/cuda/linear_rows.cuh"

namespace drover::cuda {
namespace {

constexpr int32_t kMedium = static_cast<int32_t>(kMediumTokens);
constexpr int kMediumTiles = kMedium / kTokensOfTile;
constexpr int kRowsInF32 = 4;              // of a matrix, for a warp

// A matrix of one expert: a Linear that lacks activations and results.
struct ExpertMatrix {
  LinearTask task;
  DType dtype = DType::kF32;
};

// What a launch computes: the batches of experts that have at least `least` and at most `most` rows and matrices of the dtype.
struct Launched {
  ExpertProduct product;
  const ExpertMatrix* matrices = nullptr;
  int32_t experts = 0, least = 1, most = 0;
  DType dtype = DType::kF32;
};

// What a block computes; no tokens: nothing.
struct Own {
  LinearTask task;
  int32_t begin = 0;  // its first row

  __device__ explicit Own(const Launched& launched) {
    const ExpertProduct& product = launched.product;
    const ExpertBatch batch = product.batches[blockIdx.y];
    if (batch.rows == 0 || batch.of < launched.least || batch.of > launched.most) return;
    const ExpertMatrix& matrix = launched.matrices[static_cast<int32_t>(blockIdx.z) * launched.experts + batch.expert];
    if (matrix.dtype != launched.dtype) return;
    task = matrix.task;
    task.y = product.y + static_cast<int64_t>(blockIdx.z) * product.y_side + batch.begin * task.y_token;
    task.tokens = batch.rows;
    begin = batch.begin;
  }
  // Of its own rows.
  __device__ RoundedRows Rounded(const ExpertProduct& product) const {
    if (product.places != nullptr) return {product.rounded, product.stride, product.places + begin};
    return {product.rounded + begin * product.stride, product.stride};
  }
};

template <class Read, int kTokens>
__device__ inline void MultiplyInF32(const Own& own, const ExpertProduct& product) {
  const float* x[kTokens];
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    const int32_t row = own.begin + min(t, own.task.tokens - 1);
    x[t] = product.x + (product.places == nullptr ? row : product.places[row]) * product.stride;
  }
  MultiplyRows<Read, kRowsInF32, kTokens>(own.task, 0, 0, x);
}

// Blocks that fit together have enough bytes on their way to keep memory busy, here and below.
template <class Read>
__global__ void __launch_bounds__(kThreads, 2) ExpertsInF32(const __grid_constant__ Launched launched) {
  Own own(launched);
  if (own.task.tokens == 0) return;
  own.task.wide_x = IsWide(own.task.weight, launched.product.x, launched.product.stride, 0);
  if (own.task.tokens == 1) return MultiplyInF32<Read, 1>(own, launched.product);
  MultiplyInF32<Read, kBatchRowsMin>(own, launched.product);
}

template <class Read, int kTiles>
__global__ void __launch_bounds__(kThreads, kTiles == 1 && Chunk<Read>::kBands == 1 ? 3 : 2) ExpertsOfFew(const __grid_constant__ Launched launched) {
  const Own own(launched);
  if (own.task.tokens > 0) MultiplySmallBatch<Read, kTiles>(own.task, own.Rounded(launched.product));
}

template <class Read>
__global__ void __launch_bounds__(kThreads, 2) ExpertsOfMany(const __grid_constant__ Launched launched) {
  const Own own(launched);
  if (own.task.tokens > 0) MultiplyTiles<Read>(own.task, own.Rounded(launched.product));
}

// The launches for one storage form.
struct LaunchProduct {
  const Launched& launched;
  dim3 grid;
  int32_t rows;  // of a matrix
  cudaStream_t stream;

  template <class Read>
  void operator()(Read) const {
    Launched own = launched;
    own.most = std::numeric_limits<int32_t>::max();
    if (own.product.rounded == nullptr) {
      ExpertsInF32<Read><<<grid, kThreads, 0, stream>>>(own);
    } else if (own.product.batch_rows <= kBatchRowsMin) {
      ExpertsOfFew<Read, 1><<<grid, kThreads, 0, stream>>>(own);
    } else if (own.product.batch_rows <= kMedium) {
      ExpertsOfFew<Read, kMediumTiles><<<grid, kThreads, 0, stream>>>(own);
    } else {
      own.most = kMedium;
      ExpertsOfFew<Read, kMediumTiles><<<grid, kThreads, 0, stream>>>(own);
      own.least = own.most + 1;
      own.most = std::numeric_limits<int32_t>::max();
      const dim3 tiles{Blocks(rows, kTileRows), grid.y, grid.z};
      ExpertsOfMany<Read><<<tiles, kThreads, 0, stream>>>(own);
    }
  }
};

// How the warps of a block share out a matrix, which decides the order of its sums, and how many blocks that takes.
struct Share {
  LinearTask& task;
  unsigned& blocks;
  bool bf16;

  template <class Read>
  void operator()(Read) const {
    if (bf16) {
      ShareOut<Read>(task, kRowsOfWarp<Read>, kChunksOfTurn<Read>);
      blocks = RowBlocks(task, kRowsOfWarp<Read>);
      return;
    }
    ShareOut<Read>(task, kRowsInF32, kWarp);
    task.part_shift = 0;  // there are many experts: rows enough for all warps
    blocks = RowBlocks(task, kRowsInF32);
  }
};

// One of the launches of a layer, on its way to the device.
class Matrices {
 public:
  Matrices(bool bf16, int64_t rows) : bf16_(bf16) { made_.rows = static_cast<int32_t>(rows); }

  void Add(const PackedWeight& weight, std::span<const float> bias) {
    ExpertMatrix matrix{.task = {.weight = ViewOf(weight), .bias = bias.empty() ? nullptr : bias.data(), .y_token = made_.rows}, .dtype = weight.dtype};
    matrix.task.rows = made_.rows;
    matrix.task.wide_x = IsWideRounded(matrix.task.weight);
    unsigned blocks = 0;
    WithReader(weight.dtype, Share{matrix.task, blocks, bf16_});
    const auto form = std::ranges::find(made_.forms, weight.dtype, &ExpertMatrices::Form::dtype);
    if (form == made_.forms.end())
      made_.forms.push_back({weight.dtype, blocks});
    else
      form->blocks = std::max(form->blocks, blocks);
    matrices_.push_back(matrix);
  }
  absl::StatusOr<ExpertMatrices> Upload(int64_t experts, Memory& memory) {
    made_.experts = static_cast<int32_t>(experts);
    made_.sides = static_cast<int32_t>(static_cast<int64_t>(matrices_.size()) / experts);
    const std::span<const std::byte> bytes = std::as_bytes(std::span(matrices_));
    DROVER_ASSIGN_OR_RETURN(made_.near, memory.Allocate(static_cast<int64_t>(bytes.size())));
    memory.Upload(bytes, made_.near.data());
    return std::move(made_);
  }

 private:
  const bool bf16_;
  ExpertMatrices made_;
  std::vector<ExpertMatrix> matrices_;
};

}  // namespace

absl::StatusOr<const ExpertTable*> ExpertTables::Of(const ExpertSet& set, int64_t hidden, Memory& memory) {
  const auto known = tables_.find(set.own.data());
  if (known != tables_.end()) return &known->second;
  Matrices inner(bf16_, set.pairs ? 2 * set.columns : set.columns), down(bf16_, hidden);
  for (const FfnWeights& expert : set.own) {
    if (set.pairs) inner.Add(expert.pairs, expert.pairs_bias);
    if (!set.pairs) inner.Add(expert.up, expert.up_bias);
    down.Add(expert.down, expert.down_bias);
  }
  for (const FfnWeights& expert : set.own)
    if (set.gated && !set.pairs) inner.Add(expert.gate, expert.gate_bias);
  ExpertTable table;
  const auto experts = static_cast<int64_t>(set.own.size());
  DROVER_ASSIGN_OR_RETURN(table.inner, inner.Upload(experts, memory));
  DROVER_ASSIGN_OR_RETURN(table.down, down.Upload(experts, memory));
  return &tables_.emplace(set.own.data(), std::move(table)).first->second;
}

int32_t BatchRows(bool bf16, int64_t tokens) {
  if (!bf16 || tokens <= kBatchRowsMin) return kBatchRowsMin;
  return tokens <= kMedium ? kMedium : kTileTokens;
}

void MultiplyExperts(CudaDevice& device, const ExpertMatrices& matrices, const ExpertProduct& product) {
  if (matrices.rows == 0) return;
  Launched launched{.product = product, .matrices = reinterpret_cast<const ExpertMatrix*>(matrices.near.data()), .experts = matrices.experts};
  for (const ExpertMatrices::Form& form : matrices.forms) {
    launched.dtype = form.dtype;
    const dim3 grid{form.blocks, static_cast<unsigned>(product.batches_max), static_cast<unsigned>(matrices.sides)};
    WithReader(form.dtype, LaunchProduct{launched, grid, matrices.rows, device.stream()});
    device.Launched("Experts");
  }
}

}  // namespace drover::cuda
