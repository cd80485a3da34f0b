#include "virgil/dist/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <numeric>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "mpi/test_group.h"

namespace virgil {
namespace {

using test_support::Channel;
using test_support::test_group;

std::int64_t num_ranks() { return test_group().size(); }
std::int64_t my_rank() { return test_group().rank(); }

/// A summand whose order matters: exponents over 16 binades, both signs, never NaN.
float value_of(std::int64_t rank, std::int64_t i, std::uint32_t seed) {
  std::uint32_t word =
      (static_cast<std::uint32_t>(i) + seed * 977U) * 2654435761U ^ static_cast<std::uint32_t>(rank) * 0x9E3779B9U;
  word ^= word >> 15;
  word *= 0x2C1B3C6DU;
  word ^= word >> 12;
  return std::bit_cast<float>((word & 0x807FFFFFU) | (120U + ((word >> 23) & 15U)) << 23);
}

std::vector<float> values_of(std::int64_t rank, std::int64_t count, std::uint32_t seed = 0) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = value_of(rank, i, seed);
  return values;
}

/// In order of rank. One process rounds nothing, as nothing travels.
float sum_of(std::int64_t i, DType wire, std::uint32_t seed = 0) {
  const auto summand = [&](std::int64_t rank) {
    const float value = value_of(rank, i, seed);
    return wire == DType::kBFloat16 && num_ranks() > 1 ? static_cast<float>(BFloat16(value)) : value;
  };
  float sum = summand(0);
  for (std::int64_t r = 1; r < num_ranks(); ++r) sum += summand(r);
  return sum;
}

/// Number of elements in [first, first + count) that are not the sums, bit for bit.
int count_wrong_sums(const std::vector<float>& values, std::int64_t first, std::int64_t count, DType wire,
                     std::uint32_t seed = 0) {
  int wrong = 0;
  for (std::int64_t i = first; i < first + count; ++i) {
    const float sum = sum_of(i, wire, seed);
    if (std::memcmp(&values[static_cast<std::size_t>(i)], &sum, sizeof(sum)) != 0) ++wrong;
  }
  return wrong;
}

TensorView view_of(std::vector<float>& values) {
  return {values.data(), DType::kFloat32, {static_cast<std::int64_t>(values.size())}};
}

/// (halves of pieces, elements more) of a part; a message holds half a piece.
using PartSize = std::pair<std::int64_t, std::int64_t>;

class Sums : public testing::TestWithParam<std::tuple<PartSize, DType>> {};
INSTANTIATE_TEST_SUITE_P(Communicator, Sums,
                         testing::Combine(testing::Values(PartSize{0, 0}, PartSize{0, 1}, PartSize{0, 1001}, PartSize{1, 0},
                                                          PartSize{1, 1}, PartSize{3, 5}),
                                          testing::Values(DType::kFloat32, DType::kBFloat16)));

TEST_P(Sums, AreThoseInOrderOfRankBitForBit) {
  const auto [size, wire] = GetParam();
  const std::int64_t part = size.first * communicator_piece_elements(static_cast<int>(num_ranks())) / 2 + size.second;
  const Channel channel;
  std::vector<float> values = values_of(my_rank(), part * num_ranks());
  channel->wait(channel->start_reduce_scatter(view_of(values), wire));
  EXPECT_EQ(count_wrong_sums(values, my_rank() * part, part, wire), 0) << "of " << part;
}

class Types : public testing::TestWithParam<std::tuple<DType, std::int64_t>> {
 protected:
  [[nodiscard]] DType dtype() const { return std::get<0>(GetParam()); }
  [[nodiscard]] std::int64_t count() const { return std::get<1>(GetParam()); }
  [[nodiscard]] std::int64_t count_bytes() const { return count() * size_of(dtype()); }
  [[nodiscard]] std::vector<std::byte> bytes_of(std::int64_t rank) const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(count_bytes()));
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::byte>(static_cast<std::size_t>(rank) * 91 + i * 3 + i / 253);
    return bytes;
  }
};
INSTANTIATE_TEST_SUITE_P(Small, Types,
                         testing::Combine(testing::Values(DType::kFloat32, DType::kBFloat16, DType::kFloat16, DType::kInt32),
                                          testing::Values(0, 1, 7, 5000)));
// Of more than one message.
INSTANTIATE_TEST_SUITE_P(Large, Types,
                         testing::Values(std::tuple(DType::kFloat32, (std::int64_t{2} << 20) + 5),
                                         std::tuple(DType::kBFloat16, (std::int64_t{4} << 20) + 5)));

TEST_P(Types, AreGathered) {
  const Channel channel;
  std::vector<std::byte> expected;
  for (std::int64_t r = 0; r < num_ranks(); ++r) {
    const std::vector<std::byte> part = bytes_of(r);
    expected.insert(expected.end(), part.begin(), part.end());
  }
  const std::vector<std::byte> mine = bytes_of(my_rank());
  std::vector<std::byte> data(expected.size(), std::byte{0xEE});
  std::ranges::copy(mine, data.begin() + my_rank() * count_bytes());
  channel->wait(channel->start_all_gather({data.data(), dtype(), {num_ranks() * count()}}));
  EXPECT_TRUE(data == expected);
}

TEST_P(Types, AreBroadcastFromEveryRoot) {
  const Channel channel;
  for (int root = 0; root < test_group().size(); ++root) {
    std::vector<std::byte> data = bytes_of(my_rank());
    channel->wait(channel->start_broadcast({data.data(), dtype(), {count()}}, root));
    EXPECT_TRUE(data == bytes_of(root));
  }
}

TEST(Communicator, ReducesToAllWithTheSameBits) {
  const Channel channel;
  for (const DType wire : {DType::kFloat32, DType::kBFloat16}) {
    std::vector<float> values = values_of(my_rank(), 3001 * num_ranks());
    channel->wait(channel->start_all_reduce(view_of(values), wire));
    EXPECT_EQ(count_wrong_sums(values, 0, static_cast<std::int64_t>(values.size()), wire), 0);
  }
}

TEST(Communicator, TakesManyAtOnceAndIsWaitedForInAnyOrder) {
  const Channel channel;
  constexpr std::uint32_t kTensors = 40;
  std::vector<std::vector<float>> tensors;
  std::vector<CollectiveTicket> tickets;
  for (std::uint32_t t = 0; t < kTensors; ++t) tensors.push_back(values_of(my_rank(), num_ranks() * (1 + t * 331), t));
  for (std::uint32_t t = 0; t < kTensors; ++t)
    tickets.push_back(channel->start_all_reduce(view_of(tensors[t]), DType::kFloat32));
  for (std::uint32_t i = 0; i < kTensors; ++i) {
    const std::uint32_t t = i * 7 % kTensors;
    channel->wait(tickets[t]);
    EXPECT_EQ(count_wrong_sums(tensors[t], 0, static_cast<std::int64_t>(tensors[t].size()), DType::kFloat32, t), 0) << t;
  }
  channel->wait_all();
  channel->wait(tickets.front());
}

TEST(Communicator, RunsBesideTheGroup) {
  const Channel channel;
  std::vector<float> values = values_of(my_rank(), num_ranks() * 200'000);
  CollectiveTicket ticket = 0;
  // The last rank starts only when the first, which has started, is at the barrier.
  if (my_rank() + 1 < num_ranks()) ticket = channel->start_all_reduce(view_of(values), DType::kFloat32);
  test_group().barrier();
  if (my_rank() + 1 == num_ranks()) ticket = channel->start_all_reduce(view_of(values), DType::kFloat32);
  for (int i = 0; i < 20; ++i) {
    std::vector<int> ranks(static_cast<std::size_t>(num_ranks()));
    const int mine = test_group().rank() + i;
    test_group().all_gather(std::as_writable_bytes(std::span(ranks)), std::as_bytes(std::span(&mine, 1)));
    EXPECT_EQ(ranks.back(), num_ranks() - 1 + i);
  }
  channel->wait(ticket);
  EXPECT_EQ(count_wrong_sums(values, 0, static_cast<std::int64_t>(values.size()), DType::kFloat32), 0);
}

TEST(Communicator, MayBeOneOfSeveral) {
  const Channel one;
  const Channel other;
  std::vector<float> first = values_of(my_rank(), num_ranks() * 5000, 1);
  std::vector<float> second = values_of(my_rank(), num_ranks() * 5000, 2);
  // Ranks start them in different orders.
  CollectiveTicket a = 0;
  if (my_rank() % 2 == 0) a = one->start_all_reduce(view_of(first), DType::kFloat32);
  const CollectiveTicket b = other->start_all_reduce(view_of(second), DType::kBFloat16);
  if (my_rank() % 2 == 1) a = one->start_all_reduce(view_of(first), DType::kFloat32);
  one->wait(a);
  other->wait(b);
  EXPECT_EQ(count_wrong_sums(first, 0, static_cast<std::int64_t>(first.size()), DType::kFloat32, 1), 0);
  EXPECT_EQ(count_wrong_sums(second, 0, static_cast<std::int64_t>(second.size()), DType::kBFloat16, 2), 0);
}

TEST(Communicator, FinishesWhatWasStartedWhenItIsDestroyed) {
  std::vector<float> values = values_of(my_rank(), num_ranks() * 1000);
  {
    const Channel channel;
    channel->start_all_reduce(view_of(values), DType::kFloat32);
  }
  EXPECT_EQ(count_wrong_sums(values, 0, static_cast<std::int64_t>(values.size()), DType::kFloat32), 0);
}

TEST(Communicator, RefusesWhatItCannotDo) {
  if (num_ranks() == 1) GTEST_SKIP() << "one process moves nothing";
  const std::unique_ptr<Communicator> communicator = test_group().make_host_communicator();
  std::vector<float> values(static_cast<std::size_t>(num_ranks()));
  EXPECT_THROW(communicator->start_reduce_scatter(view_of(values), DType::kFloat32), InternalError) << "without staging";
  EXPECT_THROW(communicator->start_reduce_scatter(view_of(values), DType::kFloat16), InternalError);
  EXPECT_THROW(communicator->start_reduce_scatter({values.data(), DType::kInt32, {num_ranks()}}, DType::kFloat32),
               InternalError);
  EXPECT_THROW(communicator->start_all_gather({values.data(), DType::kFloat32, {num_ranks() - 1}}), InternalError);
  EXPECT_THROW(communicator->start_broadcast(view_of(values), test_group().size()), InternalError);
  EXPECT_THROW(communicator->wait(0), InternalError);
  communicator->wait_all();
}

}  // namespace
}  // namespace virgil
