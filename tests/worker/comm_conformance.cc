// See comm_conformance.h.
#include "tests/worker/comm_conformance.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "common/status.h"

namespace drover {
namespace {

// Element i of rank r: of very different sizes, so that another order of additions gives other bits.
float Value(int64_t rank, int64_t i) {
  const float scale = (i + rank) % 3 == 0 ? 1e6f : 1e-3f;
  return scale * static_cast<float>((i * 37 + rank * 101) % 97 - 48) / 7;
}

std::vector<float> Values(int64_t rank, int64_t count) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(Value(rank, i));
  return values;
}

template <class T>
absl::Status Same(const std::vector<T>& found, const std::vector<T>& expected, std::string_view what) {
  if (found.size() != expected.size()) return Internal(what, ": found ", found.size(), " values, expected ", expected.size());
  for (size_t i = 0; i < found.size(); ++i)
    if (std::memcmp(&found[i], &expected[i], sizeof(T)) != 0) return Internal(what, ": value ", i, " differs");
  return absl::OkStatus();
}

// A communicator under test, and how it may add.
struct Tested {
  Communicator& comm;
  SumOrder order;
};

// The bits of rank 0, and near the sums in rank order as rounding allows.
absl::Status NearAndEqual(Communicator& comm, const std::vector<float>& sums, const std::vector<float>& expected) {
  std::vector<float> first = sums;
  DROVER_RETURN_IF_ERROR(comm.Broadcast(std::as_writable_bytes(std::span(first)), 0));
  DROVER_RETURN_IF_ERROR(Same(sums, first, "the sums of rank 0"));
  for (size_t i = 0; i < sums.size(); ++i) {
    float scale = 0;
    for (int64_t r = 0; r < comm.size(); ++r) scale += std::abs(Value(r, static_cast<int64_t>(i)));
    if (!(std::abs(sums[i] - expected[i]) <= 1e-6f * scale)) return Internal("sum ", i, ": found ", sums[i], ", expected ", expected[i]);
  }
  return absl::OkStatus();
}

absl::Status SumOf(const Tested& tested, int64_t count) {
  Communicator& comm = tested.comm;
  std::vector<float> x = Values(comm.rank(), count), expected = Values(0, count);
  for (int64_t r = 1; r < comm.size(); ++r)
    for (int64_t i = 0; i < count; ++i) expected[static_cast<size_t>(i)] += Value(r, i);
  DROVER_RETURN_IF_ERROR(comm.AllReduceSum(x));
  if (tested.order == SumOrder::kAny) return NearAndEqual(comm, x, expected);
  return Same(x, expected, Cat("sum of ", count));
}

absl::Status Sums(const Tested& tested) {
  for (const int64_t count : {0, 1, 2, 3, 7, 576, 16384, 16385, 100003}) DROVER_RETURN_IF_ERROR(SumOf(tested, count));
  return absl::OkStatus();
}

// Above one block of a summed piece.
absl::Status LargeSum(const Tested& tested) { return SumOf(tested, (int64_t{1} << 20) + 12345); }

absl::Status GatherOf(Communicator& comm, const std::vector<int64_t>& counts) {
  std::vector<float> expected;
  for (int64_t r = 0; r < comm.size(); ++r) {
    const std::vector<float> part = Values(r, counts[static_cast<size_t>(r)]);
    expected.insert(expected.end(), part.begin(), part.end());
  }
  std::vector<float> all(expected.size());
  DROVER_RETURN_IF_ERROR(comm.AllGather(Values(comm.rank(), counts[static_cast<size_t>(comm.rank())]), counts, all));
  return Same(all, expected, "gather");
}

absl::Status Gathers(const Tested& tested) {
  Communicator& comm = tested.comm;
  std::vector<int64_t> equal, growing, only_last, none;
  for (int64_t r = 0; r < comm.size(); ++r) {
    equal.push_back(5);
    growing.push_back(r * 33);
    only_last.push_back(r + 1 == comm.size() ? 1001 : 0);
    none.push_back(0);
  }
  for (const auto& counts : {equal, growing, only_last, none}) DROVER_RETURN_IF_ERROR(GatherOf(comm, counts));
  return absl::OkStatus();
}

// Rank a sends (a·3 + b·5) mod 11 floats to rank b: unequal, some none.
int64_t Traffic(int64_t from, int64_t to) { return (from * 3 + to * 5) % 11 * 7; }

absl::Status AllToAlls(const Tested& tested) {
  Communicator& comm = tested.comm;
  std::vector<float> send, expected;
  std::vector<int64_t> send_counts, receive_counts;
  for (int64_t r = 0; r < comm.size(); ++r) {
    send_counts.push_back(Traffic(comm.rank(), r));
    receive_counts.push_back(Traffic(r, comm.rank()));
    for (int64_t i = 0; i < send_counts.back(); ++i) send.push_back(Value(comm.rank() * 100 + r, i));
    for (int64_t i = 0; i < receive_counts.back(); ++i) expected.push_back(Value(r * 100 + comm.rank(), i));
  }
  std::vector<float> received(expected.size());
  DROVER_RETURN_IF_ERROR(comm.AllToAll(send, send_counts, received, receive_counts));
  return Same(received, expected, "all-to-all");
}

absl::Status Broadcasts(const Tested& tested) {
  Communicator& comm = tested.comm;
  for (int64_t root = 0; root < comm.size(); ++root) {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{1000}}) {
      std::vector<std::byte> bytes(size, static_cast<std::byte>(comm.rank() == root ? 40 + root : 0));
      DROVER_RETURN_IF_ERROR(comm.Broadcast(bytes, root));
      DROVER_RETURN_IF_ERROR(Same(bytes, std::vector<std::byte>(size, static_cast<std::byte>(40 + root)), "broadcast"));
    }
  }
  return absl::OkStatus();
}

// Each rank sends to the next one; rank 0 receives first.
absl::Status Ring(const Tested& tested) {
  Communicator& comm = tested.comm;
  if (comm.size() == 1) return absl::OkStatus();
  const int64_t next = (comm.rank() + 1) % comm.size(), previous = (comm.rank() + comm.size() - 1) % comm.size();
  std::vector<std::byte> token(77, static_cast<std::byte>(9));
  if (comm.rank() == 0) DROVER_RETURN_IF_ERROR(comm.Send(token, next));
  std::vector<std::byte> received(77);
  DROVER_RETURN_IF_ERROR(comm.Receive(received, previous));
  DROVER_RETURN_IF_ERROR(Same(received, token, "ring"));
  return comm.rank() == 0 ? absl::OkStatus() : comm.Send(received, next);
}

absl::Status BackToBack(const Tested& tested) {
  for (int64_t round = 0; round < 200; ++round) {
    DROVER_RETURN_IF_ERROR(SumOf(tested, round % 13));
    if (round % 7 == 0) DROVER_RETURN_IF_ERROR(Gathers(tested));
    if (round % 11 == 0) DROVER_RETURN_IF_ERROR(AllToAlls(tested));
  }
  return absl::OkStatus();
}

absl::Status WrongArguments(const Tested& tested) {
  Communicator& comm = tested.comm;
  std::vector<float> x(4);
  std::vector<std::byte> bytes(4);
  const std::vector<int64_t> counts(static_cast<size_t>(comm.size()) + 1, 4);
  const std::pair<std::string_view, absl::Status> found[] = {
      {"one count too many", comm.AllGather(x, counts, x)},
      {"root out of range", comm.Broadcast(bytes, comm.size())},
      {"send to itself", comm.Send(bytes, comm.rank())},
      {"receive from nobody", comm.Receive(bytes, -1)},
  };
  for (const auto& [what, status] : found)
    if (status.code() != absl::StatusCode::kInvalidArgument) return Internal(what, ": found ", Message(status), ", expected a refusal");
  return SumOf(tested, 3);  // still alive
}

// Every way to split: the ranks of a run in order, sums that stay inside it, and the whole group alive beside it.
absl::Status Splits(const Tested& tested) {
  Communicator& comm = tested.comm;
  for (int64_t parts = 1; parts <= comm.size(); ++parts) {
    if (comm.size() % parts != 0) continue;
    DROVER_ASSIGN_OR_RETURN(const std::unique_ptr<Communicator> run, comm.Split(parts));
    const int64_t ranks = comm.size() / parts, first = comm.rank() / ranks * ranks;
    if (run->size() != ranks || run->rank() != comm.rank() - first)
      return Internal("split into ", parts, ": found rank ", run->rank(), " of ", run->size());
    std::vector<float> members(static_cast<size_t>(ranks)), expected;
    for (int64_t r = 0; r < ranks; ++r) expected.push_back(static_cast<float>(first + r));
    const float me = static_cast<float>(comm.rank());
    DROVER_RETURN_IF_ERROR(run->AllGather({&me, 1}, std::vector<int64_t>(static_cast<size_t>(ranks), 1), members));
    DROVER_RETURN_IF_ERROR(Same(members, expected, "members of a run"));
    DROVER_RETURN_IF_ERROR(SumOf({*run, tested.order}, 40000));
    DROVER_RETURN_IF_ERROR(SumOf(tested, 5));
  }
  if (comm.Split(comm.size() + 1).ok()) return Internal("a split into more parts than ranks was made");
  return absl::OkStatus();
}

}  // namespace

std::vector<CommCheck> CommChecks(SumOrder order) {
  const std::pair<const char*, absl::Status (*)(const Tested&)> checks[] = {
      {"Sums", Sums},   {"LargeSum", LargeSum},     {"Gathers", Gathers},
      {"AllToAlls", AllToAlls}, {"Broadcasts", Broadcasts}, {"Ring", Ring},
      {"BackToBack", BackToBack}, {"WrongArguments", WrongArguments}, {"Splits", Splits}};
  std::vector<CommCheck> named;
  for (const auto& [name, check] : checks)
    named.push_back({name, [check, order](Communicator& comm) { return check({comm, order}); }});
  return named;
}

}  // namespace drover
