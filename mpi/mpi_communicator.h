// Collectives over tensors in host memory, by one thread beside those that compute.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "mpi/mpi_channel.h"
#include "virgil/dist/communicator.h"

namespace virgil {

/// A reduce-scatter cuts every part into pieces. A piece's summands travel straight to the rank that owns its part, which adds
/// them in order of rank, while those of the next piece are under way: the staging's two halves take turns.
class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(OwnedComm comm, RollCall& roll_call);
  /// Waits for what has been started; gives it up when an exception is on its way.
  ~MpiCommunicator() override;

  [[nodiscard]] CommunicatorKind kind() const override { return CommunicatorKind::kMpi; }
  [[nodiscard]] int rank() const override { return channel_.rank(); }
  [[nodiscard]] int size() const override { return channel_.size(); }
  [[nodiscard]] std::string description() const override { return "MPI over host memory"; }

  void bind_staging(std::span<std::byte> staging) override;
  CollectiveTicket start_reduce_scatter(TensorView data, DType wire) override;
  CollectiveTicket start_all_gather(TensorView data) override;
  CollectiveTicket start_broadcast(TensorView data, int root) override;
  void wait(CollectiveTicket ticket) override;
  void wait_all() override;

 private:
  struct Task {
    StartedCollective collective;
    std::span<std::byte> data;
  };
  /// What one half of the staging holds: the summands of one piece.
  struct Half {
    std::span<std::byte> memory;
    std::vector<const std::byte*> received;  // by rank
    std::vector<MPI_Request> requests;
  };

  CollectiveTicket start(const StartedCollective& collective, TensorView data);
  /// On the worker's thread.
  void work();
  void run(const Task& task);
  void reduce_scatter(const Task& task);
  /// Starts to send and receive the summands of elements [first, first + count) of every part.
  void exchange(Half& half, std::span<float> data, std::size_t first, std::size_t count, DType wire);

  MpiChannel channel_;
  std::array<Half, 2> halves_;  // the worker's while it is busy
  std::int64_t staging_bytes_ = 0;

  std::mutex mutex_;
  std::condition_variable work_has_come_;
  std::condition_variable work_is_done_;
  std::deque<Task> tasks_;  // the first is being worked on
  CollectiveTicket num_started_ = 0;
  CollectiveTicket num_done_ = 0;
  std::exception_ptr error_;  // of the task after the last that is done
  bool must_end_ = false;
  std::thread worker_;
};

}  // namespace virgil
