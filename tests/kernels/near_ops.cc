// See near_ops.h.
#include "tests/kernels/near_ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace drover {
namespace {

// The arguments of one call. Leaving scope waits for the operation and takes the results back.
class Call {
 public:
  explicit Call(Ops& ops) : ops_(ops), memory_(ops.memory()) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    const absl::Status status = ops_.Finish();
    EXPECT_TRUE(status.ok()) << status;
    for (const Region& region : regions_) {
      if (!region.written || !status.ok()) continue;
      EXPECT_TRUE(memory_.Download(region.near, region.host).ok());
    }
  }

  template <class T>
  std::span<const T> In(std::span<const T> values) {
    return {Near<T>(std::span(const_cast<T*>(values.data()), values.size()), false), values.size()};
  }
  template <class T>
  std::span<T> Out(std::span<T> values) {
    return {Near<T>(values, true), values.size()};
  }
  Tensor In(Tensor x) { return {Near<float>(x.all(), false), x.rows, x.cols}; }
  Tensor Out(Tensor x) { return {Near<float>(x.all(), true), x.rows, x.cols}; }
  LinearPart In(const LinearPart& part) { return {In(part.weight), In(part.bias), Out(part.y)}; }
  const PackedWeight& In(const PackedWeight& weight) {
    absl::StatusOr<PackedWeight> near = CopyTo(weight, memory_);
    EXPECT_TRUE(near.ok()) << near.status();
    weights_.push_back(*std::move(near));
    return weights_.back();
  }
  // The blocks that the sequences name, and those before them.
  KvLayer Cache(std::span<const SequenceRows> sequences, const KvLayer& kv, bool written) {
    int32_t blocks = 0;
    for (const SequenceRows& sequence : sequences)
      for (const int32_t block : sequence.blocks) blocks = std::max(blocks, block + 1);
    const auto bytes = static_cast<size_t>(blocks * kv.block_tokens * kv.token_stride() * kv.element_bytes());
    KvLayer near = kv;
    near.keys = NearElements({kv.keys, bytes}, kv.type, written);
    const bool inside = kv.values >= kv.keys && kv.values < kv.keys + bytes;
    near.values = inside ? near.keys + (kv.values - kv.keys) : NearElements({kv.values, bytes}, kv.type, written);
    return near;
  }

 private:
  struct Region {
    std::span<std::byte> host;
    std::byte* near;
    bool written;
    AlignedBytes bytes;
  };

  // The same place for the same bytes, when an operation works in place. Odd sizes begin off the alignment of vectors.
  template <class T>
  T* Near(std::span<T> values, bool written) {
    if (values.empty()) return nullptr;
    const std::span<std::byte> host = std::as_writable_bytes(values);
    for (Region& region : regions_) {
      if (region.host.data() != host.data() || region.host.size() != host.size()) continue;
      region.written = region.written || written;
      return reinterpret_cast<T*>(region.near);
    }
    const size_t shift = values.size() % 2 * sizeof(T);
    absl::StatusOr<AlignedBytes> bytes = memory_.Allocate(static_cast<int64_t>(host.size() + shift));
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    std::byte* near = bytes->data() + shift;
    memory_.Upload(host, near);
    regions_.push_back({host, near, written, *std::move(bytes)});
    return reinterpret_cast<T*>(near);
  }

  std::byte* NearElements(std::span<std::byte> bytes, DType type, bool written) {
    const auto near = [&]<class T>(T* first) { return reinterpret_cast<std::byte*>(Near<T>({first, bytes.size() / sizeof(T)}, written)); };
    return type == DType::kBF16 ? near(reinterpret_cast<uint16_t*>(bytes.data())) : near(reinterpret_cast<float*>(bytes.data()));
  }

  Ops& ops_;
  Memory& memory_;
  std::vector<Region> regions_;
  std::deque<PackedWeight> weights_;
};

}  // namespace

void NearOps::Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y) {
  Call call(*ops_);
  ops_->Linear(call.In(weight), call.In(bias), call.In(x), call.Out(y));
}

void NearOps::Linears(std::span<const LinearPart> parts, Tensor x) {
  Call call(*ops_);
  std::vector<LinearPart> near;
  for (const LinearPart& part : parts) near.push_back(call.In(part));
  ops_->Linears(near, call.In(x));
}

void NearOps::GatedLinear(GateKind kind, const LinearPart& gate, const LinearPart& up, Tensor x) {
  Call call(*ops_);
  ops_->GatedLinear(kind, call.In(gate), call.In(up), call.In(x));
}

void NearOps::Embed(const PackedWeight& table, int64_t first, std::span<const int32_t> ids, Tensor y) {
  Call call(*ops_);
  ops_->Embed(call.In(table), first, call.In(ids), call.Out(y));
}

void NearOps::RmsNorm(Tensor x, std::span<const float> gain, float eps, Tensor y) {
  Call call(*ops_);
  ops_->RmsNorm(call.In(x), call.In(gain), eps, call.Out(y));
}

void NearOps::LayerNorm(Tensor x, int64_t width, std::span<const float> gain, std::span<const float> bias, float eps, Tensor y) {
  Call call(*ops_);
  ops_->LayerNorm(call.In(x), width, call.In(gain), call.In(bias), eps, call.Out(y));
}

void NearOps::AddNorm(Tensor a, const RowNorm& norm, Tensor x, Tensor y) {
  Call call(*ops_);
  ops_->AddNorm(call.In(a), {norm.layer_norm, norm.eps, call.In(norm.gain), call.In(norm.bias)}, call.Out(x), call.Out(y));
}

void NearOps::SumSquares(Tensor x, int64_t first, std::span<float> sums) {
  Call call(*ops_);
  ops_->SumSquares(call.In(x), first, call.Out(sums));
}

void NearOps::ScaleBySquares(std::span<const float> sums, int64_t width, std::span<const float> gain, float eps, Tensor x) {
  Call call(*ops_);
  ops_->ScaleBySquares(call.In(sums), width, call.In(gain), eps, call.Out(x));
}

void NearOps::L2Norm(int64_t width, float eps, Tensor x) {
  Call call(*ops_);
  ops_->L2Norm(width, eps, call.Out(x));
}

void NearOps::Rope(const RopeAngles& angles, int64_t head_dim, Tensor x) {
  Call call(*ops_);
  ops_->Rope({call.In(angles.cos), call.In(angles.sin), angles.interleaved}, head_dim, call.Out(x));
}

void NearOps::ScaleRows(std::span<const float> factors, Tensor x) {
  Call call(*ops_);
  ops_->ScaleRows(call.In(factors), call.Out(x));
}

void NearOps::AppendKv(Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) {
  Call call(*ops_);
  ops_->Begin(sequences);
  ops_->AppendKv(call.In(k), call.In(v), sequences, call.Cache(sequences, kv, true));
}

void NearOps::PlaceHeads(const HeadPlacing& how, Tensor q, Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) {
  Call call(*ops_);
  const RopeAngles angles{call.In(how.angles.cos), call.In(how.angles.sin), how.angles.interleaved};
  ops_->Begin(sequences);
  ops_->PlaceHeads({call.In(how.q_gain), call.In(how.k_gain), how.eps, angles}, call.Out(q), call.In(k), call.In(v), sequences,
                   call.Cache(sequences, kv, true));
}

void NearOps::Attend(Tensor q, std::span<const SequenceRows> sequences, const KvLayer& kv, const AttentionShape& shape, Tensor y) {
  Call call(*ops_);
  AttentionShape near = shape;
  near.slopes = call.In(shape.slopes);
  near.sinks = call.In(shape.sinks);
  ops_->Begin(sequences);
  ops_->Attend(call.In(q), sequences, call.Cache(sequences, kv, false), near, call.Out(y));
}

void NearOps::Clamp(float limit, Tensor x) {
  Call call(*ops_);
  ops_->Clamp(limit, call.Out(x));
}

void NearOps::Scale(float factor, Tensor x) {
  Call call(*ops_);
  ops_->Scale(factor, call.Out(x));
}

void NearOps::SoftCap(float cap, Tensor x) {
  Call call(*ops_);
  ops_->SoftCap(cap, call.Out(x));
}

void NearOps::Activate(GateKind kind, Tensor x) {
  Call call(*ops_);
  ops_->Activate(kind, call.Out(x));
}

void NearOps::GatedProduct(GateKind kind, Tensor gate, Tensor up, Tensor y) {
  Call call(*ops_);
  ops_->GatedProduct(kind, call.In(gate), call.In(up), call.Out(y));
}

void NearOps::Add(Tensor a, Tensor x) {
  Call call(*ops_);
  ops_->Add(call.In(a), call.Out(x));
}

void NearOps::Sigmoid(Tensor x) {
  Call call(*ops_);
  ops_->Sigmoid(call.Out(x));
}

void NearOps::ClampedPairs(float alpha, float limit, Tensor x, Tensor y) {
  Call call(*ops_);
  ops_->ClampedPairs(alpha, limit, call.In(x), call.Out(y));
}

void NearOps::HeadLinear(const PackedWeight& weight, const HeadRows& part, Tensor x, Tensor y) {
  Call call(*ops_);
  ops_->HeadLinear(call.In(weight), part, call.In(x), call.Out(y));
}

void NearOps::HeadLinearTransposed(const PackedWeight& weight, const HeadRows& part, Tensor x, int64_t column, Tensor y) {
  Call call(*ops_);
  ops_->HeadLinearTransposed(call.In(weight), part, call.In(x), column, call.Out(y));
}

void NearOps::CopyHeads(int64_t heads, Tensor x, int64_t from, Tensor y, int64_t to, int64_t count) {
  Call call(*ops_);
  ops_->CopyHeads(heads, call.In(x), from, call.Out(y), to, count);
}

void NearOps::Route(const RouteRule& rule, Tensor logits, std::span<int32_t> experts, std::span<float> weights) {
  Call call(*ops_);
  RouteRule near = rule;
  near.choice_bias = call.In(rule.choice_bias);
  ops_->Route(near, call.In(logits), call.Out(experts), call.Out(weights));
}

void NearOps::Experts(const ExpertSet& set, std::span<const int32_t> experts, std::span<const float> weights, Tensor x,
                      std::span<float> room, Tensor out) {
  Call call(*ops_);
  std::vector<FfnWeights>& own = near_experts_.emplace_back(set.own.size());
  for (size_t e = 0; e < own.size(); ++e) {
    const FfnWeights& from = set.own[e];
    for (PackedWeight FfnWeights::*member : {&FfnWeights::gate, &FfnWeights::up, &FfnWeights::down, &FfnWeights::pairs})
      own[e].*member = *CopyTo(from.*member, ops_->memory());
    for (FloatVector FfnWeights::*member : {&FfnWeights::gate_bias, &FfnWeights::up_bias, &FfnWeights::pairs_bias, &FfnWeights::down_bias})
      own[e].*member = *FloatVector::Make(from.*member, ops_->memory());
  }
  ExpertSet near = set;
  near.own = own;
  ops_->Experts(near, call.In(experts), call.In(weights), call.In(x), call.Out(room), call.Out(out));
}

void NearOps::Randomise(const RandomMatrix& values, PackedWeight& weight) {
  absl::StatusOr<PackedWeight> near = CopyTo(weight, ops_->memory());
  ASSERT_TRUE(near.ok()) << near.status();
  ops_->Randomise(values, *near);
  EXPECT_TRUE(ops_->memory().Download(near->bytes.data(), {weight.bytes.data(), static_cast<size_t>(weight.bytes.size())}).ok());
}

void NearOps::Draw(Tensor logits, std::span<const TokenDraw> draws, std::span<int32_t> ids) {
  std::vector<TokenDraw> near(draws.begin(), draws.end());
  Call call(*ops_);
  for (TokenDraw& draw : near) draw.edits = call.In(draw.edits), draw.allowed = call.In(draw.allowed);
  ops_->Draw(call.Out(logits), call.In(std::span<const TokenDraw>(near)), call.Out(ids));
}

void NearOps::ScoreDrawn(Tensor logits, std::span<const TokenDraw> draws, std::span<const int32_t> ids, std::span<RowScores> scores) {
  Call call(*ops_);
  ops_->ScoreDrawn(call.In(logits), call.In(draws), call.In(ids), call.Out(scores));
}

void NearOps::Gather(Tensor x, std::span<const int32_t> rows, Tensor y) {
  Call call(*ops_);
  ops_->Gather(call.In(x), call.In(rows), call.Out(y));
}

void NearOps::ScatterAdd(Tensor x, std::span<const int32_t> rows, std::span<const float> weights, Tensor out) {
  Call call(*ops_);
  ops_->ScatterAdd(call.In(x), call.In(rows), call.In(weights), call.Out(out));
}

}  // namespace drover
