#include "support/thread_world.h"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <mutex>
#include <string>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/dist/process_group.h"

namespace virgil::test_support {

std::string name_of_rank(int rank) { return fmt::format("rank {} (a thread)", rank); }

void World::check_none_lost() const {
  if (is_wrong_) throw InternalError(lost_);
  if (!lost_.empty()) throw LostRankError(lost_);
}

void World::call_roll(int caller, std::chrono::milliseconds waited) {
  const std::scoped_lock lock(mutex_);
  check_none_lost();
  std::string lost, places;
  for (int r = 0; r < size_; ++r) {
    const std::string& place = places_[rank_index(r)];
    places += fmt::format(" {} in {};", name_of_rank(r), place);
    if (has_ended_[rank_index(r)] || place.empty()) lost += (lost.empty() ? "" : ", ") + name_of_rank(r);
  }
  if (lost.empty()) {
    is_wrong_ = true;
    lose("all ranks wait for each other:" + places);
  } else {
    lose(fmt::format("{} has died or hangs: {} waited {} ms in {}", lost, name_of_rank(caller), waited.count(),
                     places_[rank_index(caller)]));
  }
  check_none_lost();
}

void World::fail(int rank, const char* what) {
  const std::scoped_lock lock(mutex_);
  if (!first_) first_ = std::current_exception();
  lose(fmt::format("{} has failed: {}", name_of_rank(rank), what));
}

void World::set_place(int rank, std::string place) {
  const std::scoped_lock lock(mutex_);
  places_[rank_index(rank)] = std::move(place);
}

void World::end(int rank) {
  const std::scoped_lock lock(mutex_);
  has_ended_[rank_index(rank)] = true;
  notify();
}

void World::rethrow_first() const {
  if (first_) std::rethrow_exception(first_);
}

void World::lose(std::string why) {
  if (lost_.empty()) lost_ = std::move(why);
  notify();
}

}  // namespace virgil::test_support
