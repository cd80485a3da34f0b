// Move-only owner of an MPI communicator.
#pragma once

#include <mpi.h>

#include <atomic>
#include <utility>

namespace virgil {

/// Frees its communicator, unless the group is broken by then: freeing waits for ranks that may have died.
class OwnedComm {
 public:
  OwnedComm() = default;
  /// `is_broken` outlives it.
  OwnedComm(MPI_Comm comm, const std::atomic<bool>& is_broken) : comm_(comm), is_broken_(&is_broken) {}
  OwnedComm(OwnedComm&& other) noexcept : comm_(std::exchange(other.comm_, MPI_COMM_NULL)), is_broken_(other.is_broken_) {}
  OwnedComm& operator=(OwnedComm&& other) noexcept {
    std::swap(comm_, other.comm_);
    std::swap(is_broken_, other.is_broken_);
    return *this;
  }
  ~OwnedComm() {
    if (comm_ != MPI_COMM_NULL && !*is_broken_) MPI_Comm_free(&comm_);
  }

  [[nodiscard]] MPI_Comm get() const { return comm_; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  const std::atomic<bool>* is_broken_ = nullptr;
};

}  // namespace virgil
