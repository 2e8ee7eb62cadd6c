// See make_communicator.h.
#include "worker/comm/make_communicator.h"

#include "worker/comm/solo_communicator.h"

#if DROVER_HAVE_MPI
#include "worker/comm/mpi_session.h"
#endif

namespace drover {
namespace {

class SoloPeers final : public Peers {
 public:
  Communicator& communicator() override { return solo_; }

 private:
  SoloCommunicator solo_;
};

#if DROVER_HAVE_MPI
class MpiPeers final : public Peers {
 public:
  MpiPeers(std::unique_ptr<MpiSession> session, std::unique_ptr<Communicator> communicator)
      : session_(std::move(session)), communicator_(std::move(communicator)) {}
  Communicator& communicator() override { return *communicator_; }

 private:
  std::unique_ptr<MpiSession> session_;
  std::unique_ptr<Communicator> communicator_;  // ends before its session
};

absl::StatusOr<std::unique_ptr<Peers>> JoinMpi(int64_t rank, int64_t ranks, int* argc, char*** argv) {
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<MpiSession> session, MpiSession::Start(argc, argv));
  if (session->rank() != rank || session->size() != ranks)
    return FailedPrecondition("MPI: found rank ", session->rank(), " of ", session->size(), ", expected ", rank, " of ", ranks);
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> communicator, session->MakeCommunicator());
  return std::make_unique<MpiPeers>(std::move(session), std::move(communicator));
}
#else
absl::StatusOr<std::unique_ptr<Peers>> JoinMpi(int64_t, int64_t ranks, int*, char***) {
  return Unimplemented("ranks: found ", ranks, ", expected 1: this worker was built without MPI");
}
#endif

}  // namespace

absl::StatusOr<std::unique_ptr<Peers>> JoinPeers(int64_t rank, int64_t ranks, int* argc, char*** argv) {
  if (ranks == 1) return std::make_unique<SoloPeers>();
  return JoinMpi(rank, ranks, argc, argv);
}

}  // namespace drover
