// See recordings.h.
#include "kernels/cuda/recordings.h"

#include <utility>

#include "common/log.h"

namespace drover::cuda {

// Places stay: `work` may be running for one.
void Recordings::Clear() {
  cudaGraph_t graph = nullptr;
  EndCapture(&graph);
  if (graph != nullptr) cudaGraphDestroy(graph);
  for (auto& [key, recording] : recordings_) {
    if (recording.graph != nullptr) cudaGraphExecDestroy(recording.graph);
    recording = {};
  }
}

cudaError_t Recordings::EndCapture(cudaGraph_t* graph) {
  if (!device_.recording()) return cudaSuccess;
  device_.set_recording(false);
  const cudaError_t error = cudaStreamEndCapture(device_.stream(), graph);
  cudaGetLastError();  // the caller's to tell, not the next launch's
  return error;
}

absl::Status Recordings::Launch(const Recording& recording) {
  device_.Keep(cudaGraphLaunch(recording.graph, device_.stream()), "launching a recorded step");
  device_.Replayed();
  return absl::OkStatus();
}

absl::Status Recordings::Run(int64_t key, const Signature& signature, const std::function<absl::Status()>& work) {
  Recording& recording = recordings_[key];
  if (recording.signature != signature) {
    if (recording.graph != nullptr) cudaGraphExecDestroy(recording.graph);
    recording = {.signature = signature, .never = recording.never};
  }
  if (recording.graph != nullptr) return Launch(recording);
  if (recording.warm && !recording.never) return Record(recording, work);
  const absl::Status status = work();
  recording.warm = status.ok();
  return status;
}

absl::Status Recordings::Record(Recording& recording, const std::function<absl::Status()>& work) {
  DROVER_RETURN_IF_ERROR(device_.TakeKept());  // what is kept from here on belongs to the recording
  cudaError_t error = cudaStreamBeginCapture(device_.stream(), cudaStreamCaptureModeThreadLocal);
  if (error == cudaSuccess) {
    device_.set_recording(true);
    const absl::Status status = work();
    cudaGraph_t graph = nullptr;
    error = EndCapture(&graph);
    if (graph != nullptr && status.ok()) error = cudaGraphInstantiate(&recording.graph, graph, 0);
    if (graph != nullptr) cudaGraphDestroy(graph);
    if (!status.ok()) return status;
  }
  const absl::Status kept = device_.TakeKept();
  if (recording.graph != nullptr && kept.ok()) return Launch(recording);
  return RunUnrecorded(recording, kept.ok() ? device_.Error(error, "recording a step") : kept, work);
}

// Nothing has run yet: the step runs as it is, now and later; but other ranks would wait for a recorded one.
absl::Status Recordings::RunUnrecorded(Recording& recording, const absl::Status& reason, const std::function<absl::Status()>& work) {
  cudaGetLastError();
  if (recording.graph != nullptr) cudaGraphExecDestroy(std::exchange(recording.graph, nullptr));
  if (device_.watched()) return Annotate(reason, "a step cannot be recorded, and other ranks record it");
  recording.never = true;
  Log(LogLevel::kWarning, "a step cannot be recorded; it runs operation by operation", {{"reason", Message(reason)}});
  return work();
}

}  // namespace drover::cuda
