#include "support/thread_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "virgil/dist/communicator.h"
#include "virgil/dist/ordered_sum.h"
#include "virgil/dist/started_collective.h"

namespace virgil::test_support {

namespace {

using Bytes = std::vector<std::byte>;

std::size_t index(int rank) { return static_cast<std::size_t>(rank); }

std::string name_of_rank(int rank) { return fmt::format("rank {} (a thread)", rank); }

/// Waiting for other ranks, and how they end each other. Guards everything that ranks share with its mutex.
class World {
 public:
  World(int size, std::chrono::milliseconds timeout)
      : size_(size), timeout_(timeout), has_ended_(index(size), false), places_(index(size)) {}

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
        if (has_ended_[index(r)]) lose(fmt::format("{} has ended", name_of_rank(r)));
        if (is_late) lose(fmt::format("{} has not come in {} ms", name_of_rank(r), timeout_.count()));
      }
      check_none_lost();
      is_late = changed_.wait_until(lock, deadline) == std::cv_status::timeout;
    }
  }
  /// With the mutex held. Ranks that have given up are not to be written to.
  void check_none_lost() const {
    if (is_wrong_) throw InternalError(lost_);
    if (!lost_.empty()) throw LostRankError(lost_);
  }
  void notify() { changed_.notify_all(); }

  /// Where a rank waits; empty when it does not.
  void set_place(int rank, std::string place) {
    const std::scoped_lock lock(mutex_);
    places_[index(rank)] = std::move(place);
  }
  /// As RollCall does it: a rank that waits nowhere when another's time is up is lost.
  void call_roll(int caller, std::chrono::milliseconds waited) {
    const std::scoped_lock lock(mutex_);
    check_none_lost();
    std::string lost, places;
    for (int r = 0; r < size_; ++r) {
      const std::string& place = places_[index(r)];
      places += fmt::format(" {} in {};", name_of_rank(r), place);
      if (has_ended_[index(r)] || place.empty()) lost += (lost.empty() ? "" : ", ") + name_of_rank(r);
    }
    if (lost.empty()) {
      is_wrong_ = true;
      lose("all ranks wait for each other:" + places);
    } else {
      lose(fmt::format("{} has died or hangs: {} waited {} ms in {}", lost, name_of_rank(caller), waited.count(),
                       places_[index(caller)]));
    }
    check_none_lost();
  }

  /// The running exception of a rank; the first is kept.
  void fail(int rank, const char* what) {
    const std::scoped_lock lock(mutex_);
    if (!first_) first_ = std::current_exception();
    lose(fmt::format("{} has failed: {}", name_of_rank(rank), what));
  }
  void end(int rank) {
    const std::scoped_lock lock(mutex_);
    has_ended_[index(rank)] = true;
    notify();
  }
  void rethrow_first() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  void lose(std::string why) {
    if (lost_.empty()) lost_ = std::move(why);
    notify();
  }

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

void check_same(const StartedCollective& mine, int rank, const StartedCollective& other, int other_rank) {
  VIRGIL_CHECK(mine == other, "rank {} started {}, rank {} {}", rank, to_string(mine), other_rank, to_string(other));
}

/// A tensor under way: its bytes, until the last collective on it has been waited for.
struct Held {
  std::byte* home = nullptr;
  Bytes bytes;
  CollectiveTicket last_ticket = 0;
};

/// What the ranks have started on one communicator. The rank that comes last moves the bytes.
class Collectives {
 public:
  explicit Collectives(World& world) : world_(world) {}

  void start(int rank, const StartedCollective& collective, std::shared_ptr<Held> held) {
    const std::scoped_lock lock(world_.mutex());
    world_.check_none_lost();
    const std::int64_t number = collective.number;
    if (number - num_done_ >= static_cast<std::int64_t>(under_way_.size())) under_way_.emplace_back(index(world_.size()));
    std::vector<Place>& places = under_way_[static_cast<std::size_t>(number - num_done_)];
    for (int r = 0; r < world_.size(); ++r) {
      if (places[index(r)].held != nullptr) check_same(collective, rank, places[index(r)].collective, r);
    }
    places[index(rank)] = {.collective = collective, .held = std::move(held)};
    if (!std::ranges::all_of(places, [](const Place& place) { return place.held != nullptr; })) return;
    move_bytes(collective, places);
    under_way_.pop_front();
    ++num_done_;
    world_.notify();
  }

  /// Returns when `ticket` is done.
  void wait(CollectiveTicket ticket) {
    std::unique_lock lock(world_.mutex());
    world_.wait(
        lock, [&] { return num_done_ > ticket; },
        [&](int r) {
          const std::int64_t place = ticket - num_done_;
          return place < 0 || (place < static_cast<std::int64_t>(under_way_.size()) &&
                               under_way_[static_cast<std::size_t>(place)][index(r)].held != nullptr);
        });
  }

 private:
  struct Place {
    StartedCollective collective;
    std::shared_ptr<Held> held;  // outlives a rank that fails
  };

  static std::span<std::byte> part(const Place& place, std::size_t rank, std::size_t size) {
    return std::span(place.held->bytes).subspan(place.held->bytes.size() / size * rank, place.held->bytes.size() / size);
  }

  static void move_bytes(const StartedCollective& collective, std::span<const Place> places) {
    const std::size_t size = places.size();
    switch (collective.kind) {
      case CollectiveKind::kReduceScatter:
        reduce_scatter(collective, places);
        break;
      case CollectiveKind::kAllGather:
        for (std::size_t r = 0; r < size; ++r) {
          for (std::size_t to = 0; to < size; ++to) {
            if (to != r) std::ranges::copy(part(places[r], r, size), part(places[to], r, size).begin());
          }
        }
        break;
      default:
        for (const Place& place : places) {
          const Bytes& source = places[index(collective.root)].held->bytes;
          if (&place.held->bytes != &source) place.held->bytes = source;
        }
    }
  }

  static void reduce_scatter(const StartedCollective& collective, std::span<const Place> places) {
    const std::size_t size = places.size();
    const bool is_bfloat16 = collective.wire_bytes == size_of(DType::kBFloat16);
    const auto floats = [](std::span<std::byte> bytes) {
      return std::span(reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float));
    };
    for (std::size_t r = 0; r < size; ++r) {
      std::vector<std::vector<BFloat16>> rounded(size);
      std::vector<const std::byte*> received(size, nullptr);
      for (std::size_t from = 0; from < size; ++from) {
        const std::span<float> summands = floats(part(places[from], r, size));
        received[from] = reinterpret_cast<const std::byte*>(summands.data());
        if (!is_bfloat16) continue;
        rounded[from].resize(summands.size());
        round_to_bfloat16(rounded[from], summands);
        received[from] = reinterpret_cast<const std::byte*>(rounded[from].data());
      }
      sum_in_rank_order(floats(part(places[r], r, size)), static_cast<int>(r), received,
                        is_bfloat16 ? DType::kBFloat16 : DType::kFloat32);
    }
    for (std::size_t r = 0; r < size; ++r) {
      for (std::size_t other = 0; other < size; ++other) {
        if (other != r) std::ranges::fill(part(places[r], other, size), std::byte{0xFF});
      }
    }
  }

  World& world_;
  std::int64_t num_done_ = 0;
  std::deque<std::vector<Place>> under_way_;  // those after the first num_done_
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(Collectives& collectives, int rank, int size) : collectives_(collectives), rank_(rank), size_(size) {}

  [[nodiscard]] CommunicatorKind kind() const override { return CommunicatorKind::kMpi; }
  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] std::string description() const override { return "threads over host memory"; }
  void bind_staging(std::span<std::byte> staging) override { staging_bytes_ = static_cast<std::int64_t>(staging.size()); }

  CollectiveTicket start_reduce_scatter(TensorView data, DType wire) override {
    const StartedCollective collective = check_reduce_scatter(data, wire, size_);
    const std::int64_t needed = communicator_staging_bytes(kind(), size_, wire);
    VIRGIL_CHECK(staging_bytes_ >= needed, "staging of {} bytes, and {} are needed", staging_bytes_, needed);
    return start(collective, data);
  }
  CollectiveTicket start_all_gather(TensorView data) override { return start(check_all_gather(data, size_), data); }
  CollectiveTicket start_broadcast(TensorView data, int root) override {
    return start(check_broadcast(data, root, size_), data);
  }

  void wait(CollectiveTicket ticket) override {
    VIRGIL_CHECK(ticket >= 0 && ticket < num_started_, "ticket {} of {}", ticket, num_started_);
    collectives_.wait(ticket);
    std::erase_if(held_, [&](const std::shared_ptr<Held>& held) {
      if (held->last_ticket != ticket) return false;
      std::ranges::copy(held->bytes, held->home);
      return true;
    });
  }
  void wait_all() override {
    while (!held_.empty()) wait(held_.front()->last_ticket);
  }

 private:
  CollectiveTicket start(StartedCollective collective, TensorView data) {
    collective.number = num_started_;
    const std::shared_ptr<Held> held = hold(data);
    held->last_ticket = num_started_;
    collectives_.start(rank_, collective, held);
    return num_started_++;
  }

  std::shared_ptr<Held> hold(TensorView data) {
    auto* home = static_cast<std::byte*>(data.data());
    const auto size = static_cast<std::size_t>(data.size_bytes());
    for (const std::shared_ptr<Held>& held : held_) {
      if (held->home == home && held->bytes.size() == size) return held;
      VIRGIL_CHECK(home + size <= held->home || held->home + held->bytes.size() <= home,
                   "a collective of {} bytes on a part of a tensor of {} bytes that is under way", size, held->bytes.size());
    }
    held_.push_back(std::make_shared<Held>(Held{.home = home, .bytes = Bytes(home, home + size)}));
    std::fill_n(home, size, std::byte{0xFF});
    return held_.back();
  }

  Collectives& collectives_;
  int rank_;
  int size_;
  std::int64_t staging_bytes_ = 0;
  CollectiveTicket num_started_ = 0;
  std::vector<std::shared_ptr<Held>> held_;
};

/// What the ranks share: the call of a group's function that they are in, and the communicators.
class Meeting {
 public:
  Meeting(int size, std::chrono::milliseconds timeout) : world_(size, timeout), visits_(index(size)) {}

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
      if (visits_[index(r)]) check_same(mine.collective, rank, visits_[index(r)]->collective, r);
    }
    visits_[index(rank)] = mine;
    if (std::ranges::all_of(visits_, [](const auto& visit) { return visit.has_value(); })) {
      move_bytes();
      std::ranges::fill(visits_, std::nullopt);
      ++num_meetings_;
      world_.notify();
      return;
    }
    world_.wait(
        lock, [&] { return num_meetings_ > number; },
        [&](int r) { return num_meetings_ > number || visits_[index(r)].has_value(); });
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
        const Visit& root = *visits_[index(to->collective.root)];
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
    VIRGIL_CHECK(all.size() == mine.size() * index(size()), "{} bytes for {} of each rank", all.size(), mine.size());
    meet({.kind = CollectiveKind::kAllGather, .size_bytes = static_cast<std::int64_t>(mine.size())}, all, mine);
  }
  void gather(std::span<std::byte> all, std::span<const std::byte> mine, int root) override {
    const bool is_receiver = rank_ == root;
    VIRGIL_CHECK(!is_receiver || all.size() == mine.size() * index(size()), "{} bytes for {} of each rank", all.size(),
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
    return std::make_unique<ThreadCommunicator>(meeting_.collectives(num_communicators_++), rank_, size());
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
