// Recordings: steps as CUDA graphs. A step that comes again with the same key and the same signature is launched as a whole.
#pragma once

#include <array>
#include <functional>
#include <map>

#include "kernels/cuda/device.h"

namespace drover::cuda {

// What a recording has baked in beside its key: how often memory that may grow has grown, and shapes of launches.
using Signature = std::array<int64_t, 2>;

class Recordings {
 public:
  explicit Recordings(CudaDevice& device) : device_(device) {}
  ~Recordings() { Clear(); }
  Recordings(const Recordings&) = delete;
  Recordings& operator=(const Recordings&) = delete;

  void Clear();
  // The first time with a signature `work` runs as it is, so that all room is taken and the libraries have made their choices; the second
  // time it is recorded; then what was recorded is launched. `signature` is asked before and after a first run, which may move memory.
  absl::Status Run(int64_t key, const std::function<Signature()>& signature, const std::function<absl::Status()>& work);

 private:
  struct Recording {
    Signature signature{};
    cudaGraphExec_t graph = nullptr;
    bool warm = false;   // `work` has run with this signature
    bool never = false;  // it cannot be recorded
  };
  absl::Status Record(Recording& recording, const std::function<absl::Status()>& work);
  absl::Status RunUnrecorded(Recording& recording, cudaError_t error, const absl::Status& kept, const std::function<absl::Status()>& work);

  CudaDevice& device_;
  std::map<int64_t, Recording> recordings_;
};

}  // namespace drover::cuda
