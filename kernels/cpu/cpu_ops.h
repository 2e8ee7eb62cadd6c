// CpuOps: the fast operations of one instruction set, shared over a thread pool.
#pragma once

#include <vector>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/make_ops.h"
#include "kernels/ops.h"

namespace drover {

class CpuOps : public Ops {
 public:
  CpuOps(Isa isa, const OpsOptions& options);

  void Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y) override;
  void RmsNorm(Tensor x, std::span<const float> gain, float eps, Tensor y) override;
  void L2Norm(int64_t width, float eps, Tensor x) override;
  void Attend(Tensor q, std::span<const SequenceRows> sequences, const KvLayer& kv, const AttentionShape& shape, Tensor y) override;
  void HeadLinear(const PackedWeight& weight, const HeadRows& part, Tensor x, Tensor y) override;
  void HeadLinearTransposed(const PackedWeight& weight, const HeadRows& part, Tensor x, int64_t column, Tensor y) override;
  void ClampedPairs(float alpha, float limit, Tensor x, Tensor y) override;
  void Activate(GateKind kind, Tensor x) override;
  void GatedProduct(GateKind kind, Tensor gate, Tensor up, Tensor y) override;

 private:
  // Query heads [begin, end) of the flat order (token, own head of KV head `kv_head`) in one sequence.
  struct AttendTask {
    int32_t sequence, kv_head;
    int64_t begin;
  };
  // x with zeros before and after each row up to whole strides of the stored columns; x itself when it is so already.
  const float* Padded(const PackedWeight& weight, Tensor x, int64_t* stride);
  // Indexes the groups of grouped codes.
  LinearKernel KernelFor(const PackedWeight& weight);
  // Rows [row, row + rows) of a weight of whole strides, without tokens.
  LinearSlice SliceOfHead(const PackedWeight& weight, int64_t row, int64_t rows, int64_t thread);
  void LinearRows(const PackedWeight& weight, LinearSlice slice);
  void RunAttendTask(const AttendTask& task, int64_t thread, Tensor q, std::span<const SequenceRows> sequences,
                     const KvLayer& kv, const AttentionShape& shape, Tensor y);

  const KernelTable& kernels_;
  ThreadPool pool_;
  const int64_t tile_floats_, score_stride_, padded_floats_;
  AlignedBytes tiles_;    // one per thread
  AlignedBytes sides_;    // of grouped codes, one per thread; touched as far as it is needed
  GroupIndex group_index_;
  AlignedBytes scores_;   // kQueriesMax rows per thread
  AlignedBytes padded_;
  std::vector<AttendTask> tasks_;
};

}  // namespace drover
