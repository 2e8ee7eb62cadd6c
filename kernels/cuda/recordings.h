// Recordings: steps as CUDA graphs. A step that comes again with the same key and the same signature is launched as a whole.
#pragma once

#include <array>
#include <functional>
#include <map>

#include "kernels/cuda/device.h"

namespace drover::cuda {

// What a recording has baked in beside its key: how often memory that it reads has moved, and shapes of launches.
using Signature = std::array<int64_t, 2>;

class Recordings {
 public:
  explicit Recordings(CudaDevice& device) : device_(device) {
    device_.set_forget([this] { Clear(); });
  }
  ~Recordings() {
    Clear();
    device_.set_forget({});
  }
  Recordings(const Recordings&) = delete;
  Recordings& operator=(const Recordings&) = delete;

  // Also from within `work`, whose recording comes to nothing then. Graphs under way are let go when they are done.
  void Clear();
  // The first time with a signature `work` runs as it is, so that all room is taken and the libraries have made their choices; the second
  // time it is recorded; then what was recorded is launched. Where other ranks take part, all must do the same of these three: keys and
  // changes of signatures since Clear must be the same on all, and a step that cannot be recorded is an error.
  absl::Status Run(int64_t key, const Signature& signature, const std::function<absl::Status()>& work);

 private:
  struct Recording {
    Signature signature{};
    cudaGraphExec_t graph = nullptr;
    bool warm = false;   // `work` has run with this signature
    bool never = false;  // it cannot be recorded
  };
  absl::Status Record(Recording& recording, const std::function<absl::Status()>& work);
  // Null where the recording has come to nothing.
  cudaError_t EndCapture(cudaGraph_t* graph);
  absl::Status Launch(const Recording& recording);
  absl::Status RunUnrecorded(Recording& recording, const absl::Status& reason, const std::function<absl::Status()>& work);

  CudaDevice& device_;
  std::map<int64_t, Recording> recordings_;
};

}  // namespace drover::cuda
