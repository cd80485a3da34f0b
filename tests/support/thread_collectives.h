// The communicator of a group of threads: tensors are taken away, and the rank that comes last moves their bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "support/thread_world.h"
#include "virgil/dist/communicator.h"
#include "virgil/dist/started_collective.h"

namespace virgil::test_support {

/// Throws InternalError unless two ranks have started the same.
void check_same(const StartedCollective& mine, int rank, const StartedCollective& other, int other_rank);

/// A tensor under way: its bytes, until the last collective on it has been waited for.
struct Held {
  std::byte* home = nullptr;
  std::vector<std::byte> bytes;
  CollectiveTicket last_ticket = 0;
};

/// What the ranks have started on one communicator. The rank that comes last moves the bytes.
class Collectives {
 public:
  explicit Collectives(World& world) : world_(world) {}

  void start(int rank, const StartedCollective& collective, std::shared_ptr<Held> held);

  /// Returns when `ticket` is done.
  void wait(CollectiveTicket ticket);

 private:
  struct Place {
    StartedCollective collective;
    std::shared_ptr<Held> held;  // outlives a rank that fails
  };
  static std::span<std::byte> part(const Place& place, std::size_t rank, std::size_t size);
  static void move_bytes(const StartedCollective& collective, std::span<const Place> places);
  static void reduce_scatter(const StartedCollective& collective, std::span<const Place> places);

  World& world_;
  std::int64_t num_done_ = 0;
  std::deque<std::vector<Place>> under_way_;  // those after the first num_done_
};

[[nodiscard]] std::unique_ptr<Communicator> make_thread_communicator(Collectives& collectives, int rank, int size);

}  // namespace virgil::test_support
