#include "cuda/sim/nccl_ranks.h"

#include <algorithm>
#include <cstring>

namespace virgil::simt {

namespace {

using Bytes = std::vector<std::byte>;
using RankPointer = std::shared_ptr<Rank>;

struct Registry {
  std::uint64_t num_ids = 0;
  std::map<std::uint64_t, std::shared_ptr<World>> joining;  // by id, until all ranks have come
};
Registry& registry() {
  static Registry instance;
  return instance;
}

std::size_t index(int rank) { return static_cast<std::size_t>(rank); }

bool operator==(const Call& a, const Call& b) {
  return std::strcmp(a.name, b.name) == 0 && a.count == b.count && a.type == b.type && a.root == b.root;
}

std::string to_string(const Call& call) {
  const char* type = call.type == ncclInt8 ? "int8" : call.type == ncclBfloat16 ? "bfloat16" : "float32";
  std::string text = std::string(call.name) + " of " + std::to_string(call.count) + " " + type;
  if (call.root >= 0) text += " from rank " + std::to_string(call.root);
  return text;
}

void announce(const void* data, std::size_t size_bytes, Access access, const char* name) {
  race_detector().transfer(data, size_bytes, access, name);
}

// --- Collectives -------------------------------------------------------------------------------------------------------------

class Attendance : public Part {
 public:
  Attendance(RankPointer rank, Call call, const void* send, std::size_t send_bytes, void* receive)
      : rank_(std::move(rank)),
        number_(rank_->num_collectives++),
        call_(call),
        send_(static_cast<const std::byte*>(send)),
        send_bytes_(send_bytes),
        receive_(static_cast<std::byte*>(receive)) {}

  void arrive() override {
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

  void leave() override {
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

class Exchange : public Part {
 public:
  Exchange(RankPointer rank, std::vector<Transfer> transfers) : rank_(std::move(rank)), transfers_(std::move(transfers)) {}

  void arrive() override {
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

  void leave() override {
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

}  // namespace

bool World::complete() const { return std::ranges::find(devices, nullptr) == devices.end(); }

void Rank::disagree(const std::string& what) const {
  world->fault = "NCCL: " + what;
  simulator().record(world->fault);
}

std::uint64_t new_world() { return ++registry().num_ids; }

std::shared_ptr<Rank> join_world(std::uint64_t world_number, int num_ranks, int rank) {
  if (world_number == 0 || world_number > registry().num_ids) return nullptr;
  std::shared_ptr<World>& joining = registry().joining[world_number];
  if (joining == nullptr) {
    joining = std::make_shared<World>();
    joining->devices.resize(index(num_ranks), nullptr);
  }
  const std::shared_ptr<World> world = joining;
  if (num_ranks != world->size() || rank < 0 || rank >= num_ranks || world->devices[index(rank)] != nullptr) return nullptr;
  for (const PlayedDevice* device : world->devices) {
    if (device != nullptr && device->serial() == played_device().serial()) world->fault = "NCCL: two ranks on one device";
  }
  world->devices[index(rank)] = &played_device();
  if (world->complete()) registry().joining.erase(world_number);
  return std::make_shared<Rank>(Rank{.world = world, .number = rank});
}

std::shared_ptr<Part> part_in_collective(std::shared_ptr<Rank> rank, const Call& call, const void* send, std::size_t send_bytes,
                                         void* receive) {
  return std::make_shared<Attendance>(std::move(rank), call, send, send_bytes, receive);
}

std::shared_ptr<Part> part_in_group(std::shared_ptr<Rank> rank, std::vector<Transfer> transfers) {
  return std::make_shared<Exchange>(std::move(rank), std::move(transfers));
}

}  // namespace virgil::simt
