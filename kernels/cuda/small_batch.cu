// See small_batch.h: one weight, whose rows and parts of columns are shared out over warps.
#include "kernels/cuda/small_batch.h"

#include "common/check.h"
#include "kernels/cuda/small_batch.cuh"

namespace drover::cuda {
namespace {

template <class Read, int kTiles, class Rows>
__global__ void __launch_bounds__(kThreads) SmallBatchRows(const LinearTask task, const Rows x) {
  MultiplySmallBatch<Read, kTiles>(task, x);
}

template <int kTiles, class Rows>
struct LaunchSmallBatch {
  const LinearTask& task;
  const Rows& x;
  cudaStream_t stream;

  template <class Read>
  void operator()(Read) const {
    LinearTask own = task;
    ShareOut<Read>(own, kRowsOfWarp, kChunksOfTurn<Read>);
    const unsigned blocks = RowBlocks(own, kRowsOfWarp);
    SmallBatchRows<Read, kTiles, Rows><<<blocks, kThreads, 0, stream>>>(own, x);
  }
};

LinearTask TaskOf(const PackedWeight& weight, const float* bias, Tensor y) {
  LinearTask task{.weight = ViewOf(weight), .bias = bias, .y = y.data, .y_token = y.cols};
  task.tokens = static_cast<int32_t>(y.rows);
  task.rows = static_cast<int32_t>(y.cols);
  return task;
}

}  // namespace

void SmallBatch(CudaDevice& device, const PackedWeight& weight, const float* bias, Tensor x, Tensor y) {
  DROVER_CHECK_LE(x.rows, kSmallTokens);
  LinearTask task = TaskOf(weight, bias, y);
  task.wide_x = IsWide(task.weight, x.data, x.cols, 0);
  const FloatRows rows{x.data, x.cols};
  WithReader(weight.dtype, LaunchSmallBatch<1, FloatRows>{task, rows, device.stream()});
  device.Launched("Linear");
}

void MediumBatch(CudaDevice& device, const PackedWeight& weight, const float* bias, const uint16_t* x, int64_t stride, Tensor y) {
  DROVER_CHECK_LE(y.rows, kMediumTokens);
  LinearTask task = TaskOf(weight, bias, y);
  task.wide_x = task.weight.order == nullptr && task.weight.first % kPiece == 0;
  const RoundedRows rows{x, stride};
  WithReader(weight.dtype, LaunchSmallBatch<kMediumTokens / kTokensOfTile, RoundedRows>{task, rows, device.stream()});
  device.Launched("Linear");
}

}  // namespace drover::cuda
