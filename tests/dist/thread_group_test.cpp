#include "support/thread_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "virgil/dist/communicator.h"

namespace virgil {
namespace {

using test_support::run_ranks;
using testing::HasSubstr;

TensorView view_of(std::vector<float>& values) {
  return {values.data(), DType::kFloat32, {static_cast<std::int64_t>(values.size())}};
}

/// A communicator with its staging.
struct Channel {
  explicit Channel(ProcessGroup& group) : communicator(group.make_host_communicator()) {
    const std::int64_t bytes = communicator_staging_bytes(communicator->kind(), group.size(), DType::kFloat32);
    staging.resize(static_cast<std::size_t>(bytes));
    communicator->bind_staging(staging);
  }
  Communicator* operator->() const { return communicator.get(); }

  std::unique_ptr<Communicator> communicator;
  std::vector<std::byte> staging;
};

class Ranks : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(ThreadGroup, Ranks, testing::Values(1, 2, 4));

TEST_P(Ranks, HearEachOther) {
  run_ranks(GetParam(), [](ProcessGroup& group) {
    const int mine = group.rank() * 10;
    std::vector<int> all(static_cast<std::size_t>(group.size()), -1);
    std::vector<int> expected(all.size());
    std::iota(expected.begin(), expected.end(), 0);
    for (int& value : expected) value *= 10;
    group.all_gather(std::as_writable_bytes(std::span(all)), std::as_bytes(std::span(&mine, 1)));
    EXPECT_EQ(all, expected);

    std::ranges::fill(all, -1);
    const int last = group.size() - 1;
    group.gather(std::as_writable_bytes(std::span(all)), std::as_bytes(std::span(&mine, 1)), last);
    EXPECT_EQ(all, group.rank() == last ? expected : std::vector<int>(all.size(), -1));

    int value = mine;
    group.broadcast(std::as_writable_bytes(std::span(&value, 1)), last);
    EXPECT_EQ(value, last * 10);
    group.barrier();

    const std::vector<std::string> texts = group.all_gather_texts(std::string(static_cast<std::size_t>(group.rank()), 'x'));
    for (std::size_t r = 0; r < texts.size(); ++r) EXPECT_EQ(texts[r], std::string(r, 'x'));
  });
}

TEST_P(Ranks, SumTheirParts) {
  run_ranks(GetParam(), [](ProcessGroup& group) {
    const Channel channel(group);
    const auto size = static_cast<std::size_t>(group.size());
    std::vector<float> values(3 * size);
    std::iota(values.begin(), values.end(), static_cast<float>(group.rank()));
    channel->wait(channel->start_all_reduce(view_of(values), DType::kFloat32));
    const auto ranks = static_cast<float>(group.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(values[i], static_cast<float>(i) * ranks + ranks * (ranks - 1) / 2) << i;
    }
  });
}

TEST_P(Ranks, BroadcastBetweenOtherCollectives) {
  run_ranks(GetParam(), [](ProcessGroup& group) {
    const Channel channel(group);
    std::vector<float> one(4 * static_cast<std::size_t>(group.size()), 1.0F);
    std::vector<float> other(5, static_cast<float>(group.rank()));
    channel->start_reduce_scatter(view_of(one), DType::kBFloat16);
    channel->start_broadcast(view_of(other), group.size() - 1);
    channel->start_all_gather(view_of(one));
    channel->wait_all();
    EXPECT_EQ(one, std::vector<float>(one.size(), static_cast<float>(group.size())));
    EXPECT_EQ(other, std::vector<float>(5, static_cast<float>(group.size() - 1)));
  });
}

TEST(ThreadGroup, KeepsATensorUntilItIsWaitedFor) {
  run_ranks(2, [](ProcessGroup& group) {
    const Channel channel(group);
    std::vector<float> values(8, 1.0F);
    const CollectiveTicket sum = channel->start_reduce_scatter(view_of(values), DType::kFloat32);
    group.barrier();
    EXPECT_TRUE(std::ranges::all_of(values, [](float value) { return std::isnan(value); }));
    channel->wait(sum);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i / 4 == static_cast<std::size_t>(group.rank())) {
        EXPECT_EQ(values[i], 2.0F);
      } else {
        EXPECT_TRUE(std::isnan(values[i])) << "another rank's part is unspecified, and worse than stale";
      }
    }
  });
}

TEST(ThreadGroup, EndsWithTheFirstException) {
  const auto fail_in_rank_1 = [](ProcessGroup& group) {
    if (group.rank() == 1) throw user_error("the disk is full");
    EXPECT_THROW(group.barrier(), LostRankError);
    const Channel channel(group);
    std::vector<float> values(3);
    EXPECT_THROW(channel->wait(channel->start_all_gather(view_of(values))), LostRankError);
  };
  EXPECT_THROW(run_ranks(3, fail_in_rank_1), UserError);
}

TEST(ThreadGroup, DoesNotWaitForARankThatHasEnded) {
  const auto end_early = [](ProcessGroup& group) {
    if (group.rank() != 0) group.barrier();
  };
  EXPECT_THROW(run_ranks(3, end_early), LostRankError);
}

TEST(ThreadGroup, NamesWhoDoesNotCome) {
  const auto wait_in_circles = [](ProcessGroup& group) {
    const Channel channel(group);
    std::vector<float> values(2);
    if (group.rank() == 0) channel->wait(channel->start_all_gather(view_of(values)));
    if (group.rank() == 1) group.barrier();
  };
  try {
    run_ranks(2, wait_in_circles, std::chrono::milliseconds(50));
    ADD_FAILURE() << "both waited for each other";
  } catch (const LostRankError& error) {
    EXPECT_THAT(error.what(), HasSubstr("has not come in 50 ms"));
  }
}

TEST(ThreadGroup, RefusesCollectivesThatDiffer) {
  const auto differ = [](ProcessGroup& group) {
    const Channel channel(group);
    std::vector<float> values(group.rank() == 0 ? 2 : 4);
    channel->wait(channel->start_all_gather(view_of(values)));
  };
  EXPECT_THROW(run_ranks(2, differ), InternalError);
  const auto differ_in_kind = [](ProcessGroup& group) {
    std::vector<std::byte> bytes(2);
    if (group.rank() == 0) {
      group.barrier();
    } else {
      group.broadcast(bytes, 0);
    }
  };
  EXPECT_THROW(run_ranks(2, differ_in_kind), InternalError);
}

TEST(ThreadGroup, RefusesAReduceScatterWithoutStaging) {
  const auto reduce = [](ProcessGroup& group) {
    const std::unique_ptr<Communicator> communicator = group.make_host_communicator();
    std::vector<float> values(4);
    communicator->start_reduce_scatter(view_of(values), DType::kFloat32);
  };
  EXPECT_THROW(run_ranks(2, reduce), InternalError);
}

TEST(ThreadGroup, RefusesAPartOfATensorUnderWay) {
  const auto start = [](ProcessGroup& group) {
    const Channel channel(group);
    std::vector<float> values(4);
    channel->start_broadcast(view_of(values), 0);
    channel->start_broadcast(view_of(values).slice(2, {2}), 0);
  };
  EXPECT_THROW(run_ranks(2, start), InternalError);
}

}  // namespace
}  // namespace virgil
