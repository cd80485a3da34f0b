// Processes that train one model together, and what they tell each other on the host.
//
// A group's processes run the same program and call its functions in the same order. Tensors on devices travel through a
// Communicator (communicator.h).
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {

class Communicator;

/// Another process of the group has died, or hangs. what() names its rank and machine.
class LostRankError : public Error {
 public:
  using Error::Error;
};

/// A wait for other ranks that the group does not see, such as that for a GPU's stream. While it lives this rank counts as one
/// that waits, and is not taken for lost.
class OutsideWait {
 public:
  virtual ~OutsideWait() = default;
  /// To be called every few tens of milliseconds: answers other ranks, and looks for lost ones when the time limit has passed.
  /// Throws LostRankError, or InternalError when all ranks wait, but not for the same.
  virtual void check() = 0;
};

/// One process's place in the group. One thread at a time calls it.
///
/// Every function that waits for other ranks throws LostRankError when one of them has not come within the group's time limit;
/// the group is then of no use but to abort().
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  [[nodiscard]] bool is_root() const { return rank() == 0; }
  /// For people: "4 processes on 2 machines, Open MPI 4.1.4".
  [[nodiscard]] virtual std::string description() const = 0;
  /// "rank 1 (process 4711 on node2)".
  [[nodiscard]] virtual std::string name_of(int rank) const = 0;
  /// Number of this process among those on its machine, from 0, and how many they are.
  [[nodiscard]] virtual int local_rank() const = 0;
  [[nodiscard]] virtual int local_size() const = 0;
  /// How long another rank is waited for.
  [[nodiscard]] virtual std::chrono::milliseconds timeout() const = 0;

  /// all = every rank's bytes in order of rank; `mine` has the same size on every rank, `all` size() times that.
  virtual void all_gather(std::span<std::byte> all, std::span<const std::byte> mine) = 0;
  /// The same, but only on rank `root`, where others may pass an empty `all`.
  virtual void gather(std::span<std::byte> all, std::span<const std::byte> mine, int root) = 0;
  /// data of rank `root` to all; as many bytes on every rank.
  virtual void broadcast(std::span<std::byte> data, int root) = 0;
  virtual void barrier() = 0;
  /// Every rank's text in order of rank; lengths may differ.
  [[nodiscard]] std::vector<std::string> all_gather_texts(std::string_view mine);

  /// Begins a wait of at most `timeout`. `where` tells others what for: "NCCL (all-gather 12 of 4096 bytes)". The group must
  /// outlive it.
  [[nodiscard]] virtual std::unique_ptr<OutsideWait> wait_outside(std::string where, std::chrono::milliseconds timeout) = 0;

  /// Collectives for tensors in host memory. The group must outlive them.
  [[nodiscard]] virtual std::unique_ptr<Communicator> make_host_communicator() = 0;

  /// Ends the processes of all ranks, at once and without their consent. The caller has said why.
  [[noreturn]] virtual void abort(int exit_status) = 0;
};

/// The group of a process that runs alone.
[[nodiscard]] std::unique_ptr<ProcessGroup> make_single_process_group();

}  // namespace virgil
