// Finds the ranks that have died or hang.
//
// A rank that has waited for the time limit calls the roll: it asks all others whether they wait too. A rank answers whenever
// one of its threads waits for others, however long, so whoever does not answer within a grace period does not take part any
// more. The caller tells its verdict to all, so that all that wait end with the same error.
#pragma once

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "mpi/owned_comm.h"

namespace virgil {

/// One per process; its threads share it.
class RollCall {
 public:
  /// `comm` is its own. `is_broken` becomes true when a wait has failed: other ranks cannot be counted on from then on.
  RollCall(MPI_Comm comm, std::chrono::milliseconds timeout, std::atomic<bool>& is_broken);

  /// names[r] is rank r's, for messages.
  void set_names(std::vector<std::string> names);
  [[nodiscard]] const std::string& name_of(int rank) const { return names_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] std::chrono::milliseconds timeout() const { return timeout_; }
  [[nodiscard]] std::atomic<bool>& is_broken() { return is_broken_; }

  /// Tells all ranks that a rank of the group is lost, or (when `is_lost` is false) that the program is wrong, and throws
  /// LostRankError or InternalError. When another rank has been first, its verdict is thrown.
  [[noreturn]] void condemn(bool is_lost, const std::string& why);
  /// Gives ranks that wait the time to read a verdict, and to say it, before the job is ended.
  void let_others_read();

  /// A thread waits for others while it lives.
  class Wait {
   public:
    /// `place` tells others where: "the host's collectives (barrier 812)".
    Wait(RollCall& roll_call, std::string place, std::chrono::milliseconds timeout);
    ~Wait();
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

    /// To be called every kCheckInterval: answers other ranks, and calls the roll when the limit has passed. Throws
    /// LostRankError when ranks are lost or messages do not arrive, and InternalError when all wait, but not for the same.
    void check();

   private:
    friend class RollCall;
    using Clock = std::chrono::steady_clock;

    RollCall& roll_call_;
    std::string place_;
    std::chrono::milliseconds timeout_;
    Clock::time_point start_ = Clock::now();
    Clock::time_point deadline_;
    bool all_have_answered_ = false;
  };
  static constexpr std::chrono::milliseconds kCheckInterval{20};

 private:
  using Clock = std::chrono::steady_clock;
  enum class Letter : std::int32_t { kCall, kAnswer, kLost, kWrong };

  struct Sent {
    std::string bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  /// A roll call of this rank.
  struct Call {
    const Wait* caller = nullptr;
    Clock::time_point deadline;
    int num_missing = 0;
    std::vector<std::optional<std::string>> answers;
  };
  struct Verdict {
    bool is_lost = false;
    std::string why;
  };

  // All with the mutex held.
  void read_letters();
  void read_letter(MPI_Message message, const MPI_Status& status);
  void send(Letter letter, std::int64_t call, const std::string& text, int to);
  void send_to_others(Letter letter, std::int64_t call, const std::string& text);
  void forget_sent();
  void call_roll(const Wait& caller);
  [[nodiscard]] std::string places() const;
  [[nodiscard]] std::string describe_lost(const Wait& caller) const;
  [[nodiscard]] Verdict judge_stuck(const Wait& caller) const;
  [[noreturn]] void throw_verdict();

  MPI_Comm comm_;
  std::chrono::milliseconds timeout_;
  std::chrono::milliseconds grace_;
  std::atomic<bool>& is_broken_;
  int rank_ = 0;
  std::vector<std::string> names_;

  std::mutex mutex_;
  std::vector<const Wait*> waits_;
  std::list<Sent> sent_;  // addresses of entries stay
  std::int64_t num_calls_ = 0;
  std::optional<Call> call_;
  std::optional<Verdict> verdict_;
};

}  // namespace virgil
