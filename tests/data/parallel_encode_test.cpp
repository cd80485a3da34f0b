#include "data/parallel_encode.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace virgil {
namespace {

TEST(ParallelEncode, RunsEveryTaskOnce) {
  std::vector<int> runs(1000);
  for_each_in_parallel(runs.size(), [&](std::size_t i) { ++runs[i]; });
  EXPECT_EQ(runs, std::vector<int>(1000, 1));
}

// Memory may be refused in any of them: what reaches the caller is the exception, not the end of the process.
TEST(ParallelEncode, CarriesAnExceptionOutOfItsThreads) {
  for (const std::size_t count : {1, 2, 1000}) {
    EXPECT_THROW(for_each_in_parallel(count,
                                      [&](std::size_t i) {
                                        if (i + 1 == count) throw std::bad_alloc();
                                      }),
                 std::bad_alloc);
  }
  std::atomic<int> thrown = 0;
  EXPECT_THROW(for_each_in_parallel(1000,
                                    [&](std::size_t) {
                                      ++thrown;
                                      throw std::runtime_error("all of them fail");
                                    }),
               std::runtime_error);
  EXPECT_LT(thrown, 1000) << "after the first one no others begin";
  EXPECT_THROW((void)encode_in_parallel(std::string(std::size_t{1} << 20, 'a'), find_character_cut,
                                        [](std::string_view, std::vector<std::int32_t>&) { throw std::bad_alloc(); }),
               std::bad_alloc);
}

}  // namespace
}  // namespace virgil
