// NCCL between played devices of one process. A collective is two pieces of work in its stream: the first leaves what the rank
// sends, the second takes the result when all have come.
#include <nccl.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cuda/sim/played_device.h"

namespace virgil::simt {

namespace {

using Bytes = std::vector<std::byte>;

std::size_t index(int rank) { return static_cast<std::size_t>(rank); }

/// What all ranks must agree on.
struct Call {
  const char* name = "";
  std::size_t count = 0;
  ncclDataType_t type = ncclInt8;
  int root = -1;

  friend bool operator==(const Call& a, const Call& b) {
    return std::strcmp(a.name, b.name) == 0 && a.count == b.count && a.type == b.type && a.root == b.root;
  }
};

std::size_t size_of(ncclDataType_t type) { return type == ncclInt8 ? 1 : type == ncclBfloat16 ? 2 : 4; }

std::string to_string(const Call& call) {
  const char* type = call.type == ncclInt8 ? "int8" : call.type == ncclBfloat16 ? "bfloat16" : "float32";
  std::string text = std::string(call.name) + " of " + std::to_string(call.count) + " " + type;
  if (call.root >= 0) text += " from rank " + std::to_string(call.root);
  return text;
}

/// One collective: what each rank has brought.
struct Meeting {
  struct Arrival {
    Call call;
    Bytes sent;
  };
  std::vector<std::optional<Arrival>> arrivals;  // by rank
  int num_left = 0;
};

/// From one rank to another: the n-th ncclSend meets the n-th ncclRecv.
struct Channel {
  std::vector<Bytes> sent;
  std::vector<std::size_t> awaited;  // sizes
};

/// What the ranks of one unique id share.
struct World {
  std::vector<const PlayedDevice*> devices;  // by rank; null until it has come
  std::map<std::uint64_t, Meeting> meetings;
  std::map<std::pair<int, int>, Channel> channels;
  std::string fault;  // ranks do not agree: the real library would hang, or worse

  [[nodiscard]] int size() const { return static_cast<int>(devices.size()); }
  [[nodiscard]] bool complete() const { return std::ranges::find(devices, nullptr) == devices.end(); }
};

struct Rank {
  std::shared_ptr<World> world;
  int number = 0;
  std::uint64_t num_collectives = 0;
  int num_in_streams = 0;
  std::vector<std::function<void()>> to_queue = {};  // left by a call that answered ncclInProgress
  bool aborted = false;
  bool finalized = false;
  std::string last_error = {};

  /// Whether work in streams ends without doing anything.
  [[nodiscard]] bool idle() const { return aborted || !world->fault.empty() || simulator().failed(); }
  [[nodiscard]] bool released() const { return aborted || !world->fault.empty(); }
  /// On the device whose work found it; others' learn of it when they come.
  void disagree(const std::string& what) const {
    world->fault = "NCCL: " + what;
    simulator().record(world->fault);
  }
};
using RankPointer = std::shared_ptr<Rank>;

struct Registry {
  std::uint64_t num_ids = 0;
  std::map<std::uint64_t, std::shared_ptr<World>> joining;  // by id, until all ranks have come
};
Registry& registry() {
  static Registry instance;
  return instance;
}

void announce(const void* data, std::size_t size_bytes, Access access, const char* name) {
  race_detector().transfer(data, size_bytes, access, name);
}

// --- Collectives -------------------------------------------------------------------------------------------------------------

/// A rank's part in one collective.
class Attendance : public Rendezvous {
 public:
  Attendance(RankPointer rank, Call call, const void* send, std::size_t send_bytes, void* receive)
      : rank_(std::move(rank)),
        number_(rank_->num_collectives++),
        call_(call),
        send_(static_cast<const std::byte*>(send)),
        send_bytes_(send_bytes),
        receive_(static_cast<std::byte*>(receive)) {}

  void arrive() {
    if (rank_->idle()) return;
    Meeting& meeting = rank_->world->meetings[number_];
    meeting.arrivals.resize(rank_->world->devices.size());
    for (int r = 0; r < rank_->world->size(); ++r) {
      const auto& other = meeting.arrivals[index(r)];
      if (!other || other->call == call_) continue;
      return rank_->disagree("rank " + std::to_string(rank_->number) + " calls " + to_string(call_) + ", where rank " +
                             std::to_string(r) + " calls " + to_string(other->call));
    }
    const bool sends = call_.root < 0 || call_.root == rank_->number;
    if (sends) announce(send_, send_bytes_, Access::kRead, call_.name);
    if (simulator().failed()) return;
    meeting.arrivals[index(rank_->number)] = {call_, sends ? Bytes(send_, send_ + send_bytes_) : Bytes()};
  }

  [[nodiscard]] bool ready() const override { return rank_->released() || absent() < 0; }
  [[nodiscard]] std::string missing() const override {
    return to_string(call_) + " waits for rank " + std::to_string(absent());
  }

  void leave() {
    --rank_->num_in_streams;
    if (!rank_->world->fault.empty()) simulator().record(rank_->world->fault);
    if (rank_->idle()) return;
    Meeting& meeting = rank_->world->meetings[number_];
    take(meeting);
    if (++meeting.num_left == rank_->world->size()) rank_->world->meetings.erase(number_);
  }

 private:
  /// A rank that has not come; -1 when all have.
  [[nodiscard]] int absent() const {
    const auto found = rank_->world->meetings.find(number_);
    if (found == rank_->world->meetings.end()) return rank_->number;
    for (int r = 0; r < rank_->world->size(); ++r) {
      if (!found->second.arrivals[index(r)]) return r;
    }
    return -1;
  }

  void take(const Meeting& meeting) {
    if (call_.root >= 0) {
      if (call_.root != rank_->number || send_ != receive_) write(0, meeting.arrivals[index(call_.root)]->sent);
    } else if (std::strcmp(call_.name, "ncclAllGather") == 0) {
      for (int r = 0; r < rank_->world->size(); ++r) {
        const std::size_t offset = index(r) * send_bytes_;
        if (send_ != receive_ + offset) write(offset, meeting.arrivals[index(r)]->sent);
      }
    } else {
      write(0, sum(meeting));
    }
  }

  [[nodiscard]] Bytes sum(const Meeting& meeting) const {
    Bytes bytes(call_.count * sizeof(float));
    std::vector<float> sums(call_.count, 0.0F), values(call_.count);
    const std::size_t size = meeting.arrivals.size(), own = index(rank_->number);
    for (std::size_t i = 1; i <= size; ++i) {
      const Bytes& sent = meeting.arrivals[(own + i) % size]->sent;
      std::memcpy(values.data(), sent.data() + own * bytes.size(), bytes.size());
      for (std::size_t j = 0; j < call_.count; ++j) sums[j] = i == 1 ? values[j] : sums[j] + values[j];
    }
    std::memcpy(bytes.data(), sums.data(), bytes.size());
    return bytes;
  }

  void write(std::size_t offset, const Bytes& bytes) {
    announce(receive_ + offset, bytes.size(), Access::kWrite, call_.name);
    std::memcpy(receive_ + offset, bytes.data(), bytes.size());
  }

  RankPointer rank_;
  std::uint64_t number_;
  Call call_;
  const std::byte* send_;
  std::size_t send_bytes_;
  std::byte* receive_;
};

// --- Point to point ----------------------------------------------------------------------------------------------------------

struct Transfer {
  bool sends = false;
  std::byte* data = nullptr;
  std::size_t size_bytes = 0;
  int peer = 0;
  std::size_t number = 0;  // in its channel
};

/// A rank's sends and receives of one group.
class Exchange : public Rendezvous {
 public:
  Exchange(RankPointer rank, std::vector<Transfer> transfers) : rank_(std::move(rank)), transfers_(std::move(transfers)) {}

  void arrive() {
    for (Transfer& transfer : transfers_) {
      if (rank_->idle()) return;
      Channel& channel = channel_of(transfer);
      if (transfer.sends) {
        transfer.number = channel.sent.size();
        announce(transfer.data, transfer.size_bytes, Access::kRead, "ncclSend");
        channel.sent.emplace_back(transfer.data, transfer.data + transfer.size_bytes);
      } else {
        transfer.number = channel.awaited.size();
        channel.awaited.push_back(transfer.size_bytes);
      }
      const std::size_t both = std::min(channel.sent.size(), channel.awaited.size());
      if (transfer.number < both && channel.sent[transfer.number].size() != channel.awaited[transfer.number]) {
        const int from = transfer.sends ? rank_->number : transfer.peer, to = transfer.sends ? transfer.peer : rank_->number;
        rank_->disagree("rank " + std::to_string(from) + " sends " + std::to_string(channel.sent[transfer.number].size()) +
                        " bytes to rank " + std::to_string(to) + ", which waits for " +
                        std::to_string(channel.awaited[transfer.number]));
      }
    }
    arrived_ = true;
  }

  [[nodiscard]] bool ready() const override { return rank_->released() || (arrived_ && absent() < 0); }
  [[nodiscard]] std::string missing() const override {
    return "a group of ncclSend and ncclRecv waits for rank " + std::to_string(absent());
  }

  void leave() {
    --rank_->num_in_streams;
    if (!rank_->world->fault.empty()) simulator().record(rank_->world->fault);
    for (const Transfer& transfer : transfers_) {
      if (rank_->idle()) return;
      if (transfer.sends) continue;
      Bytes& bytes = channel_of(transfer).sent[transfer.number];
      announce(transfer.data, transfer.size_bytes, Access::kWrite, "ncclRecv");
      std::memcpy(transfer.data, bytes.data(), bytes.size());
      Bytes().swap(bytes);
    }
  }

 private:
  [[nodiscard]] Channel& channel_of(const Transfer& transfer) const {
    const int from = transfer.sends ? rank_->number : transfer.peer, to = transfer.sends ? transfer.peer : rank_->number;
    return rank_->world->channels[{from, to}];
  }
  [[nodiscard]] int absent() const {
    for (const Transfer& transfer : transfers_) {
      const Channel& channel = channel_of(transfer);
      if (transfer.number >= (transfer.sends ? channel.awaited.size() : channel.sent.size())) return transfer.peer;
    }
    return -1;
  }

  RankPointer rank_;
  std::vector<Transfer> transfers_;
  bool arrived_ = false;
};

/// What a thread has called since ncclGroupStart.
struct Group {
  int depth = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  std::vector<Transfer> transfers;
};
thread_local Group group;

// --- Queueing
// ------------------------------------------------------------------------------------------------------------------

/// As the real library, whose calls may end before their work is queued: the seed decides.
template <typename Part>
ncclResult_t queue(const RankPointer& rank, cudaStream_t stream, std::shared_ptr<Part> part) {
  ++rank->num_in_streams;
  const auto submit = [stream = number_of(stream), part] {
    streams().submit(stream, {.run = [part] { part->arrive(); }});
    streams().submit(stream, {.run = [part] { part->leave(); }, .meet = part});
  };
  if (simulator().schedule().seed != 0 && simulator().random().coin()) {
    rank->to_queue.emplace_back(submit);
    return ncclInProgress;
  }
  submit();
  return ncclSuccess;
}

ncclResult_t refuse(Rank& rank, ncclResult_t result, const std::string& why) {
  rank.last_error = why;
  return result;
}

}  // namespace
}  // namespace virgil::simt

struct ncclComm {
  virgil::simt::RankPointer rank;
};

using namespace virgil::simt;

namespace {

/// Why this call may not be made now.
ncclResult_t may_call(Rank& rank, const char* name) {
  if (!rank.world->complete()) return refuse(rank, ncclInvalidUsage, std::string(name) + " before all ranks have come");
  if (!rank.to_queue.empty()) return refuse(rank, ncclInvalidUsage, std::string(name) + " while a call is in progress");
  if (rank.finalized) return refuse(rank, ncclInvalidUsage, std::string(name) + " after ncclCommFinalize");
  return ncclSuccess;
}

bool is_of_device(const void* data, std::size_t size_bytes) { return played_device().memory.contains(data, size_bytes); }

ncclResult_t collective(const Call& call, const void* send, std::size_t send_bytes, void* receive, std::size_t receive_bytes,
                        ncclComm_t comm, cudaStream_t stream) {
  const Turn turn;
  Rank& rank = *comm->rank;
  if (const ncclResult_t result = may_call(rank, call.name); result != ncclSuccess) return result;
  if (group.depth > 0) return refuse(rank, ncclInvalidUsage, std::string(call.name) + " in a group: not played");
  const bool sends = call.root < 0 || call.root == rank.number;
  if ((sends && !is_of_device(send, send_bytes)) || !is_of_device(receive, receive_bytes)) {
    return refuse(rank, ncclInvalidArgument, std::string(call.name) + ": a buffer is not in this device's memory");
  }
  return queue(comm->rank, stream, std::make_shared<Attendance>(comm->rank, call, send, send_bytes, receive));
}

ncclResult_t transfer(const char* name, const Transfer& transfer, ncclComm_t comm, cudaStream_t stream) {
  const Turn turn;
  Rank& rank = *comm->rank;
  if (const ncclResult_t result = may_call(rank, name); result != ncclSuccess) return result;
  if (!is_of_device(transfer.data, transfer.size_bytes) || transfer.peer < 0 || transfer.peer >= rank.world->size()) {
    return refuse(rank, ncclInvalidArgument, std::string(name) + ": a buffer or a rank that does not exist");
  }
  if (group.depth == 0) return queue(comm->rank, stream, std::make_shared<Exchange>(comm->rank, std::vector{transfer}));
  if (!group.transfers.empty() && (group.comm != comm || group.stream != stream)) {
    return refuse(rank, ncclInvalidUsage, std::string(name) + ": a group of several streams or communicators is not played");
  }
  group.comm = comm;
  group.stream = stream;
  group.transfers.push_back(transfer);
  return ncclSuccess;
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) {
  *version = 0;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
  }
  return "unknown result code";
}
const char* ncclGetLastError(ncclComm_t comm) {
  if (comm == nullptr) return "";
  const Rank& rank = *comm->rank;
  return rank.world->fault.empty() ? rank.last_error.c_str() : rank.world->fault.c_str();
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const Turn turn;
  *id = {};
  const std::uint64_t number = ++registry().num_ids;
  std::memcpy(id->internal, &number, sizeof number);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int num_ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  const Turn turn;
  std::uint64_t number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  if (number == 0 || number > registry().num_ids || config->blocking != 0) return ncclInvalidArgument;
  std::shared_ptr<World>& joining = registry().joining[number];
  if (joining == nullptr) {
    joining = std::make_shared<World>();
    joining->devices.resize(index(num_ranks), nullptr);
  }
  const std::shared_ptr<World> world = joining;
  if (num_ranks != world->size() || rank < 0 || rank >= num_ranks || world->devices[index(rank)] != nullptr) {
    return ncclInvalidArgument;
  }
  for (const PlayedDevice* device : world->devices) {
    if (device != nullptr && device->serial() == played_device().serial()) world->fault = "NCCL: two ranks on one device";
  }
  world->devices[index(rank)] = &played_device();
  if (world->complete()) registry().joining.erase(number);
  *comm = new ncclComm{std::make_shared<Rank>(Rank{.world = world, .number = rank})};
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* result) {
  const Turn turn;
  Rank& rank = *comm->rank;
  *result = ncclInProgress;
  if (played_device().planted_nccl_error != 0) {
    *result = static_cast<ncclResult_t>(played_device().planted_nccl_error);
  } else if (!rank.world->fault.empty()) {
    *result = ncclInternalError;
  } else if (rank.world->complete()) {
    if (!rank.to_queue.empty() && simulator().random().coin()) {
      for (const auto& submit : std::exchange(rank.to_queue, {})) submit();
    }
    if (rank.finalized && rank.num_in_streams > 0) streams().progress();
    if (rank.to_queue.empty() && !(rank.finalized && rank.num_in_streams > 0)) *result = ncclSuccess;
  }
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const Turn turn;
  if (const ncclResult_t result = may_call(*comm->rank, "ncclCommFinalize"); result != ncclSuccess) return result;
  comm->rank->finalized = true;
  return comm->rank->num_in_streams > 0 ? ncclInProgress : ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const Turn turn;
  Rank& rank = *comm->rank;
  if (!rank.finalized || rank.num_in_streams > 0) return refuse(rank, ncclInvalidUsage, "ncclCommDestroy before it is final");
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const Turn turn;
  comm->rank->aborted = true;
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclReduceScatter(const void* send, void* receive, std::size_t receive_count, ncclDataType_t type,
                               ncclRedOp_t /*op*/, ncclComm_t comm, cudaStream_t stream) {
  if (type != ncclFloat32) return ncclInvalidArgument;  // no other sums are played
  const std::size_t receive_bytes = receive_count * virgil::simt::size_of(type);
  const std::size_t send_bytes = receive_bytes * comm->rank->world->devices.size();
  const auto* out = static_cast<const std::byte*>(receive);
  const auto* in = static_cast<const std::byte*>(send);
  const bool overlap = out < in + send_bytes && in < out + receive_bytes;
  if (overlap && out != in + index(comm->rank->number) * receive_bytes) return ncclInvalidArgument;
  return collective({.name = "ncclReduceScatter", .count = receive_count, .type = type}, send, send_bytes, receive,
                    receive_bytes, comm, stream);
}
ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t send_count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  const std::size_t send_bytes = send_count * virgil::simt::size_of(type);
  return collective({.name = "ncclAllGather", .count = send_count, .type = type}, send, send_bytes, receive,
                    send_bytes * comm->rank->world->devices.size(), comm, stream);
}
ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  const std::size_t size_bytes = count * virgil::simt::size_of(type);
  if (root < 0 || root >= comm->rank->world->size()) return ncclInvalidArgument;
  return collective({.name = "ncclBroadcast", .count = count, .type = type, .root = root}, send, size_bytes, receive,
                    size_bytes, comm, stream);
}

ncclResult_t ncclGroupStart() {
  ++group.depth;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  if (group.depth == 0) return ncclInvalidUsage;
  if (--group.depth > 0 || group.transfers.empty()) return ncclSuccess;
  const Turn turn;
  const Group ended = std::exchange(group, {});
  return queue(ended.comm->rank, ended.stream, std::make_shared<Exchange>(ended.comm->rank, ended.transfers));
}
ncclResult_t ncclSend(const void* send, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  auto* data = static_cast<std::byte*>(const_cast<void*>(send));
  return transfer("ncclSend", {.sends = true, .data = data, .size_bytes = count * virgil::simt::size_of(type), .peer = peer},
                  comm, stream);
}
ncclResult_t ncclRecv(void* receive, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  auto* data = static_cast<std::byte*>(receive);
  return transfer("ncclRecv", {.sends = false, .data = data, .size_bytes = count * virgil::simt::size_of(type), .peer = peer},
                  comm, stream);
}
