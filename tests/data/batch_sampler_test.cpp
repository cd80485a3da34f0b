#include "virgil/data/batch_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "data/token_vectors.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

using test_support::counting;

TEST(BatchSampler, ShiftsTargetsByOne) {
  const auto tokens = counting(100);
  const BatchSampler sampler(tokens, 8, 1);
  std::vector<std::int32_t> inputs(4 * 8), targets(4 * 8);
  sampler.fill(3, 0, inputs, targets);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(targets[i], inputs[i] + 1);
    EXPECT_EQ(inputs[i] - inputs[i / 8 * 8], static_cast<std::int32_t>(i % 8));
  }
}

TEST(BatchSampler, GivesTheSameWindowsHoweverAStepIsSplit) {
  const auto tokens = counting(1000);
  const BatchSampler sampler(tokens, 5, 42);
  std::vector<std::int32_t> inputs(6 * 5), targets(6 * 5), part_inputs(2 * 5), part_targets(2 * 5);
  sampler.fill(7, 0, inputs, targets);
  for (std::int64_t first = 0; first < 6; first += 2) {
    sampler.fill(7, first, part_inputs, part_targets);
    for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(part_inputs[i], inputs[static_cast<std::size_t>(first) * 5 + i]);
  }
  std::vector<std::int32_t> other(6 * 5);
  sampler.fill(8, 0, other, targets);
  EXPECT_NE(other, inputs);
  BatchSampler(tokens, 5, 43).fill(7, 0, other, targets);
  EXPECT_NE(other, inputs);
}

TEST(BatchSampler, ReachesEveryWindow) {
  const auto tokens = counting(12);
  const BatchSampler sampler(tokens, 8, 5);  // 4 windows
  std::set<std::int32_t> starts;
  std::vector<std::int32_t> inputs(64 * 8), targets(64 * 8);
  sampler.fill(0, 0, inputs, targets);
  for (std::size_t row = 0; row < 64; ++row) starts.insert(inputs[row * 8]);
  EXPECT_EQ(starts, (std::set<std::int32_t>{0, 1, 2, 3}));
}

TEST(BatchSampler, NamesLengthAndFittingBlockSize) {
  const auto tokens = counting(9);
  EXPECT_NO_THROW(BatchSampler(tokens, 8, 1));
  try {
    BatchSampler(tokens, 9, 1);
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("9 tokens"));
    EXPECT_THAT(error.what(), testing::HasSubstr("\"block_size\": 8"));
  }
  EXPECT_THROW(BatchSampler(counting(1), 1, 1), UserError);
}

// 43 tokens make 10 windows of 4 with 2 tokens over (and the last window's target).
TEST(BatchSampler, VisitsEveryWindowOnceAPass) {
  const BatchSampler sampler(counting(43), 4, 3, EpochSampling{5});
  ASSERT_EQ(sampler.windows_per_pass(), 10);
  std::set<std::vector<std::int32_t>> orders;
  std::set<std::int32_t> offsets;
  for (std::int64_t pass = 0; pass < 20; ++pass) {
    std::vector<std::int32_t> starts;
    for (std::int64_t step = 2 * pass; step < 2 * pass + 2; ++step) {
      std::vector<std::int32_t> inputs(5 * 4), targets(5 * 4);
      sampler.fill(step, 0, inputs, targets);
      for (std::size_t row = 0; row < 5; ++row) starts.push_back(inputs[row * 4]);
      for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(targets[i], inputs[i] + 1);
    }
    orders.insert(starts);
    std::sort(starts.begin(), starts.end());
    offsets.insert(starts[0]);
    for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(starts[i], starts[0] + 4 * static_cast<std::int32_t>(i));
  }
  EXPECT_EQ(orders.size(), 20U);
  EXPECT_EQ(offsets, (std::set<std::int32_t>{0, 1, 2}));  // the tokens left over change from pass to pass
}

TEST(BatchSampler, GoesFromPassToPassWithinAStep) {
  const BatchSampler sampler(counting(13), 4, 3, EpochSampling{7});  // 3 windows a pass
  std::vector<std::int32_t> inputs(7 * 4), targets(7 * 4), part_inputs(4), part_targets(4);
  sampler.fill(5, 0, inputs, targets);
  for (std::int64_t row = 0; row < 7; ++row) {
    sampler.fill(5, row, part_inputs, part_targets);
    EXPECT_EQ(part_inputs[0], inputs[static_cast<std::size_t>(row) * 4]);
  }
  EXPECT_THROW(sampler.fill(5, 7, part_inputs, part_targets), InternalError);
}

}  // namespace
}  // namespace virgil
