#include "mpi/mpi_process_group.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <set>
#include <span>
#include <utility>

#include "mpi/mpi_communicator.h"
#include "mpi/mpi_errors.h"
#include "mpi/patient_pause.h"
#include "virgil/dist/communicator.h"

namespace virgil {

namespace {

std::int64_t size_of_bytes(std::span<const std::byte> bytes) { return static_cast<std::int64_t>(bytes.size()); }

std::string machine_name() {
  std::array<char, MPI_MAX_PROCESSOR_NAME> name{};
  int length = 0;
  check_mpi(MPI_Get_processor_name(name.data(), &length), "MPI_Get_processor_name");
  return {name.data(), static_cast<std::size_t>(length)};
}

/// For the time before a roll can be called.
OwnedComm duplicate_world(std::chrono::milliseconds timeout, std::atomic<bool>& is_broken) {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Comm_idup(MPI_COMM_WORLD, &comm, &request), "MPI_Comm_idup");
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  PatientPause pause;
  for (int is_done = 0; is_done == 0; pause()) {
    check_mpi(MPI_Test(&request, &is_done, MPI_STATUS_IGNORE), "MPI_Test");
    if (is_done != 0 || std::chrono::steady_clock::now() < deadline) continue;
    is_broken = true;
    throw LostRankError(fmt::format("not all processes have started within {} ms of each other", timeout.count()));
  }
  return {comm, is_broken};
}

class MpiOutsideWait final : public OutsideWait {
 public:
  MpiOutsideWait(RollCall& roll_call, std::string where, std::chrono::milliseconds timeout)
      : wait_(roll_call, std::move(where), timeout) {}
  void check() override { wait_.check(); }

 private:
  RollCall::Wait wait_;
};

}  // namespace

MpiProcessGroup::MpiProcessGroup(const GroupOptions& options, int num_launched)
    : session_(num_launched),
      roll_call_comm_(duplicate_world(options.timeout, session_.is_broken())),
      roll_call_(std::make_unique<RollCall>(roll_call_comm_.get(), options.timeout, session_.is_broken())),
      channel_(std::make_unique<MpiChannel>(duplicate_world(options.timeout, session_.is_broken()), *roll_call_,
                                            "the host's collectives")) {
  introduce_ranks();
}

MpiProcessGroup::~MpiProcessGroup() {
  if (session_.is_broken() || std::uncaught_exceptions() > 0) {
    session_.is_broken() = true;  // nothing is freed
    return;
  }
  try {
    barrier();
  } catch (const std::exception&) {
    // A wait that fails has marked the group as broken.
  }
}

void MpiProcessGroup::introduce_ranks() {
  const std::vector<std::string> machines = all_gather_texts(machine_name());
  const std::vector<std::string> processes = all_gather_texts(std::to_string(getpid()));
  std::vector<std::string> names;
  for (std::size_t r = 0; r < machines.size(); ++r) {
    names.push_back(fmt::format("rank {} (process {} on {})", r, processes[r], machines[r]));
  }
  roll_call_->set_names(std::move(names));
  num_machines_ = std::set(machines.begin(), machines.end()).size();
  const auto mine = machines.begin() + rank();
  local_size_ = static_cast<int>(std::count(machines.begin(), machines.end(), *mine));
  local_rank_ = static_cast<int>(std::count(machines.begin(), mine, *mine));
}

std::string MpiProcessGroup::description() const {
  return fmt::format("{} processes on {} machine{}, {}", size(), num_machines_, num_machines_ == 1 ? "" : "s",
                     MpiSession::library());
}

void MpiProcessGroup::all_gather(std::span<std::byte> all, std::span<const std::byte> mine) {
  VIRGIL_CHECK(all.size() == mine.size() * static_cast<std::size_t>(size()), "{} bytes for {} of each of {} ranks", all.size(),
               mine.size(), size());
  channel_->begin({.kind = CollectiveKind::kAllGather, .size_bytes = size_of_bytes(mine)});
  std::ranges::copy(mine, all.subspan(static_cast<std::size_t>(rank()) * mine.size()).begin());
  channel_->all_gather(all);
}

void MpiProcessGroup::gather(std::span<std::byte> all, std::span<const std::byte> mine, int root) {
  VIRGIL_CHECK(root >= 0 && root < size(), "root {} of {} ranks", root, size());
  VIRGIL_CHECK(rank() != root || all.size() == mine.size() * static_cast<std::size_t>(size()),
               "{} bytes for {} of each of {} ranks", all.size(), mine.size(), size());
  channel_->begin({.kind = CollectiveKind::kGather, .root = root, .size_bytes = size_of_bytes(mine)});
  channel_->gather(all, mine, root);
}

void MpiProcessGroup::broadcast(std::span<std::byte> data, int root) {
  VIRGIL_CHECK(root >= 0 && root < size(), "root {} of {} ranks", root, size());
  channel_->begin({.kind = CollectiveKind::kBroadcast, .root = root, .size_bytes = size_of_bytes(data)});
  channel_->broadcast(data, root);
}

void MpiProcessGroup::barrier() {
  channel_->begin({.kind = CollectiveKind::kBarrier});
  channel_->barrier();
}

std::unique_ptr<OutsideWait> MpiProcessGroup::wait_outside(std::string where, std::chrono::milliseconds timeout) {
  return std::make_unique<MpiOutsideWait>(*roll_call_, std::move(where), timeout);
}

std::unique_ptr<Communicator> MpiProcessGroup::make_host_communicator() {
  if (size() == 1) return make_single_process_group()->make_host_communicator();
  channel_->begin({.kind = CollectiveKind::kNewCommunicator});
  return std::make_unique<MpiCommunicator>(channel_->duplicate(), *roll_call_);
}

void MpiProcessGroup::abort(int exit_status) {
  if (session_.is_broken().exchange(true)) roll_call_->let_others_read();
  MPI_Abort(MPI_COMM_WORLD, exit_status);
  std::_Exit(exit_status);
}

}  // namespace virgil
