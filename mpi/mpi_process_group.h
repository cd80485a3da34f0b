// The processes that mpirun or srun has started together.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mpi/mpi_channel.h"
#include "mpi/mpi_session.h"
#include "mpi/roll_call.h"
#include "virgil/dist/launch.h"
#include "virgil/dist/process_group.h"

namespace virgil {

class MpiProcessGroup final : public ProcessGroup {
 public:
  /// Starts MPI. `num_launched` as launched_processes().
  MpiProcessGroup(const GroupOptions& options, int num_launched);
  /// Waits, within the time limit, until all ranks are about to end, and ends MPI; neither after a lost rank nor while an
  /// exception is on its way.
  ~MpiProcessGroup() override;

  [[nodiscard]] int rank() const override { return channel_->rank(); }
  [[nodiscard]] int size() const override { return channel_->size(); }
  [[nodiscard]] std::string description() const override;
  [[nodiscard]] std::string name_of(int rank) const override { return roll_call_->name_of(rank); }
  [[nodiscard]] int local_rank() const override { return local_rank_; }
  [[nodiscard]] int local_size() const override { return local_size_; }
  [[nodiscard]] std::chrono::milliseconds timeout() const override { return roll_call_->timeout(); }

  void all_gather(std::span<std::byte> all, std::span<const std::byte> mine) override;
  void gather(std::span<std::byte> all, std::span<const std::byte> mine, int root) override;
  void broadcast(std::span<std::byte> data, int root) override;
  void barrier() override;
  [[nodiscard]] std::unique_ptr<OutsideWait> wait_outside(std::string where, std::chrono::milliseconds timeout) override;

  [[nodiscard]] std::unique_ptr<Communicator> make_host_communicator() override;
  [[noreturn]] void abort(int exit_status) override;

 private:
  void introduce_ranks();

  MpiSession session_;
  OwnedComm roll_call_comm_;
  std::unique_ptr<RollCall> roll_call_;
  std::unique_ptr<MpiChannel> channel_;
  int local_rank_ = 0;
  int local_size_ = 1;
  std::size_t num_machines_ = 1;
};

}  // namespace virgil
