// What the sources of the stand-in share: streams, errors that stay to be asked for, what a recording forbids, and whose memory is where.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace cuda_on_host {

// The error, which cudaGetLastError tells once more. What is not ready is no error.
cudaError_t Told(cudaError_t error);
// An error, and the end of the recording, where this thread records: memory may not be taken or freed then, nor anything be waited for.
cudaError_t NotWhileRecording();
int CurrentDevice();
void WaitForDevice(int device);

// What the stream does in its order, by a thread of its own; see MakeStreamsLate.
void Enqueue(cudaStream_t stream, std::function<void()> work);
// The same for work that waits for what another thread does.
void EnqueueWait(cudaStream_t stream, std::function<void()> work);

// See faults.h. Broken(): the error that stays, if one does; CountLaunch() is called for each launch.
cudaError_t Broken();
void CountLaunch();
void CountWork();
bool TakeMemory(size_t size);
bool CaptureFails();
bool IsApart(int device);

// An error, told once more: this thread has chosen another device than the stream's, or what the stream records is void.
cudaError_t MayLaunch(cudaStream_t stream);
// No word of an argument may be the address of memory that is the host's alone.
void CheckWords(const void* argument, size_t size);
// Beyond 48 KiB a kernel takes what it was allowed to before.
void CheckShared(const void* kernel, size_t bytes);
// Bytes of shared memory that each of the kernel's blocks has, whatever a launch asks for.
size_t OwnShared(const void* kernel);

// The piece of a device's or of pinned memory that holds the address: [begin, end), empty where there is none.
struct Range {
  uintptr_t begin = 0, end = 0;
};
Range RangeAt(uintptr_t address);
// Goes up whenever a piece is freed.
const std::atomic<uint64_t>& Frees();

}  // namespace cuda_on_host
