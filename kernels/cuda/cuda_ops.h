// CudaOps: every operation on one NVIDIA GPU, over f32 activations and weights in their storage form. Each group of operations has a file with
// its kernels beside it. Operations queue work on one stream and return; nothing is copied to the host.
#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda/step_places.h"
#include "kernels/ops.h"

namespace drover {

class Bf16Linear;
class CudaDevice;
class CudaMemory;
class FlashAttention;
namespace cuda {
struct AttendTask;
class ExpertTables;
class Recordings;
struct ExpertTable;
}  // namespace cuda

// How Linear multiplies. kF32: f32 products and sums, the same bits for a token whatever its batch. kBF16: weights and activations are
// rounded to bf16 and multiplied on tensor cores with f32 sums, within 1e-2 of kF32; f32 weights are left alone up to kFewTokens
// tokens. A token's bits are then the same among all batches of up to kFewTokens tokens (32 where the weight is stored neither in bf16
// nor in f32); beyond, they depend on the number of tokens, as the library chooses its way by that. Experts are multiplied likewise,
// f32 weights too, by own kernels alone: a token's bits are the same among all batches. Attention over a cache in bf16 rounds queries and
// the weights of keys to bf16, too, for sizes of heads that are multiples of 16; a row's bits are then the same among all steps in which its
// sequence has at most 8 rows, and among those in which it has more.
enum class CudaCompute { kF32, kBF16 };

struct CudaOptions {
  int device = 0;
  bool wait_for_each = false;  // waits after each operation, so that a fault is laid to the one that caused it; slow
  CudaCompute compute = CudaCompute::kF32;
  // Bounds of what Linear will be asked, so that nothing is allocated later; kBF16 needs them. What exceeds them is computed as by
  // kF32, beyond kFewTokens tokens.
  int64_t tokens = 0, cols = 0;
  bool flashinfer = false;  // attention by FlashInfer's kernels where they cover it
  int64_t tile_bytes = 64 << 20;  // for a part of a weight that is not stored in bf16
  int64_t attend_bytes = 256 << 20;  // for results of parts of keys; sequences beyond it wait for their turn, each gets what it needs
  int64_t attend_blocks = 128;       // of threads, that keep the device busy: attention shares keys among fewer queries where there are less
};

struct CudaFacts {
  std::string name;  // of the device's model
  int64_t free_bytes = 0, total_bytes = 0;
};
// kUnavailable: no such device, or no driver.
absl::StatusOr<CudaFacts> DescribeCuda(int device);

class CudaOps : public Ops {
 public:
  static constexpr int64_t kFewTokens = 8;

  // kUnavailable: no such device, or no driver. kResourceExhausted: no memory for staging. kInvalidArgument: see CudaOptions.
  // kUnimplemented: what the build lacks.
  static absl::StatusOr<std::unique_ptr<CudaOps>> Create(const CudaOptions& options);
  ~CudaOps() override;

  // For others that queue work beside the operations.
  CudaDevice& device() { return *device_; }
  Memory& memory() override;
  // The shapes of launches depend on these alone: on the numbers of rows and sequences and, of sequences with at most 8 rows, on the
  // longest. What was captured once its room was there serves later steps of as many rows and sequences that are no longer.
  void Begin(std::span<const SequenceRows> sequences) override;
  void Forget() override;
  void SetDeadline(std::chrono::steady_clock::time_point deadline) override;
  absl::Status Replay(int64_t key, const std::function<absl::Status()>& work) override;
  absl::Status Finish() override;

  void Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y) override;
  void Linears(std::span<const LinearPart> parts, Tensor x) override;
  void GatedLinear(GateKind kind, const LinearPart& gate, const LinearPart& up, Tensor x) override;
  void Embed(const PackedWeight& table, int64_t first, std::span<const int32_t> ids, Tensor y) override;
  void RmsNorm(Tensor x, std::span<const float> gain, float eps, Tensor y) override;
  void LayerNorm(Tensor x, int64_t width, std::span<const float> gain, std::span<const float> bias, float eps, Tensor y) override;
  void AddNorm(Tensor a, const RowNorm& norm, Tensor x, Tensor y) override;
  void SumSquares(Tensor x, int64_t first, std::span<float> sums) override;
  void ScaleBySquares(std::span<const float> sums, int64_t width, std::span<const float> gain, float eps, Tensor x) override;
  void L2Norm(int64_t width, float eps, Tensor x) override;
  void Rope(const RopeAngles& angles, int64_t head_dim, Tensor x) override;
  void ScaleRows(std::span<const float> factors, Tensor x) override;
  void AppendKv(Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) override;
  void PlaceHeads(const HeadPlacing& how, Tensor q, Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) override;
  void Attend(Tensor q, std::span<const SequenceRows> sequences, const KvLayer& kv, const AttentionShape& shape, Tensor y) override;
  void Clamp(float limit, Tensor x) override;
  void Scale(float factor, Tensor x) override;
  void SoftCap(float cap, Tensor x) override;
  void Activate(GateKind kind, Tensor x) override;
  void GatedProduct(GateKind kind, Tensor gate, Tensor up, Tensor y) override;
  void Add(Tensor a, Tensor x) override;
  void Sigmoid(Tensor x) override;
  void ClampedPairs(float alpha, float limit, Tensor x, Tensor y) override;
  void HeadLinear(const PackedWeight& weight, const HeadRows& part, Tensor x, Tensor y) override;
  void HeadLinearTransposed(const PackedWeight& weight, const HeadRows& part, Tensor x, int64_t column, Tensor y) override;
  void CopyHeads(int64_t heads, Tensor x, int64_t from, Tensor y, int64_t to, int64_t count) override;
  void Route(const RouteRule& rule, Tensor logits, std::span<int32_t> experts, std::span<float> weights) override;
  void Experts(const ExpertSet& set, std::span<const int32_t> experts, std::span<const float> weights, Tensor x, std::span<float> room,
               Tensor out) override;
  int64_t ExpertRoom(int64_t tokens, int64_t active, int64_t hidden, int64_t columns) const override;
  void Randomise(const RandomMatrix& values, PackedWeight& weight) override;
  void Draw(Tensor logits, std::span<const TokenDraw> draws, std::span<int32_t> ids) override;
  void ScoreDrawn(Tensor logits, std::span<const TokenDraw> draws, std::span<const int32_t> ids, std::span<RowScores> scores) override;
  void Gather(Tensor x, std::span<const int32_t> rows, Tensor y) override;
  void ScatterAdd(Tensor x, std::span<const int32_t> rows, std::span<const float> weights, Tensor out) override;

 private:
  // Some tokens of a call of Experts.
  struct ExpertRun {
    const int32_t* experts;
    const float* weights;
    int64_t active;
    Tensor x;
    std::span<float> room;
    Tensor out;
  };
  CudaOps(std::unique_ptr<CudaDevice> device, const CudaOptions& options);
  // An operation on `rows` rows gets the sequences that were begun.
  void CheckBegun(std::span<const SequenceRows> sequences, int64_t rows) const;
  // A few parts, whose weights lie alike and are not empty, for at least one token.
  void LinearsAlike(std::span<const LinearPart> parts, Tensor x);
  void LinearsInF32(std::span<const LinearPart> parts, Tensor x);
  int64_t PartsOf(const cuda::AttendTask& task) const;
  bool TakeRoomOfParts(int64_t bytes);
  void AttendFew(cuda::AttendTask task);
  template <class Value>
  void RunExperts(const ExpertSet& set, const cuda::ExpertTable& table, const ExpertRun& run);

  std::unique_ptr<CudaDevice> device_;
  std::unique_ptr<CudaMemory> memory_;
  std::unique_ptr<Bf16Linear> bf16_;  // null: kF32
  std::unique_ptr<cuda::ExpertTables> expert_tables_;
  std::unique_ptr<cuda::Recordings> recordings_;
  std::span<const SequenceRows> begun_;
  cuda::StepPlaces places_;  // of the sequences begun
  std::unique_ptr<FlashAttention> flash_;  // null: own kernels alone
  // What a recorded step has baked in must follow from the steps since Forget alone, so that it is the same on every rank: how much of
  // near_places_ they have needed and how often that has moved; and rooms of attention stay until then.
  AlignedBytes near_places_;
  int64_t places_room_ = 0, places_moved_ = 0;
  AlignedBytes parts_;                   // of attention
  const int64_t attend_bytes_, attend_blocks_;
  int64_t tiles_bytes_ = 0;              // of shared memory for attention on tensor cores; 0: kF32, which has none
  std::vector<AlignedBytes> old_rooms_;  // that parts_ has outgrown
};

}  // namespace drover
