#include "support/thread_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/thread_collectives.h"
#include "support/thread_world.h"
#include "virgil/dist/communicator.h"
#include "virgil/dist/started_collective.h"

namespace virgil::test_support {

namespace {

/// What the ranks share: the call of a group's function that they are in, and the communicators.
class Meeting {
 public:
  Meeting(int size, std::chrono::milliseconds timeout) : world_(size, timeout), visits_(rank_index(size)) {}

  [[nodiscard]] World& world() { return world_; }

  struct Visit {
    StartedCollective collective;
    std::span<std::byte> out;
    std::span<const std::byte> in;
  };

  void visit(int rank, const Visit& mine) {
    std::unique_lock lock(world_.mutex());
    world_.check_none_lost();
    const std::int64_t number = num_meetings_;
    for (int r = 0; r < world_.size(); ++r) {
      if (visits_[rank_index(r)]) check_same(mine.collective, rank, visits_[rank_index(r)]->collective, r);
    }
    visits_[rank_index(rank)] = mine;
    if (std::ranges::all_of(visits_, [](const auto& visit) { return visit.has_value(); })) {
      move_bytes();
      std::ranges::fill(visits_, std::nullopt);
      ++num_meetings_;
      world_.notify();
      return;
    }
    world_.wait(
        lock, [&] { return num_meetings_ > number; },
        [&](int r) { return num_meetings_ > number || visits_[rank_index(r)].has_value(); });
  }

  /// The `number`th communicator that each rank makes.
  Collectives& collectives(std::size_t number) {
    const std::scoped_lock lock(world_.mutex());
    while (collectives_.size() <= number) collectives_.emplace_back(world_);
    return collectives_[number];
  }

 private:
  void move_bytes() {
    for (auto& to : visits_) {
      if (to->out.empty()) continue;
      if (to->collective.kind == CollectiveKind::kBroadcast) {
        const Visit& root = *visits_[rank_index(to->collective.root)];
        if (to->out.data() != root.in.data()) std::ranges::copy(root.in, to->out.begin());
        continue;
      }
      auto next = to->out.begin();
      for (const auto& from : visits_) next = std::ranges::copy(from->in, next).out;
    }
  }

  World world_;
  std::vector<std::optional<Visit>> visits_;
  std::int64_t num_meetings_ = 0;
  std::deque<Collectives> collectives_;  // addresses of entries stay
};

class ThreadGroup final : public ProcessGroup {
 public:
  ThreadGroup(Meeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return meeting_.world().size(); }
  [[nodiscard]] std::string description() const override { return fmt::format("{} threads", size()); }
  [[nodiscard]] std::string name_of(int rank) const override { return name_of_rank(rank); }
  [[nodiscard]] int local_rank() const override { return rank_; }
  [[nodiscard]] int local_size() const override { return size(); }
  [[nodiscard]] std::chrono::milliseconds timeout() const override { return meeting_.world().timeout(); }

  void all_gather(std::span<std::byte> all, std::span<const std::byte> mine) override {
    VIRGIL_CHECK(all.size() == mine.size() * rank_index(size()), "{} bytes for {} of each rank", all.size(), mine.size());
    meet({.kind = CollectiveKind::kAllGather, .size_bytes = static_cast<std::int64_t>(mine.size())}, all, mine);
  }
  void gather(std::span<std::byte> all, std::span<const std::byte> mine, int root) override {
    const bool is_receiver = rank_ == root;
    VIRGIL_CHECK(!is_receiver || all.size() == mine.size() * rank_index(size()), "{} bytes for {} of each rank", all.size(),
                 mine.size());
    meet({.kind = CollectiveKind::kGather, .root = root, .size_bytes = static_cast<std::int64_t>(mine.size())},
         is_receiver ? all : std::span<std::byte>{}, mine);
  }
  void broadcast(std::span<std::byte> data, int root) override {
    meet({.kind = CollectiveKind::kBroadcast, .root = root, .size_bytes = static_cast<std::int64_t>(data.size())}, data, data);
  }
  void barrier() override { meet({.kind = CollectiveKind::kBarrier}, {}, {}); }
  [[nodiscard]] std::unique_ptr<OutsideWait> wait_outside(std::string where, std::chrono::milliseconds timeout) override {
    return std::make_unique<ThreadWait>(meeting_.world(), rank_, std::move(where), timeout);
  }

  [[nodiscard]] std::unique_ptr<Communicator> make_host_communicator() override {
    return make_thread_communicator(meeting_.collectives(num_communicators_++), rank_, size());
  }

  [[noreturn]] void abort(int exit_status) override {
    throw InternalError(fmt::format("{} aborts with status {}", name_of_rank(rank_), exit_status));
  }

 private:
  void meet(StartedCollective collective, std::span<std::byte> out, std::span<const std::byte> in) {
    collective.number = num_meetings_++;
    meeting_.visit(rank_, {.collective = collective, .out = out, .in = in});
  }

  Meeting& meeting_;
  int rank_;
  std::int64_t num_meetings_ = 0;
  std::size_t num_communicators_ = 0;
};

}  // namespace

void run_ranks(int num_ranks, const std::function<void(ProcessGroup&)>& body, std::chrono::milliseconds timeout) {
  if (num_ranks == 1) {
    body(*make_single_process_group());
    return;
  }
  Meeting meeting(num_ranks, timeout);
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < num_ranks; ++rank) {
      threads.emplace_back([&meeting, &body, rank] {
        ThreadGroup group(meeting, rank);
        try {
          body(group);
        } catch (const std::exception& error) {
          meeting.world().fail(rank, error.what());
        } catch (...) {
          meeting.world().fail(rank, "an exception of an unknown type");
        }
        meeting.world().end(rank);
      });
    }
  }
  meeting.world().rethrow_first();
}

}  // namespace virgil::test_support
