// Memory: where the tensors, weights and caches of a back end lie, and how bytes get there and back.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "common/status.h"
#include "kernels/weight.h"

namespace drover {

// Calls take their place in the order of the operations around them. What fails later than its call is reported by Ops::Finish.
class Memory {
 public:
  virtual ~Memory() = default;

  // Whether the host reads and writes these bytes as its own.
  virtual bool on_host() const = 0;
  // kResourceExhausted names the bytes that were wanted.
  virtual absl::StatusOr<AlignedBytes> Allocate(int64_t size) = 0;
  // The host's large pieces are taken from the system when first touched, and aligned for f32 only.
  virtual absl::StatusOr<AlignedBytes> AllocateZeros(int64_t size);
  virtual void Zero(std::span<std::byte> at) = 0;
  virtual void Copy(std::span<const std::byte> from, std::byte* to) = 0;
  // The caller may change `from` as soon as the call returns.
  virtual void Upload(std::span<const std::byte> from, std::byte* to) = 0;
  // Waits; `to` holds the bytes unless there is an error.
  virtual absl::Status Download(const std::byte* from, std::span<std::byte> to) = 0;
};

class HostMemory : public Memory {
 public:
  bool on_host() const override { return true; }
  absl::StatusOr<AlignedBytes> Allocate(int64_t size) override;
  absl::StatusOr<AlignedBytes> AllocateZeros(int64_t size) override;
  void Zero(std::span<std::byte> at) override;
  void Copy(std::span<const std::byte> from, std::byte* to) override;
  void Upload(std::span<const std::byte> from, std::byte* to) override { Copy(from, to); }
  absl::Status Download(const std::byte* from, std::span<std::byte> to) override;
};

// Another memory, whose small pieces share large ones: a GPU's driver gives whole MiB, and would give a model's many matrices up to twice
// what they need. A large piece is given back with the last of its parts.
class PieceMemory : public Memory {
 public:
  explicit PieceMemory(Memory& memory) : memory_(memory) {}

  bool on_host() const override { return memory_.on_host(); }
  // On the host: as the memory itself does.
  absl::StatusOr<AlignedBytes> Allocate(int64_t size) override;
  void Zero(std::span<std::byte> at) override { memory_.Zero(at); }
  void Copy(std::span<const std::byte> from, std::byte* to) override { memory_.Copy(from, to); }
  void Upload(std::span<const std::byte> from, std::byte* to) override { memory_.Upload(from, to); }
  absl::Status Download(const std::byte* from, std::span<std::byte> to) override { return memory_.Download(from, to); }

 private:
  struct Large {
    std::shared_ptr<AlignedBytes> bytes;
    int64_t used = 0;
  };
  Memory& memory_;
  std::vector<Large> large_;
  int64_t taken_ = 0;  // by all of them
};

// A weight of the host, with its groups, in another memory.
absl::StatusOr<PackedWeight> CopyTo(const PackedWeight& weight, Memory& memory);
// The same, without a copy where the memory is the host's.
absl::StatusOr<PackedWeight> MoveTo(PackedWeight weight, Memory& memory);

// A vector of f32 in some memory: norms, biases and whatever else is no matrix.
class FloatVector {
 public:
  FloatVector() = default;
  static absl::StatusOr<FloatVector> Make(std::span<const float> values, Memory& memory);

  bool empty() const { return bytes_.size() == 0; }
  operator std::span<const float>() const;  // NOLINT: it is what operations take

 private:
  AlignedBytes bytes_;
};

}  // namespace drover
