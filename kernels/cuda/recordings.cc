// See recordings.h.
#include "kernels/cuda/recordings.h"

#include <utility>

#include "common/log.h"

namespace drover::cuda {

void Recordings::Clear() {
  for (const auto& [key, recording] : recordings_)
    if (recording.graph != nullptr) cudaGraphExecDestroy(recording.graph);
  recordings_.clear();
}

absl::Status Recordings::Run(int64_t key, const std::function<Signature()>& signature, const std::function<absl::Status()>& work) {
  Recording& recording = recordings_[key];
  if (recording.signature != signature()) {
    if (recording.graph != nullptr) cudaGraphExecDestroy(recording.graph);
    recording = {.signature = signature(), .never = recording.never};
  }
  if (recording.graph != nullptr) {
    device_.Keep(cudaGraphLaunch(recording.graph, device_.stream()), "launching a recorded step");
    device_.Launched("a recorded step");
    return absl::OkStatus();
  }
  if (recording.warm && !recording.never) return Record(recording, work);
  const absl::Status status = work();
  recording.signature = signature();
  recording.warm = status.ok();
  return status;
}

absl::Status Recordings::Record(Recording& recording, const std::function<absl::Status()>& work) {
  DROVER_RETURN_IF_ERROR(device_.TakeKept());  // what is kept from here on belongs to the recording
  cudaError_t error = cudaStreamBeginCapture(device_.stream(), cudaStreamCaptureModeThreadLocal);
  if (error == cudaSuccess) {
    device_.set_recording(true);
    const absl::Status status = work();
    device_.set_recording(false);
    cudaGraph_t graph = nullptr;
    error = cudaStreamEndCapture(device_.stream(), &graph);
    if (error == cudaSuccess && status.ok()) error = cudaGraphInstantiate(&recording.graph, graph, 0);
    if (graph != nullptr) cudaGraphDestroy(graph);
    if (!status.ok()) return status;
  }
  if (const absl::Status kept = device_.TakeKept(); error != cudaSuccess || !kept.ok()) return RunUnrecorded(recording, error, kept, work);
  device_.Keep(cudaGraphLaunch(recording.graph, device_.stream()), "launching a recorded step");
  device_.Launched("a recorded step");
  return absl::OkStatus();
}

// Nothing has run yet: the step runs as it is, now and later.
absl::Status Recordings::RunUnrecorded(Recording& recording, cudaError_t error, const absl::Status& kept,
                                       const std::function<absl::Status()>& work) {
  cudaGetLastError();
  if (recording.graph != nullptr) cudaGraphExecDestroy(std::exchange(recording.graph, nullptr));
  recording.never = true;
  const std::string reason = kept.ok() ? cudaGetErrorString(error) : Message(kept);
  Log(LogLevel::kWarning, "a step cannot be recorded; it runs operation by operation", {{"reason", reason}});
  return work();
}

}  // namespace drover::cuda
