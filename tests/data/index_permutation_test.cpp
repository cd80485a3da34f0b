#include "virgil/data/index_permutation.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {
namespace {

TEST(IndexPermutation, VisitsEveryIndexOnce) {
  for (const std::uint64_t size : {1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097}) {
    for (const std::uint64_t round : {0, 1, 7}) {
      const IndexPermutation order(size, 99, round);
      std::set<std::uint64_t> seen;
      for (std::uint64_t i = 0; i < size; ++i) {
        EXPECT_LT(order(i), size);
        seen.insert(order(i));
      }
      EXPECT_EQ(seen.size(), size);
    }
  }
}

TEST(IndexPermutation, DependsOnSeedAndRound) {
  const auto order = [](std::uint64_t seed, std::uint64_t round) {
    const IndexPermutation permutation(1000, seed, round);
    std::vector<std::uint64_t> places;
    for (std::uint64_t i = 0; i < 1000; ++i) places.push_back(permutation(i));
    return places;
  };
  EXPECT_EQ(order(1, 2), order(1, 2));
  EXPECT_NE(order(1, 2), order(1, 3));
  EXPECT_NE(order(1, 2), order(2, 2));
}

// Over all rounds each index comes to each place equally often. For 6 indices and 6000 rounds a cell's count is binomial with
// mean 1000 and deviation sqrt(6000 * 1/6 * 5/6) = 28.9; six deviations are missed once in 10^9 cells.
TEST(IndexPermutation, SpreadsIndicesEvenly) {
  std::vector<int> counts(36);
  for (std::uint64_t round = 0; round < 6000; ++round) {
    const IndexPermutation order(6, 5, round);
    for (std::uint64_t i = 0; i < 6; ++i) ++counts[i * 6 + order(i)];
  }
  for (const int count : counts) EXPECT_NEAR(count, 1000, 6 * 28.9);
}

TEST(IndexPermutation, WorksOnHugeSizes) {
  const std::uint64_t size = (std::uint64_t{1} << 40) + 3;
  const IndexPermutation order(size, 1, 0);
  EXPECT_LT(order(size - 1), size);
  EXPECT_NE(order(0), order(1));
}

TEST(IndexPermutation, RefusesIndicesBeyondTheSize) {
  EXPECT_THROW((void)IndexPermutation(3, 1, 0)(3), InternalError);
  EXPECT_THROW(IndexPermutation(0, 1, 0), InternalError);
}

}  // namespace
}  // namespace virgil
