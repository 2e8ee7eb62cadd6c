// The command line that starts the ranks of one group on this host: mpirun for several, the worker itself for one. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "cli/process.h"

namespace drover {

struct GroupLaunch {
  std::string worker;       // path of the program: see WorkerProgram
  std::string coordinator;  // where ranks dial it, HOST:PORT
  std::string group;        // its name
  std::string launch;       // nonce: ranks of one start share it, no two starts have the same
  int64_t ranks = 1;
  int64_t threads = 0;      // of each rank; 0: the planner chooses
  std::string device = "cpu";  // cpu, cuda (a GPU for each rank of a host) or cuda:N
  std::string attention = "own";  // kernels of a GPU: own or flashinfer
  int64_t memory_bytes = 0; // of the host, for the planner; 0: as measured
  int64_t orphan_grace_s = 0;  // that loaded ranks wait for a lost coordinator; 0: the worker's default
  int64_t drain_s = 0;         // that running requests get after a stop signal; 0: none
  std::string log_level = "warning";
  std::string session_dir;  // for mpirun's own files
  bool as_root = false;
};

// The worker for a device, by the name of its file beside this program.
std::string WorkerProgram(const std::string& device);

// What a worker needs to be told of its device.
void AddDevice(const std::string& device, const std::string& attention, int64_t ranks, std::vector<std::string>& arguments);

Command LaunchLine(const GroupLaunch& launch);

// `drover-worker bench ...` under the same mpirun line.
Command BenchLine(const GroupLaunch& launch, const std::vector<std::string>& bench_arguments);

}  // namespace drover
