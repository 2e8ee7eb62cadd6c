// See small_batch.h: weights whose rows and parts of columns are shared out over warps.
#include "kernels/cuda/small_batch.h"

#include "common/check.h"
#include "kernels/cuda/small_batch.cuh"

namespace drover::cuda {
namespace {

template <class Read, int kTiles, class Rows>
__global__ void __launch_bounds__(kThreads, 2) SmallBatchRows(const __grid_constant__ LinearTasks all, const Rows x) {
  const LinearTask task = all.Of(all.Index());
  MultiplySmallBatch<Read, kTiles>(task, x);
}

template <class Read>
__global__ void __launch_bounds__(kThreads, 2) SmallGatedRows(const __grid_constant__ LinearTasks both, const GateKind kind, const FloatRows x) {
  const LinearTask gate = both.Of(0), up = both.Of(1);
  MultiplySmallBatch<Read, 1>(gate, up, {true, kind}, x);
}

template <int kTiles, class Rows>
struct LaunchSmallBatch {
  LinearTasks& all;
  const Rows& x;
  cudaStream_t stream;

  template <class Read>
  void operator()(Read) const {
    const unsigned blocks = ShareOut<Read>(all, kRowsOfWarp<Read>, kChunksOfTurn<Read>);
    SmallBatchRows<Read, kTiles, Rows><<<blocks, kThreads, 0, stream>>>(all, x);
  }
};

struct LaunchSmallGated {
  LinearTasks& both;
  GateKind kind;
  const FloatRows& x;
  cudaStream_t stream;

  template <class Read>
  void operator()(Read) const {
    ShareOut<Read>(both, kRowsOfWarp<Read>, kChunksOfTurn<Read>);  // as of each alone
    SmallGatedRows<Read><<<RowBlocks(both.Of(0), kRowsOfWarp<Read> / 2), kThreads, 0, stream>>>(both, kind, x);
  }
};

LinearTasks TasksOf(std::span<const LinearPart> parts) {
  LinearTasks all;
  for (const LinearPart& part : parts) all.Add(TaskOf(part));
  return all;
}

}  // namespace

void SmallBatch(CudaDevice& device, std::span<const LinearPart> parts, Tensor x) {
  DROVER_CHECK_LE(x.rows, kSmallTokens);
  LinearTasks all = TasksOf(parts);
  all.shared.wide_x = IsWide(all.shared.weight, x.data, x.cols, 0);
  WithReader(parts[0].weight.dtype, LaunchSmallBatch<1, FloatRows>{all, {x.data, x.cols}, device.stream()});
  device.Launched("Linear");
}

void SmallGated(CudaDevice& device, GateKind kind, const LinearPart& gate, const LinearPart& up, Tensor x) {
  DROVER_CHECK_LE(x.rows, kSmallTokens);
  const LinearPart parts[] = {gate, up};
  LinearTasks both = TasksOf(parts);
  both.shared.wide_x = IsWide(both.shared.weight, x.data, x.cols, 0);
  WithReader(gate.weight.dtype, LaunchSmallGated{both, kind, {x.data, x.cols}, device.stream()});
  device.Launched("GatedLinear");
}

void MediumBatch(CudaDevice& device, std::span<const LinearPart> parts, const uint16_t* x, int64_t stride) {
  DROVER_CHECK_LE(parts[0].y.rows, kMediumTokens);
  LinearTasks all = TasksOf(parts);
  all.shared.wide_x = IsWideRounded(all.shared.weight);
  WithReader(parts[0].weight.dtype, LaunchSmallBatch<kMediumTokens / kTokensOfTile, RoundedRows>{all, {x, stride}, device.stream()});
  device.Launched("Linear");
}

}  // namespace drover::cuda
