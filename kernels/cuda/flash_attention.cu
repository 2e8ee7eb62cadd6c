// FlashAttention over the kernels of flashinfer/.
#include "kernels/cuda/flash_attention.h"

#include <array>
#include <map>
#include <tuple>

#include "kernels/cuda/attend.cuh"
#include "kernels/cuda/flashinfer/flash_kernel.h"

namespace drover {
namespace cuda {
namespace {

constexpr int kDecodeGroupMost = 3;  // larger groups fill tensor cores

struct RoundEach {
  const float* from;
  uint16_t* to;
  __device__ void operator()(int64_t i) const { Store(from[i], to + i); }
};
struct OpenEach {
  const uint16_t* from;
  float* to;
  __device__ void operator()(int64_t i) const { to[i] = Opened(from[i]); }
};

// Where a plan lies: on the device, and in the pinned memory that it leaves from.
struct PlanRoom {
  AlignedBytes ints;
  std::byte* pinned = nullptr;
  cudaEvent_t left = nullptr;
};

class FlashAttentionOfDevice : public FlashAttention {
 public:
  FlashAttentionOfDevice(CudaDevice& device, CudaMemory& memory) : device_(device), memory_(memory) {}
  ~FlashAttentionOfDevice() override;
  absl::Status Open();

  void Begin(std::span<const SequenceRows> sequences) override {
    sequences_ = sequences;
    batch_.reset();
    plans_.clear();
  }
  bool Run(Tensor q, const KvLayer& kv, const AttentionShape& shape, Tensor y) override;

 private:
  static constexpr size_t kPlans = 8;  // of a step: kinds of layers
  using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, bool>;  // heads, KV heads, head size, window, decode
  struct Plan {
    FlashRoom room;
    FlashPlan plan;
  };

  bool Grow(AlignedBytes& bytes, int64_t size);
  bool Place(int64_t block_tokens);
  FlashCall CallOf(const KvLayer& kv, const AttentionShape& shape) const;
  const Plan* PlanOf(const Key& key, const FlashKernel& kernel, const FlashCall& call);

  CudaDevice& device_;
  CudaMemory& memory_;
  AlignedBytes floats_;
  std::array<PlanRoom, kPlans> rooms_;
  size_t next_room_ = 0;
  // Of the step.
  std::span<const SequenceRows> sequences_;
  std::optional<FlashBatch> batch_;  // over blocks of block_tokens_
  int64_t block_tokens_ = 0;
  AlignedBytes near_batch_, near_rows_;  // the batch's lists; rounded queries, then results
  std::map<Key, Plan> plans_;
};

absl::Status FlashAttentionOfDevice::Open() {
  DROVER_ASSIGN_OR_RETURN(floats_, memory_.Allocate(FlashRoom::kFloatBytes));
  for (PlanRoom& room : rooms_) {
    DROVER_ASSIGN_OR_RETURN(room.ints, memory_.Allocate(FlashRoom::kIntBytes));
    void* pinned = nullptr;
    if (const cudaError_t error = cudaMallocHost(&pinned, FlashRoom::kIntBytes); error != cudaSuccess)
      return device_.Error(error, "pinned memory for plans of attention");
    room.pinned = static_cast<std::byte*>(pinned);
    if (const cudaError_t error = cudaEventCreateWithFlags(&room.left, cudaEventDisableTiming); error != cudaSuccess)
      return device_.Error(error, "creating an event");
  }
  return absl::OkStatus();
}

FlashAttentionOfDevice::~FlashAttentionOfDevice() {
  cudaStreamSynchronize(device_.stream());
  for (const PlanRoom& room : rooms_) {
    if (room.left != nullptr) cudaEventDestroy(room.left);
    if (room.pinned != nullptr) cudaFreeHost(room.pinned);
  }
}

bool FlashAttentionOfDevice::Grow(AlignedBytes& bytes, int64_t size) {
  if (size <= bytes.size()) return true;
  absl::StatusOr<AlignedBytes> room = memory_.Allocate(size);
  if (!room.ok()) return false;
  bytes = *std::move(room);
  return true;
}

// The step's batch on the device, unless it is there.
bool FlashAttentionOfDevice::Place(int64_t block_tokens) {
  if (batch_.has_value() && block_tokens == block_tokens_) return true;
  plans_.clear();
  batch_ = MakeFlashBatch(sequences_, block_tokens);
  block_tokens_ = block_tokens;
  if (!batch_.has_value()) return false;
  std::vector<int32_t> lists;
  for (const std::vector<int32_t>* list : {&batch_->row_starts, &batch_->block_starts, &batch_->last_tokens, &batch_->blocks})
    lists.insert(lists.end(), list->begin(), list->end());
  const std::span<const std::byte> bytes = std::as_bytes(std::span(lists));
  if (!Grow(near_batch_, static_cast<int64_t>(bytes.size()))) {
    batch_.reset();
    return false;
  }
  memory_.Upload(bytes, near_batch_.data());
  return true;
}

FlashCall FlashAttentionOfDevice::CallOf(const KvLayer& kv, const AttentionShape& shape) const {
  FlashCall call{.batch = &*batch_, .kv = kv};
  const std::byte* lists = near_batch_.data();
  call.row_starts = reinterpret_cast<int32_t*>(const_cast<std::byte*>(lists));
  call.block_starts = call.row_starts + batch_->row_starts.size();
  call.last_tokens = call.block_starts + batch_->block_starts.size();
  call.blocks = call.last_tokens + batch_->last_tokens.size();
  call.heads = static_cast<int32_t>(shape.heads);
  call.kv_heads = static_cast<int32_t>(shape.kv_heads);
  call.scale = shape.scale;
  call.softcap = shape.softcap;
  call.window = static_cast<int32_t>(shape.window);
  call.stream = device_.stream();
  return call;
}

const FlashAttentionOfDevice::Plan* FlashAttentionOfDevice::PlanOf(const Key& key, const FlashKernel& kernel, const FlashCall& call) {
  if (const auto found = plans_.find(key); found != plans_.end()) return &found->second;
  if (plans_.size() == kPlans) return nullptr;
  PlanRoom& room = rooms_[next_room_];
  next_room_ = (next_room_ + 1) % kPlans;
  device_.WaitFor(room.left, "waiting for a plan of attention");
  Plan plan{{floats_.data(), room.ints.data(), room.pinned}, {}};
  const FlashError error = kernel.plan(call, plan.room, &plan.plan);
  device_.Keep(cudaEventRecord(room.left, device_.stream()), "recording an event");
  if (!error.empty()) return nullptr;
  return &plans_.emplace(key, std::move(plan)).first->second;
}

const FlashKernel& KernelOf(int64_t head_dim, bool decode) {
  if (head_dim == 64) return decode ? kFlashDecode64 : kFlashPrefill64;
  if (head_dim == 128) return decode ? kFlashDecode128 : kFlashPrefill128;
  return decode ? kFlashDecode256 : kFlashPrefill256;
}

bool FlashAttentionOfDevice::Run(Tensor q, const KvLayer& kv, const AttentionShape& shape, Tensor y) {
  const auto aligned = [](const std::byte* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; };
  if (!FlashCovers(kv, shape) || !aligned(kv.keys) || !aligned(kv.values) || shape.heads == 0 || !Place(kv.block_tokens)) return false;
  const int64_t values = batch_->rows() * q.cols;
  if (!Grow(near_rows_, 2 * values * static_cast<int64_t>(sizeof(uint16_t)))) return false;
  FlashCall call = CallOf(kv, shape);
  call.q = reinterpret_cast<uint16_t*>(near_rows_.data());
  call.y = call.q + values;
  const bool decode = batch_->one_row_each() && shape.group <= kDecodeGroupMost;
  const FlashKernel& kernel = KernelOf(shape.head_dim, decode);
  const Plan* plan = PlanOf({shape.heads, shape.kv_heads, shape.head_dim, shape.window, decode}, kernel, call);
  if (plan == nullptr) return false;
  ForEach(device_, "Attend", values, RoundEach{q.data, call.q});
  if (const FlashError error = kernel.run(call, plan->room, plan->plan); !error.empty())
    device_.Keep(Internal("CUDA device ", device_.index(), ": Attend: FlashInfer: ", error));
  device_.Launched("Attend");
  ForEach(device_, "Attend", values, OpenEach{call.y, y.data});
  return true;
}

}  // namespace
}  // namespace cuda

bool HasFlashAttention() { return true; }

absl::StatusOr<std::unique_ptr<FlashAttention>> MakeFlashAttention(CudaDevice& device, CudaMemory& memory) {
  auto attention = std::make_unique<cuda::FlashAttentionOfDevice>(device, memory);
  DROVER_RETURN_IF_ERROR(attention->Open());
  return attention;
}

}  // namespace drover
