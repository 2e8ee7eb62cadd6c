// See nccl.h: NCCL over threads. Ranks meet in a World; what they queue waits in their streams until all have come.
#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/kernels/cuda_on_host/runtime.h"
#include "tests/worker/nccl_on_host/nccl.h"

namespace nccl_on_host {
namespace {

constexpr int kPollsToSettle = 3;  // a call is in progress for so many questions
constexpr std::chrono::seconds kLetGo{2};

struct Piece {
  const void* from = nullptr;
  void* to = nullptr;
  size_t bytes = 0;
};

// What one collective of all ranks comes to.
struct Round {
  std::vector<Piece> pieces;
  size_t arrived = 0;
  bool done = false;
};

// One message between two ranks, met by sender and receiver.
struct Message {
  Piece piece;
  bool taken = false;
};

struct Split {
  std::map<int, std::map<std::pair<int, int>, int>> colors;  // color: (key, rank) of the ranks in order
  std::map<int, std::shared_ptr<struct World>> worlds;
  size_t arrived = 0;
};

struct World {
  explicit World(int n) : ranks(n) {}
  const int ranks;
  std::mutex mutex;
  std::condition_variable changed;
  std::set<int> joined;
  std::map<std::pair<uint64_t, uint64_t>, Round> rounds;  // [call, how often it was repeated from a graph]
  std::map<uint64_t, Split> splits;
  std::map<std::tuple<int, int, bool>, std::vector<std::shared_ptr<Message>>> mail;  // [from, to, from a graph]
};

// Of a communicator; what is queued keeps it alive.
struct State {
  std::shared_ptr<World> world;
  int rank = 0, first_rank = 0;  // within the world; of the whole group
  std::thread::id maker = std::this_thread::get_id();
  bool aborted = false;  // guarded by the world's mutex
  int queued = 0;        // not yet done; likewise
  int recorded = 0;      // calls that graphs hold; likewise
};

// Held by all copies of a recorded call: in graphs, and where one is under way.
struct Recorded {
  explicit Recorded(std::shared_ptr<State> owner) : state(std::move(owner)) {
    const std::lock_guard lock(state->world->mutex);
    ++state->recorded;
  }
  ~Recorded() {
    const std::lock_guard lock(state->world->mutex);
    --state->recorded;
    state->world->changed.notify_all();
  }
  const std::shared_ptr<State> state;
  uint64_t repeated = 0;  // by the stream
};

std::mutex all_mutex;
std::map<int, Faults> all_faults;
Counts all_counts;
std::map<std::string, std::shared_ptr<World>> worlds;
uint64_t ids = 0;

Faults FaultsOf(int rank) {
  const std::lock_guard lock(all_mutex);
  return all_faults[rank];
}

template <class Change>
void Count(const Change& change) {
  const std::lock_guard lock(all_mutex);
  change(all_counts);
}

}  // namespace

void SetFaults(int rank, const Faults& faults) {
  const std::lock_guard lock(all_mutex);
  all_faults[rank] = faults;
}

void ClearFaults() {
  const std::lock_guard lock(all_mutex);
  all_faults.clear();
  all_counts = {};
}

Counts CountsNow() {
  const std::lock_guard lock(all_mutex);
  return all_counts;
}

}  // namespace nccl_on_host

using namespace nccl_on_host;  // NOLINT: what follows has NCCL's names

struct ncclComm {
  std::shared_ptr<State> state;
  std::function<bool()> made;           // what init or split waits for; empty when there is nothing
  std::vector<std::function<void()>> pending;  // taken, but queued only when it has settled
  int polls = 0;                        // until then
  uint64_t round = 0, split = 0;
  std::function<void()> on_split;       // fills the new communicator's place
};

namespace {

// In a group of this thread.
struct Grouped {
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  bool sends = false;
  int peer = 0;
  Piece piece;
};
thread_local int group_depth = 0;
thread_local std::vector<Grouped> group;

size_t Size(ncclDataType_t type) { return type == ncclFloat ? sizeof(float) : 1; }

bool InProgress(const ncclComm& comm) { return comm.made || comm.polls > 0; }

// Before every call but the question for the state.
ncclResult_t Check(ncclComm_t comm) {
  if (comm == nullptr) return ncclInvalidArgument;
  if (comm->state->maker != std::this_thread::get_id()) Count([](Counts& c) { ++c.foreign_calls; });
  if (!InProgress(*comm)) return ncclSuccess;
  Count([](Counts& c) { ++c.early_calls; });
  return ncclInvalidArgument;
}

// Takes work that goes to the stream when the call has settled; it is told how often it was repeated from a graph, 0 if it was not.
ncclResult_t Take(ncclComm_t comm, cudaStream_t stream, std::function<void(State&, uint64_t)> work) {
  std::shared_ptr<State> state = comm->state;
  Count([](Counts& c) { ++c.calls; });
  comm->polls = kPollsToSettle;
  cudaStreamCaptureStatus status{};
  cudaStreamIsCapturing(stream, &status);
  if (status != cudaStreamCaptureStatusNone) {
    comm->pending.push_back([stream, recorded = std::make_shared<Recorded>(state), work = std::move(work)] {
      cuda_on_host::EnqueueWait(stream, [recorded, work] { work(*recorded->state, ++recorded->repeated); });
    });
    return ncclInProgress;
  }
  {
    const std::lock_guard lock(state->world->mutex);
    ++state->queued;
  }
  comm->pending.push_back([stream, state, work = std::move(work)] {
    cuda_on_host::EnqueueWait(stream, [state, work] {
      work(*state, 0);
      const std::lock_guard lock(state->world->mutex);
      --state->queued;
    });
  });
  return ncclInProgress;
}

using Combine = std::function<void(std::vector<Piece>&)>;

// Waits until all ranks have come here; the last one does it for all.
ncclResult_t Collective(ncclComm_t comm, cudaStream_t stream, Piece mine, Combine combine) {
  if (const ncclResult_t result = Check(comm); result != ncclSuccess) return result;
  const uint64_t number = comm->round++;
  return Take(comm, stream, [mine, number, combine = std::move(combine)](State& state, uint64_t repeated) {
    World& world = *state.world;
    std::unique_lock lock(world.mutex);
    Round& round = world.rounds[{number, repeated}];
    round.pieces.resize(static_cast<size_t>(world.ranks));
    round.pieces[static_cast<size_t>(state.rank)] = mine;
    if (++round.arrived == round.pieces.size() && !state.aborted) {
      combine(round.pieces);
      round.done = true;
      world.changed.notify_all();
    }
    world.changed.wait(lock, [&] { return round.done || state.aborted; });
  });
}

// Ranks are added from another one on for each element, as rings do.
void SumAll(std::vector<Piece>& pieces) {
  const size_t ranks = pieces.size(), count = pieces[0].bytes / sizeof(float);
  std::vector<float> sums(count);
  for (size_t i = 0; i < count; ++i) {
    float sum = 0;
    for (size_t step = 0; step < ranks; ++step) sum += static_cast<const float*>(pieces[(i + 1 + step) % ranks].from)[i];
    sums[i] = sum;
  }
  for (const Piece& piece : pieces) std::memcpy(piece.to, sums.data(), piece.bytes);
}

void GatherAll(std::vector<Piece>& pieces) {
  for (const Piece& to : pieces)
    for (size_t r = 0; r < pieces.size(); ++r)
      std::memmove(static_cast<std::byte*>(to.to) + r * pieces[r].bytes, pieces[r].from, pieces[r].bytes);
}

// Sends and receives of a group, beside each other.
void Converse(State& state, const std::vector<Grouped>& calls, bool recorded) {
  World& world = *state.world;
  std::unique_lock lock(world.mutex);
  std::vector<std::shared_ptr<Message>> sent;
  for (const Grouped& call : calls) {
    if (!call.sends) continue;
    sent.push_back(std::make_shared<Message>(Message{call.piece}));
    world.mail[{state.rank, call.peer, recorded}].push_back(sent.back());
  }
  world.changed.notify_all();
  for (const Grouped& call : calls) {
    if (call.sends) continue;
    auto& mail = world.mail[{call.peer, state.rank, recorded}];
    world.changed.wait(lock, [&] { return !mail.empty() || state.aborted; });
    if (state.aborted) return;
    if (mail.front()->piece.bytes == call.piece.bytes) std::memcpy(call.piece.to, mail.front()->piece.from, call.piece.bytes);
    mail.front()->taken = true;
    mail.erase(mail.begin());
    world.changed.notify_all();
  }
  world.changed.wait(lock, [&] {
    return state.aborted || std::all_of(sent.begin(), sent.end(), [](const auto& message) { return message->taken; });
  });
}

ncclResult_t PointToPoint(Grouped call) {
  if (const ncclResult_t result = Check(call.comm); result != ncclSuccess) return result;
  if (call.peer < 0 || call.peer >= call.comm->state->world->ranks) return ncclInvalidArgument;
  group.push_back(call);
  if (group_depth > 0) return ncclSuccess;
  ++group_depth;
  return ncclGroupEnd();
}

// What is under way ends; then the real one waits for ever for graphs that hold its calls.
void End(ncclComm_t comm, bool aborts) {
  comm->pending.clear();
  bool held = false;
  {
    World& world = *comm->state->world;
    std::unique_lock lock(world.mutex);
    comm->state->aborted = aborts;
    world.changed.notify_all();
    held = !world.changed.wait_for(lock, kLetGo, [&] { return comm->state->recorded == 0; });
  }
  if (held) Count([](Counts& c) { ++c.ended_in_graphs; });
  delete comm;
  Count([aborts](Counts& c) {
    --c.living;
    ++(aborts ? c.aborted : c.destroyed);
  });
}

ncclComm_t MakeComm(std::shared_ptr<World> world, int rank, int first_rank) {
  Count([](Counts& c) { ++c.living; });
  auto* comm = new ncclComm{.state = std::make_shared<State>()};
  comm->state->world = std::move(world);
  comm->state->rank = rank;
  comm->state->first_rank = first_rank;
  comm->polls = kPollsToSettle;
  return comm;
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) { return *version = 22809, ncclSuccess; }
const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited or there was a network error" : "stand-in";
}
const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const std::lock_guard lock(all_mutex);
  std::memset(id->internal, 0, sizeof(id->internal));
  const std::string name = "nccl on host " + std::to_string(++ids);
  std::memcpy(id->internal, name.data(), name.size());
  return ncclSuccess;
}

// An id serves one group: who comes later with it waits for ever.
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  if (config->blocking != 0) return ncclInvalidUsage;
  std::shared_ptr<World> world;
  {
    const std::lock_guard lock(all_mutex);
    std::shared_ptr<World>& place = worlds[std::string(id.internal, sizeof(id.internal))];
    if (place == nullptr) place = std::make_shared<World>(ranks);
    world = place;
  }
  *comm = MakeComm(world, rank, rank);
  const std::lock_guard lock(world->mutex);
  const bool late = !world->joined.insert(rank).second || world->ranks != ranks;
  (*comm)->made = [world, rank, late] {
    const bool never = FaultsOf(rank).never_made || late;
    const std::lock_guard lock_world(world->mutex);
    return !never && static_cast<int>(world->joined.size()) == world->ranks;
  };
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  if (comm == nullptr) return ncclInvalidArgument;
  if (comm->state->maker != std::this_thread::get_id()) Count([](Counts& c) { ++c.foreign_calls; });
  *state = FaultsOf(comm->state->first_rank).state;
  if (*state != ncclSuccess) return ncclSuccess;
  if (comm->made && comm->made()) comm->made = nullptr;
  if (!comm->made && comm->polls > 0 && --comm->polls == 0) {
    for (const auto& queue : comm->pending) queue();
    comm->pending.clear();
  }
  *state = InProgress(*comm) ? ncclInProgress : ncclSuccess;
  return ncclSuccess;
}

// What it answers says nothing of what it has begun, as with the real one.
ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* part, ncclConfig_t* config) {
  if (config->blocking != 0) return ncclInvalidUsage;
  if (const ncclResult_t result = Check(comm); result != ncclSuccess) return result;
  *part = nullptr;
  World& world = *comm->state->world;
  const uint64_t number = comm->split++;
  const std::pair<int, int> me{key, comm->state->rank};
  {
    const std::lock_guard lock(world.mutex);
    Split& split = world.splits[number];
    split.colors[color][me] = 0;
    ++split.arrived;
  }
  comm->polls = kPollsToSettle;
  comm->made = [comm, part, number, color, me] {
    World& parent = *comm->state->world;
    const std::lock_guard lock(parent.mutex);
    Split& split = parent.splits[number];
    if (static_cast<int>(split.arrived) < parent.ranks) return false;
    const auto& members = split.colors[color];
    std::shared_ptr<World>& child = split.worlds[color];
    if (child == nullptr) child = std::make_shared<World>(static_cast<int>(members.size()));
    *part = MakeComm(child, static_cast<int>(std::distance(members.begin(), members.find(me))), comm->state->first_rank);
    return true;
  };
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  if (const ncclResult_t result = Check(comm); result != ncclSuccess) return result;
  comm->polls = 1;
  comm->made = [state = comm->state] {
    const std::lock_guard lock(state->world->mutex);
    return state->queued == 0 && state->recorded == 0;
  };
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (const ncclResult_t result = Check(comm); result != ncclSuccess) return result;
  return End(comm, false), ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (comm->state->maker != std::this_thread::get_id()) Count([](Counts& c) { ++c.foreign_calls; });
  std::this_thread::sleep_for(FaultsOf(comm->state->first_rank).abort_takes);
  return End(comm, true), ncclInProgress;
}

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t, ncclComm_t comm,
                           cudaStream_t stream) {
  return Collective(comm, stream, {from, to, count * Size(type)}, SumAll);
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
  return Collective(comm, stream, {from, to, count * Size(type)}, GatherAll);
}

ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  return Collective(comm, stream, {from, to, count * Size(type)}, [root](std::vector<Piece>& pieces) {
    const Piece& source = pieces[static_cast<size_t>(root)];
    for (const Piece& piece : pieces)
      if (piece.to != source.from) std::memcpy(piece.to, source.from, source.bytes);
  });
}

ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  return PointToPoint({comm, stream, true, peer, {from, nullptr, count * Size(type)}});
}

ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  return PointToPoint({comm, stream, false, peer, {nullptr, to, count * Size(type)}});
}

ncclResult_t ncclGroupStart() { return ++group_depth, ncclSuccess; }

ncclResult_t ncclGroupEnd() {
  if (group_depth == 0) return ncclInvalidUsage;
  if (--group_depth > 0) return ncclSuccess;
  const std::vector<Grouped> calls = std::exchange(group, {});
  if (calls.empty()) return ncclSuccess;
  const ncclComm_t comm = calls[0].comm;
  if (FaultsOf(comm->state->first_rank).group_fails) return ncclSystemError;
  return Take(comm, calls[0].stream, [calls](State& state, uint64_t repeated) { Converse(state, calls, repeated > 0); });
}
