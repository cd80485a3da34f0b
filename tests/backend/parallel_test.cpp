#include "backend/cpu/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace virgil::cpu {
namespace {

TEST(ParallelRanges, CoversEveryElementOnce) {
  for (const int num_threads : {1, 2, 3, 8}) {
    for (const std::int64_t count : {0, 1, 15, 16, 17, 100, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
      parallel_ranges(count, 16, num_threads, [&](std::int64_t begin, std::int64_t end) {
        EXPECT_EQ(begin % 16, 0);
        EXPECT_LT(begin, end);
        for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
      });
      for (const auto& visit : visits) EXPECT_EQ(visit, 1);
    }
  }
}

TEST(ParallelRanges, SharesTheWorkEvenly) {
  std::atomic<int> num_ranges = 0;
  parallel_ranges(64, 16, 4, [&](std::int64_t begin, std::int64_t end) {
    EXPECT_EQ(end - begin, 16);
    ++num_ranges;
  });
  EXPECT_EQ(num_ranges, 4);
}

TEST(ParallelItems, CallsEveryIndexOnce) {
  for (const int num_threads : {1, 2, 5}) {
    std::vector<std::atomic<int>> visits(77);
    parallel_items(77, num_threads, [&](std::int64_t i) { ++visits[static_cast<std::size_t>(i)]; });
    for (const auto& visit : visits) EXPECT_EQ(visit, 1);
  }
}

TEST(Parallel, RethrowsAnExceptionAfterTheRegion) {
  for (const int num_threads : {1, 4}) {
    EXPECT_THROW(parallel_ranges(100, 1, num_threads, [](std::int64_t, std::int64_t) { throw std::runtime_error("range"); }),
                 std::runtime_error);
    EXPECT_THROW(parallel_items(100, num_threads,
                                [](std::int64_t i) {
                                  if (i == 50) throw std::runtime_error("item");
                                }),
                 std::runtime_error);
  }
}

}  // namespace
}  // namespace virgil::cpu
