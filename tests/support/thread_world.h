// What the ranks of a group of threads share: waiting for each other, and how they end each other.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "virgil/dist/process_group.h"

namespace virgil::test_support {

inline std::size_t rank_index(int rank) { return static_cast<std::size_t>(rank); }

[[nodiscard]] std::string name_of_rank(int rank);

/// Waiting for other ranks, and how they end each other. Guards everything that ranks share with its mutex.
class World {
 public:
  World(int size, std::chrono::milliseconds timeout)
      : size_(size), timeout_(timeout), has_ended_(rank_index(size), false), places_(rank_index(size)) {}

  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] std::chrono::milliseconds timeout() const { return timeout_; }
  [[nodiscard]] std::mutex& mutex() { return mutex_; }

  /// Waits until `done`, with the mutex held. `has_come(r)` tells whether rank r is still waited for.
  template <typename Done, typename HasCome>
  void wait(std::unique_lock<std::mutex>& lock, Done&& done, HasCome&& has_come) {
    const auto deadline = std::chrono::steady_clock::now() + timeout_;
    bool is_late = false;
    while (!done()) {
      for (int r = 0; r < size_; ++r) {
        if (has_come(r)) continue;
        if (has_ended_[rank_index(r)]) lose(fmt::format("{} has ended", name_of_rank(r)));
        if (is_late) lose(fmt::format("{} has not come in {} ms", name_of_rank(r), timeout_.count()));
      }
      check_none_lost();
      is_late = changed_.wait_until(lock, deadline) == std::cv_status::timeout;
    }
  }
  /// With the mutex held. Ranks that have given up are not to be written to.
  void check_none_lost() const;
  void notify() { changed_.notify_all(); }

  /// Where a rank waits; empty when it does not.
  void set_place(int rank, std::string place);
  /// As RollCall does it: a rank that waits nowhere when another's time is up is lost.
  void call_roll(int caller, std::chrono::milliseconds waited);

  /// The running exception of a rank; the first is kept.
  void fail(int rank, const char* what);
  void end(int rank);
  void rethrow_first() const;

 private:
  void lose(std::string why);

  int size_;
  std::chrono::milliseconds timeout_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> has_ended_;
  std::vector<std::string> places_;  // of waits outside
  std::string lost_;
  bool is_wrong_ = false;  // no rank is lost: they wait for different things
  std::exception_ptr first_;
};

class ThreadWait final : public OutsideWait {
 public:
  ThreadWait(World& world, int rank, std::string where, std::chrono::milliseconds timeout)
      : world_(world), rank_(rank), timeout_(timeout) {
    world_.set_place(rank_, std::move(where));
  }
  ~ThreadWait() override { world_.set_place(rank_, ""); }
  ThreadWait(const ThreadWait&) = delete;
  ThreadWait& operator=(const ThreadWait&) = delete;

  void check() override {
    if (std::chrono::steady_clock::now() - start_ > timeout_) return world_.call_roll(rank_, timeout_);
    const std::scoped_lock lock(world_.mutex());
    world_.check_none_lost();
  }

 private:
  World& world_;
  int rank_;
  std::chrono::milliseconds timeout_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace virgil::test_support
