#include "support/thread_collectives.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "virgil/dist/communicator.h"
#include "virgil/dist/ordered_sum.h"
#include "virgil/dist/started_collective.h"

namespace virgil::test_support {

void check_same(const StartedCollective& mine, int rank, const StartedCollective& other, int other_rank) {
  VIRGIL_CHECK(mine == other, "rank {} started {}, rank {} {}", rank, to_string(mine), other_rank, to_string(other));
}

void Collectives::start(int rank, const StartedCollective& collective, std::shared_ptr<Held> held) {
  const std::scoped_lock lock(world_.mutex());
  world_.check_none_lost();
  const std::int64_t number = collective.number;
  if (number - num_done_ >= static_cast<std::int64_t>(under_way_.size())) under_way_.emplace_back(rank_index(world_.size()));
  std::vector<Place>& places = under_way_[static_cast<std::size_t>(number - num_done_)];
  for (int r = 0; r < world_.size(); ++r) {
    if (places[rank_index(r)].held != nullptr) check_same(collective, rank, places[rank_index(r)].collective, r);
  }
  places[rank_index(rank)] = {.collective = collective, .held = std::move(held)};
  if (!std::ranges::all_of(places, [](const Place& place) { return place.held != nullptr; })) return;
  move_bytes(collective, places);
  under_way_.pop_front();
  ++num_done_;
  world_.notify();
}

void Collectives::wait(CollectiveTicket ticket) {
  std::unique_lock lock(world_.mutex());
  world_.wait(
      lock, [&] { return num_done_ > ticket; },
      [&](int r) {
        const std::int64_t place = ticket - num_done_;
        return place < 0 || (place < static_cast<std::int64_t>(under_way_.size()) &&
                             under_way_[static_cast<std::size_t>(place)][rank_index(r)].held != nullptr);
      });
}

std::span<std::byte> Collectives::part(const Place& place, std::size_t rank, std::size_t size) {
  return std::span(place.held->bytes).subspan(place.held->bytes.size() / size * rank, place.held->bytes.size() / size);
}

void Collectives::move_bytes(const StartedCollective& collective, std::span<const Place> places) {
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
        const std::vector<std::byte>& source = places[rank_index(collective.root)].held->bytes;
        if (&place.held->bytes != &source) place.held->bytes = source;
      }
  }
}

void Collectives::reduce_scatter(const StartedCollective& collective, std::span<const Place> places) {
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

namespace {

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
    held_.push_back(std::make_shared<Held>(Held{.home = home, .bytes = std::vector<std::byte>(home, home + size)}));
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

}  // namespace

std::unique_ptr<Communicator> make_thread_communicator(Collectives& collectives, int rank, int size) {
  return std::make_unique<ThreadCommunicator>(collectives, rank, size);
}

}  // namespace virgil::test_support
