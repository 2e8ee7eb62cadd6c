// See mpi_session.h.
#include "worker/comm/mpi_session.h"

#include <mpi.h>

#include "worker/comm/mpi_communicator.h"

namespace drover {

absl::StatusOr<std::unique_ptr<MpiSession>> MpiSession::Start(int* argc, char*** argv) {
  int provided = MPI_THREAD_SINGLE;
  if (MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) return Unavailable("MPI_Init_thread failed");
  auto session = std::unique_ptr<MpiSession>(new MpiSession);
  session->dead_ = std::make_shared<std::atomic<bool>>(false);
  if (provided < MPI_THREAD_FUNNELED)
    return FailedPrecondition("MPI thread level: found ", provided, ", expected MPI_THREAD_FUNNELED (", MPI_THREAD_FUNNELED, ")");
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  session->rank_ = rank;
  session->size_ = size;
  return session;
}

MpiSession::~MpiSession() {
  if (!dead()) MPI_Finalize();
}

absl::StatusOr<std::unique_ptr<Communicator>> MpiSession::MakeCommunicator(int64_t elements_max) {
  MPI_Comm comm = MPI_COMM_NULL;
  if (MPI_Comm_dup(MPI_COMM_WORLD, &comm) != MPI_SUCCESS) return Unavailable("MPI_Comm_dup failed");
  MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  using Deadline = MpiCommunicator::Deadline;
  return std::make_unique<MpiCommunicator>(comm, dead_, std::make_shared<Deadline>(Deadline::max()), elements_max);
}

}  // namespace drover
