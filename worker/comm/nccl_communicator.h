// NcclCommunicator: ranks with a GPU each. Calls take pointers of the device, queue their work on its stream and return; waits for the
// device notice the deadline and NCCL's errors (NcclFamily). NCCL never blocks the thread, which alone calls it.
#pragma once

#include "worker/comm/communicator.h"
#include "worker/comm/nccl_family.h"

namespace drover {

class NcclCommunicator : public Communicator {
 public:
  // Bytes by which ranks find each other: rank 0 makes them, all ranks of one epoch join with them, nobody uses them again.
  static absl::StatusOr<std::string> MakeMeeting();
  // Of the library that is loaded, "2.28.9".
  static std::string Version();
  // All ranks at once; fails by the deadline. The device outlives the communicator and is used by the calling thread alone.
  static absl::StatusOr<std::unique_ptr<Communicator>> Join(const std::string& meeting, CudaDevice& device,
                                                            const NcclSettings& settings,
                                                            std::chrono::steady_clock::time_point deadline);

  NcclCommunicator(std::shared_ptr<NcclFamily> family, NcclFamily::Member* member, int64_t rank, int64_t size);
  ~NcclCommunicator() override;

  int64_t rank() const override { return rank_; }
  int64_t size() const override { return size_; }
  bool recordable() const override { return family_->settings().record; }
  void SetDeadline(std::chrono::steady_clock::time_point deadline) override { family_->SetDeadline(deadline); }
  // In an order that NCCL chooses, or in rank order for few floats: the same bits on every rank.
  absl::Status AllReduceSum(std::span<float> x) override;
  absl::Status SumAddNorm(Ops& ops, Tensor a, const RowNorm& norm, Tensor x, Tensor y) override;
  absl::Status AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) override;
  absl::Status AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                        std::span<const int64_t> receive_counts) override;
  absl::Status Broadcast(std::span<std::byte> bytes, int64_t root) override;
  absl::Status Send(std::span<const std::byte> bytes, int64_t to) override;
  absl::Status Receive(std::span<std::byte> bytes, int64_t from) override;
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int64_t parts) override;
  // This rank alone: the others notice by their own deadlines, or by NCCL's error.
  void Abort() override { family_->Abort(); }

 private:
  // With all ranks, once NCCL has connected them.
  absl::Status MeetPeers();
  // What goes to each rank and what comes from it; own parts are copied.
  using Parts = std::vector<std::span<const float>>;
  using Places = std::vector<std::span<float>>;
  absl::Status Exchange(const Parts& send, const Places& receive);
  cudaStream_t stream() const { return family_->device().stream(); }
  absl::Status Queue(ncclResult_t result) { return family_->Queue(result, member_->comm); }
  void CopyOwn(std::span<const float> from, std::span<float> to);

  const std::shared_ptr<NcclFamily> family_;
  NcclFamily::Member* const member_;
  const int64_t rank_, size_;
};

}  // namespace drover
