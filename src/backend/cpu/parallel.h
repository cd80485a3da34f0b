// Work-sharing with OpenMP, on an explicit number of threads.
//
// A region has either all `num_threads` threads or is not opened at all: libgomp ends and later restarts threads whenever the
// size of a team changes. An exception thrown by a body is caught inside the region and thrown again after it.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include "virgil/base/shape.h"

namespace virgil::cpu {

/// Grain of elementwise ops, in elements: below it a thread costs more than it saves. Whole vectors and cache lines, so that
/// where a range starts never changes a result.
inline constexpr std::int64_t kElementGrain = 2048;

/// Keeps the first exception of a parallel region.
class ExceptionCatcher {
 public:
  template <typename Body>
  void run(const Body& body) noexcept {
    try {
      body();
    } catch (...) {
      if (!caught_.test_and_set()) exception_ = std::current_exception();
    }
  }
  /// Call after the region.
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::atomic_flag caught_ = ATOMIC_FLAG_INIT;
  std::exception_ptr exception_;
};

/// Splits [0, count) into one contiguous range per thread, as equal as multiples of `grain` allow (the last range may end on
/// any element), and calls body(begin, end) on each non-empty range. The calling thread works too; a single range opens no
/// region.
template <typename Body>
void parallel_ranges(std::int64_t count, std::int64_t grain, int num_threads, const Body& body) {
  const std::int64_t num_grains = ceil_div(count, grain);
  if (num_grains <= 1 || num_threads == 1) {
    if (count > 0) body(std::int64_t{0}, count);
    return;
  }
  ExceptionCatcher catcher;
#pragma omp parallel num_threads(num_threads)
  {
    const std::int64_t thread = omp_get_thread_num();
    const std::int64_t threads = omp_get_num_threads();
    const std::int64_t begin = num_grains * thread / threads * grain;
    const std::int64_t end = std::min(count, num_grains * (thread + 1) / threads * grain);
    if (begin < end) catcher.run([&] { body(begin, end); });
  }
  catcher.rethrow();
}

/// Calls body(index) for each index in [0, count), in any order, each thread taking the next free one: for items of unequal
/// cost.
template <typename Body>
void parallel_items(std::int64_t count, int num_threads, const Body& body) {
  if (count <= 1 || num_threads == 1) {
    for (std::int64_t index = 0; index < count; ++index) body(index);
    return;
  }
  ExceptionCatcher catcher;
#pragma omp parallel for schedule(dynamic, 1) num_threads(num_threads)
  for (std::int64_t index = 0; index < count; ++index) {
    catcher.run([&] { body(index); });
  }
  catcher.rethrow();
}

}  // namespace virgil::cpu
