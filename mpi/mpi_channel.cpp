#include "mpi/mpi_channel.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "mpi/mpi_errors.h"
#include "mpi/patient_pause.h"

namespace virgil {

namespace {

constexpr int kHeaderTag = 0;
constexpr int kDataTag = 1;
constexpr int kTagOfNothing = 2;
/// Large enough for a network's full speed; small enough that the time limit is one for a message, not for a whole model.
constexpr std::size_t kMessageBytes = std::size_t{8} << 20;

int count_of(std::size_t size_bytes) { return static_cast<int>(size_bytes); }

}  // namespace

MpiChannel::MpiChannel(OwnedComm comm, RollCall& roll_call, const char* where)
    : comm_(std::move(comm)), roll_call_(roll_call), where_(where) {
  check_mpi(MPI_Comm_set_errhandler(comm_.get(), MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(comm_.get(), &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(comm_.get(), &size_), "MPI_Comm_size");
  requests_.reserve(2 * static_cast<std::size_t>(size_));
}

void MpiChannel::begin(StartedCollective collective) {
  collective.number = num_begun_++;
  current_ = collective;
  // Where any two ranks differ, some two neighbours do.
  const int below = (rank_ + size_ - 1) % size_;
  MPI_Request requests[2];
  check_mpi(MPI_Irecv(&theirs_, sizeof(theirs_), MPI_BYTE, below, kHeaderTag, comm_.get(), &requests[0]), "MPI_Irecv");
  check_mpi(MPI_Isend(&current_, sizeof(current_), MPI_BYTE, (rank_ + 1) % size_, kHeaderTag, comm_.get(), &requests[1]),
            "MPI_Isend");
  wait(requests);
  if (theirs_ == current_) return;
  roll_call_.condemn(
      false, fmt::format("{}: {} has begun {}, and {} {}: they have taken different ways through the program", where_,
                         roll_call_.name_of(below), to_string(theirs_), roll_call_.name_of(rank_), to_string(current_)));
}

MPI_Request MpiChannel::send(std::span<const std::byte> data, int to) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Isend(data.data(), count_of(data.size()), MPI_BYTE, to, kDataTag, comm_.get(), &request), "MPI_Isend");
  return request;
}

MPI_Request MpiChannel::receive(std::span<std::byte> data, int from) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Irecv(data.data(), count_of(data.size()), MPI_BYTE, from, kDataTag, comm_.get(), &request), "MPI_Irecv");
  return request;
}

void MpiChannel::wait(std::span<MPI_Request> requests) {
  std::optional<RollCall::Wait> wait;  // most are over before there is anything to tell
  PatientPause pause;
  auto next_check = std::chrono::steady_clock::now() + RollCall::kCheckInterval;
  for (std::size_t num_done = 0; num_done < requests.size();) {
    int is_done = 0;
    const int code = MPI_Test(&requests[num_done], &is_done, MPI_STATUS_IGNORE);
    if (code != MPI_SUCCESS) fail(code);
    if (is_done != 0) {
      ++num_done;
      continue;
    }
    if (must_stop_) throw InternalError(fmt::format("{}: given up in {}", where_, to_string(current_)));
    pause();
    const auto now = std::chrono::steady_clock::now();
    if (now < next_check) continue;
    if (!wait) wait.emplace(roll_call_, fmt::format("{} ({})", where_, to_string(current_)), roll_call_.timeout());
    wait->check();
    next_check = now + RollCall::kCheckInterval;
  }
}

void MpiChannel::fail(int code) {
  const std::string error = describe_mpi_error(code);
  if (is_mismatch(code)) {
    roll_call_.condemn(false, fmt::format("{} of {}, {}: {}", where_, roll_call_.name_of(rank_), to_string(current_), error));
  }
  roll_call_.condemn(true, fmt::format("{} has lost the connection to others in {} ({}): {}. The newest checkpoint is intact",
                                       roll_call_.name_of(rank_), where_, to_string(current_), error));
}

void MpiChannel::make_progress() {
  int has_come = 0;
  check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, kTagOfNothing, comm_.get(), &has_come, MPI_STATUS_IGNORE), "MPI_Iprobe");
}

void MpiChannel::all_gather(std::span<std::byte> all) {
  const std::size_t part = all.size() / static_cast<std::size_t>(size_);
  const auto chunk = [&](int rank, std::size_t first) {
    return all.subspan(static_cast<std::size_t>(rank) * part + first, std::min(kMessageBytes, part - first));
  };
  for (std::size_t first = 0; first < part; first += kMessageBytes) {
    requests_.clear();
    // At any moment each rank sends to another one.
    for (int distance = 1; distance < size_; ++distance) {
      const int from = (rank_ + size_ - distance) % size_;
      requests_.push_back(receive(chunk(from, first), from));
    }
    for (int distance = 1; distance < size_; ++distance) {
      requests_.push_back(send(chunk(rank_, first), (rank_ + distance) % size_));
    }
    wait(requests_);
  }
}

void MpiChannel::gather(std::span<std::byte> all, std::span<const std::byte> mine, int root) {
  for (std::size_t first = 0; first < mine.size(); first += kMessageBytes) {
    const std::size_t count = std::min(kMessageBytes, mine.size() - first);
    requests_.clear();
    if (rank_ != root) requests_.push_back(send(mine.subspan(first, count), root));
    for (int r = 0; rank_ == root && r < size_; ++r) {
      const std::span<std::byte> to = all.subspan(static_cast<std::size_t>(r) * mine.size() + first, count);
      if (r == rank_) {
        std::ranges::copy(mine.subspan(first, count), to.begin());
      } else {
        requests_.push_back(receive(to, r));
      }
    }
    wait(requests_);
  }
}

void MpiChannel::broadcast(std::span<std::byte> data, int root) {
  for (std::size_t first = 0; first < data.size(); first += kMessageBytes) {
    const std::span<std::byte> chunk = data.subspan(first, std::min(kMessageBytes, data.size() - first));
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Ibcast(chunk.data(), count_of(chunk.size()), MPI_BYTE, root, comm_.get(), &request), "MPI_Ibcast");
    wait(std::span(&request, 1));
  }
}

void MpiChannel::barrier() {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(comm_.get(), &request), "MPI_Ibarrier");
  wait(std::span(&request, 1));
}

OwnedComm MpiChannel::duplicate() {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Comm_idup(comm_.get(), &comm, &request), "MPI_Comm_idup");
  wait(std::span(&request, 1));
  return {comm, roll_call_.is_broken()};
}

}  // namespace virgil
