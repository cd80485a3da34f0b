// The ranks of the played NCCL: what those of one unique id share, and how they meet in the work of their streams.
#pragma once

#include <nccl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cuda/sim/played_device.h"

namespace virgil::simt {

/// What all ranks of a collective must agree on.
struct Call {
  const char* name = "";
  std::size_t count = 0;
  ncclDataType_t type = ncclInt8;
  int root = -1;
};

/// One collective: what each rank has brought.
struct Meeting {
  struct Arrival {
    Call call;
    std::vector<std::byte> sent;
  };
  std::vector<std::optional<Arrival>> arrivals;  // by rank
  int num_left = 0;
};

/// From one rank to another: the n-th ncclSend meets the n-th ncclRecv.
struct Channel {
  std::vector<std::vector<std::byte>> sent;
  std::vector<std::size_t> awaited;  // sizes
};

/// What the ranks of one unique id share.
struct World {
  std::vector<const PlayedDevice*> devices;  // by rank; null until it has come
  std::map<std::uint64_t, Meeting> meetings;
  std::map<std::pair<int, int>, Channel> channels;
  std::string fault;  // ranks do not agree: the real library would hang, or worse

  [[nodiscard]] int size() const { return static_cast<int>(devices.size()); }
  [[nodiscard]] bool complete() const;
};

/// One of them: what its communicator stands for.
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
  [[nodiscard]] bool idle() const { return released() || simulator().failed(); }
  /// Whether nothing waits for other ranks any more.
  [[nodiscard]] bool released() const { return aborted || !world->fault.empty(); }
  /// On the device whose work found it; others' learn of it when they come.
  void disagree(const std::string& what) const;
};

/// The number of a new unique id.
[[nodiscard]] std::uint64_t new_world();
/// Makes the calling thread's device a rank of the world with that number; null where it cannot be one.
[[nodiscard]] std::shared_ptr<Rank> join_world(std::uint64_t world_number, int num_ranks, int rank);

/// A rank's part in a collective, or in a group of sends and receives: two pieces of work in its stream. The first leaves what
/// the rank sends, the second takes the result when all have come.
class Part : public Rendezvous {
 public:
  virtual void arrive() = 0;
  virtual void leave() = 0;
};

/// In the rank's next collective. Where there is a root it alone sends.
[[nodiscard]] std::shared_ptr<Part> part_in_collective(std::shared_ptr<Rank> rank, const Call& call, const void* send,
                                                       std::size_t send_bytes, void* receive);

struct Transfer {
  bool sends = false;
  std::byte* data = nullptr;
  std::size_t size_bytes = 0;
  int peer = 0;
  std::size_t number = 0;  // in its channel, once it is there
};

/// The sends and receives of one group.
[[nodiscard]] std::shared_ptr<Part> part_in_group(std::shared_ptr<Rank> rank, std::vector<Transfer> transfers);

}  // namespace virgil::simt
