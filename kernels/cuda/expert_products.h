// The products of all own experts, each with the tokens that chose it: who they are is known to the device alone.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/expert_tables.h"
#include "kernels/cuda/small_batch.h"

namespace drover::cuda {

// Some of the rows of an expert, which has `of` in all. No rows: nothing to do.
struct alignas(16) ExpertBatch {
  int32_t expert, begin, rows, of;
};
// Rows of a batch, for so many tokens in all: the more, the more a block multiplies by what it reads of a weight.
int32_t BatchRows(bool bf16, int64_t tokens);
inline constexpr int32_t kBatchRowsMin = static_cast<int32_t>(kSmallTokens);
inline int64_t BatchesMax(int64_t pairs, int64_t experts, int32_t batch_rows) { return std::min(pairs, experts) + pairs / batch_rows; }

// y[side, i] = W x[i] + bias for the rows i of each batch, with the matrices of its expert.
struct ExpertProduct {
  const ExpertBatch* batches = nullptr;
  int64_t batches_max = 0;
  int32_t batch_rows = 0;
  const float* x = nullptr;           // rows of `stride`, or
  const uint16_t* rounded = nullptr;  // in bf16, with rows that begin at multiples of 16 bytes
  int64_t stride = 0;
  const int32_t* places = nullptr;  // row i is x[places[i]]; null: x[i]
  float* y = nullptr;
  int64_t y_side = 0;  // from one side to the next

  void Read(const float* rows, int64_t row_stride) { x = rows, stride = row_stride; }
  void Read(const uint16_t* rows, int64_t row_stride) { rounded = rows, stride = row_stride; }
};
// A row's result depends on nothing but the row. In bf16: the same bits as by SmallBatch, however many rows its expert has.
void MultiplyExperts(CudaDevice& device, const ExpertMatrices& matrices, const ExpertProduct& product);

}  // namespace drover::cuda
