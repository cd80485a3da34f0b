// Messages of one thread to its counterparts on other ranks. No call waits longer than the time limit.
#pragma once

#include <mpi.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mpi/owned_comm.h"
#include "mpi/roll_call.h"
#include "virgil/dist/started_collective.h"

namespace virgil {

/// A communicator of its own, used by one thread at a time. Every rank calls its functions in the same order.
class MpiChannel {
 public:
  /// `where` names it in errors and lives as long; so does the roll call.
  MpiChannel(OwnedComm comm, RollCall& roll_call, const char* where);

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }

  /// Begins the next collective. Throws InternalError when the rank below has begun another one.
  void begin(StartedCollective collective);

  /// Started messages; at most INT_MAX bytes.
  [[nodiscard]] MPI_Request send(std::span<const std::byte> data, int to);
  [[nodiscard]] MPI_Request receive(std::span<std::byte> data, int from);
  /// Until all are done. Throws LostRankError as the roll call does. After an exception the messages are still under way, from
  /// and to their memory: the process should end.
  void wait(std::span<MPI_Request> requests);
  /// Lets started messages get on.
  void make_progress();

  /// Whole collectives, of any size. `all` holds an equal part of each rank, this one's in place.
  void all_gather(std::span<std::byte> all);
  void gather(std::span<std::byte> all, std::span<const std::byte> mine, int root);
  void broadcast(std::span<std::byte> data, int root);
  void barrier();

  /// Another communicator of the same ranks.
  [[nodiscard]] OwnedComm duplicate();

  /// From another thread: a wait that has begun or begins later throws InternalError, and the group is broken.
  void stop_waiting() {
    roll_call_.is_broken() = true;
    must_stop_ = true;
  }

 private:
  [[noreturn]] void fail(int code);

  OwnedComm comm_;
  RollCall& roll_call_;
  const char* where_;
  int rank_ = 0;
  int size_ = 1;
  std::int64_t num_begun_ = 0;
  StartedCollective current_;
  StartedCollective theirs_;  // what the rank below has begun
  std::vector<MPI_Request> requests_;
  std::atomic<bool> must_stop_ = false;
};

}  // namespace virgil
