// What the sources of the stand-in share: errors that stay to be asked for, what a recording forbids, and whose memory is where.
#pragma once

#include "tests/kernels/cuda_on_host/faults.h"

namespace cuda_on_host {

// The error, which cudaGetLastError tells once more. What is not ready is no error.
cudaError_t Told(cudaError_t error);
// An error, and the end of the recording, where this thread records: memory may not be taken or freed then, nor anything be waited for.
cudaError_t NotWhileRecording();
int CurrentDevice();
void WaitForDevice(int device);

}  // namespace cuda_on_host
