// A stand-in for NCCL's own header of this name: the part of it that NcclCommunicator uses, over threads of one process and the
// stand-in for CUDA. It is as strict as NCCL: communicators are non-blocking, nobody calls one that is in progress, a recorded call meets
// no other call than one recorded as it was, and a communicator ends after all graphs that hold its calls.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <climits>
#include <cstddef>

struct ncclComm;
using ncclComm_t = ncclComm*;
struct ncclUniqueId {
  char internal[128];
};

enum ncclResult_t {
  ncclSuccess = 0,
  ncclUnhandledCudaError = 1,
  ncclSystemError = 2,
  ncclInternalError = 3,
  ncclInvalidArgument = 4,
  ncclInvalidUsage = 5,
  ncclRemoteError = 6,
  ncclInProgress = 7,
};
enum ncclDataType_t { ncclChar = 0, ncclFloat = 7 };
enum ncclRedOp_t { ncclSum = 0 };

struct ncclConfig_t {
  int blocking;
};
#define NCCL_CONFIG_INITIALIZER {INT_MIN}

ncclResult_t ncclGetVersion(int* version);
const char* ncclGetErrorString(ncclResult_t result);
const char* ncclGetLastError(ncclComm_t comm);
ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config);
ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* part, ncclConfig_t* config);
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state);
ncclResult_t ncclCommFinalize(ncclComm_t comm);
ncclResult_t ncclCommDestroy(ncclComm_t comm);
ncclResult_t ncclCommAbort(ncclComm_t comm);
ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t operation, ncclComm_t comm,
                           cudaStream_t stream);
ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream);
ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclGroupStart();
ncclResult_t ncclGroupEnd();

namespace nccl_on_host {

// What goes wrong, for the rank of the whole group that it is told of.
struct Faults {
  bool never_made = false;               // its init stays in progress
  ncclResult_t state = ncclSuccess;      // what its communicators say is wrong, from now on
  bool group_fails = false;              // its next ncclGroupEnd
  std::chrono::milliseconds abort_takes{0};
};
void SetFaults(int rank, const Faults& faults);
void ClearFaults();

struct Counts {
  int64_t living = 0;          // communicators made, or being made, and not ended
  int64_t aborted = 0, destroyed = 0;
  int64_t calls = 0;           // that take part in a collective, or are a group of sends and receives
  int64_t foreign_calls = 0;   // on a communicator by another thread than the one that made it
  int64_t early_calls = 0;     // on a communicator in progress
  int64_t ended_in_graphs = 0; // communicators that ended while graphs held their calls
};
Counts CountsNow();

}  // namespace nccl_on_host
