// Exact dequantisation of a row of a PackedWeight; the one plain place that knows the storage forms.
#pragma once

#include <span>

#include "kernels/weight.h"

namespace drover {

// Whether Linear and Embed open this form.
bool IsServed(DType dtype);

// values[c] = W[row, c] for c < weight.cols (the lead is skipped).
void UnpackRow(const PackedWeight& weight, int64_t row, std::span<float> values);

}  // namespace drover
