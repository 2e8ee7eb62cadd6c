// See small_batch.h: weights whose rows and parts of columns are shared out over warps.
#include "kernels/cuda/small_batch.h"

#include "common/check.h"
#include "kernels/cuda/small_batch.cuh"

namespace drover::cuda {
namespace {

// Tasks beside each other; or a gate's and the other matrix's, whose rows are multiplied together.
struct SmallBatchTask {
  LinearTasks all;
  bool gated = false;
  GateKind kind = {};
};

template <class Read, int kTiles, class Rows>
__global__ void __launch_bounds__(kThreads) SmallBatchRows(const __grid_constant__ SmallBatchTask task, const Rows x) {
  const LinearTask* up = task.gated ? &task.all.tasks[1] : nullptr;
  MultiplySmallBatch<Read, kTiles>(task.gated ? task.all.tasks[0] : task.all.Own(), x, up, task.kind);
}

template <int kTiles, class Rows>
struct LaunchSmallBatch {
  const SmallBatchTask& task;
  const Rows& x;
  cudaStream_t stream;

  template <class Read>
  void operator()(Read) const {
    SmallBatchTask own = task;
    unsigned blocks = ShareOut<Read>(own.all, kRowsOfWarp, kChunksOfTurn<Read>);
    if (task.gated) blocks = RowBlocks(own.all.tasks[0], kGatedRowsOfWarp);
    SmallBatchRows<Read, kTiles, Rows><<<blocks, kThreads, 0, stream>>>(own, x);
  }
};

void Launch(CudaDevice& device, DType dtype, SmallBatchTask task, const FewTokens& x) {
  DROVER_CHECK_LE(x.x.rows, x.rounded == nullptr ? kSmallTokens : kMediumTokens);
  for (LinearTask& one : std::span(task.all.tasks, static_cast<size_t>(task.all.count)))
    one.wide_x = x.rounded == nullptr ? IsWide(one.weight, x.x.data, x.x.cols, 0) : one.weight.order == nullptr && one.weight.first % kPiece == 0;
  if (x.rounded == nullptr)
    WithReader(dtype, LaunchSmallBatch<1, FloatRows>{task, {x.x.data, x.x.cols}, device.stream()});
  else
    WithReader(dtype, LaunchSmallBatch<kMediumTokens / kTokensOfTile, RoundedRows>{task, {x.rounded, x.stride}, device.stream()});
  device.Launched("Linear");
}

}  // namespace

void SmallBatch(CudaDevice& device, std::span<const LinearPart> parts, const FewTokens& x) {
  for (size_t begin = 0; begin < parts.size(); begin += LinearTasks::kMost) {
    SmallBatchTask task;
    for (const LinearPart& part : parts.subspan(begin, std::min<size_t>(LinearTasks::kMost, parts.size() - begin))) task.all.Add(TaskOf(part));
    Launch(device, parts[0].weight.dtype, task, x);
  }
}

bool CanPair(const PackedWeight& a, const PackedWeight& b) {
  const Groups &g = a.groups, &h = b.groups;
  const bool plain = g.order.empty() && g.column_group.empty() && h.order.empty() && h.column_group.empty();
  return plain && a.dtype == b.dtype && a.rows == b.rows && a.cols == b.cols && a.lead == b.lead && a.row_bytes == b.row_bytes &&
         g.cols == h.cols && g.col_offset == h.col_offset && g.across == h.across;
}

void SmallGated(CudaDevice& device, GateKind kind, const LinearPart& gate, const LinearPart& up, const FewTokens& x) {
  SmallBatchTask task{.gated = true, .kind = kind};
  task.all.Add(TaskOf(gate));
  task.all.Add(TaskOf(up));
  Launch(device, gate.weight.dtype, task, x);
}

}  // namespace drover::cuda
