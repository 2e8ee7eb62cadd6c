// Reference of Ops::Rope, Ops::PlaceHeads and Ops::ScaleRows.
#include "common/check.h"
#include "kernels/ops.h"

namespace drover {
namespace {

// The RMS norm of the last gain.size() values of each head.
void NormLast(Ops& ops, int64_t head_dim, std::span<const float> gain, float eps, Tensor x) {
  const auto width = static_cast<int64_t>(gain.size());
  DROVER_CHECK(width <= head_dim && x.cols % head_dim == 0);
  if (width == head_dim) return ops.RmsNorm(x, gain, eps, x);
  for (int64_t end = head_dim; end <= x.size() && width > 0; end += head_dim) {
    const Tensor last{x.data + end - width, 1, width};
    ops.RmsNorm(last, gain, eps, last);
  }
}

}  // namespace

void Ops::Rope(const RopeAngles& angles, int64_t head_dim, Tensor x) {
  const int64_t pairs = angles.cos.cols;
  DROVER_CHECK(angles.cos.rows == x.rows && head_dim >= 2 * pairs && x.cols % head_dim == 0);
  const int64_t stride = angles.interleaved ? 2 : 1, partner = angles.interleaved ? 1 : pairs;
  for (int64_t t = 0; t < x.rows; ++t) {
    const float* cos = angles.cos.row(t).data();
    const float* sin = angles.sin.row(t).data();
    for (float* head = x.row(t).data(); head < x.row(t).data() + x.cols; head += head_dim) {
      for (int64_t i = 0; i < pairs; ++i) {
        float& a = head[i * stride];
        float& b = head[i * stride + partner];
        const float turned = a * cos[i] - b * sin[i];
        b = b * cos[i] + a * sin[i];
        a = turned;
      }
    }
  }
}

void Ops::PlaceHeads(const HeadPlacing& how, Tensor q, Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) {
  NormLast(*this, kv.head_dim, how.q_gain, how.eps, q);
  NormLast(*this, kv.head_dim, how.k_gain, how.eps, k);
  if (how.angles.cos.cols > 0) {
    Rope(how.angles, kv.head_dim, q);
    Rope(how.angles, kv.head_dim, k);
  }
  AppendKv(k, v, sequences, kv);
}

void Ops::ScaleRows(std::span<const float> factors, Tensor x) {
  DROVER_CHECK_EQ(static_cast<int64_t>(factors.size()), x.rows);
  for (int64_t t = 0; t < x.rows; ++t)
    for (float& value : x.row(t)) value *= factors[static_cast<size_t>(t)];
}

}  // namespace drover
