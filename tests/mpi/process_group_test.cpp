#include "virgil/dist/process_group.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <numeric>
#include <string>
#include <vector>

#include "mpi/test_group.h"

namespace virgil {
namespace {

using test_support::test_group;
using testing::HasSubstr;

std::size_t num_ranks() { return static_cast<std::size_t>(test_group().size()); }
std::size_t my_rank() { return static_cast<std::size_t>(test_group().rank()); }

TEST(Group, NamesItsRanks) {
  ProcessGroup& group = test_group();
  EXPECT_THAT(group.name_of(group.rank()), HasSubstr(fmt::format("rank {} (process {}", group.rank(), getpid())));
  EXPECT_EQ(group.local_rank(), group.rank());
  EXPECT_EQ(group.local_size(), group.size());
  EXPECT_EQ(group.is_root(), group.rank() == 0);
  if (group.size() > 1) {
    EXPECT_THAT(group.description(), HasSubstr(fmt::format("{} processes on 1 machine, ", group.size())));
    EXPECT_EQ(group.timeout(), std::chrono::seconds(60));
  }
}

/// Bytes that differ between ranks and places.
std::vector<std::byte> bytes_of(std::size_t rank, std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(rank * 101 + i * 7 + i / 251);
  return bytes;
}

/// With sizes up to more than one message.
class Bytes : public testing::TestWithParam<std::size_t> {
 protected:
  [[nodiscard]] std::vector<std::byte> expected() const {
    std::vector<std::byte> all;
    for (std::size_t r = 0; r < num_ranks(); ++r) {
      const std::vector<std::byte> part = bytes_of(r, GetParam());
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
  const std::vector<std::byte> mine_ = bytes_of(my_rank(), GetParam());
};
INSTANTIATE_TEST_SUITE_P(Group, Bytes, testing::Values(0, 1, 4097, (std::size_t{8} << 20) + 3));

TEST_P(Bytes, AreGatheredEverywhere) {
  std::vector<std::byte> all(GetParam() * num_ranks());
  test_group().all_gather(all, mine_);
  EXPECT_TRUE(all == expected());
}

TEST_P(Bytes, AreGatheredOnEveryRoot) {
  for (int root = 0; root < test_group().size(); ++root) {
    const bool is_root = root == test_group().rank();
    std::vector<std::byte> all(is_root ? GetParam() * num_ranks() : 0);
    test_group().gather(all, mine_, root);
    if (is_root) {
      EXPECT_TRUE(all == expected());
    }
  }
}

TEST_P(Bytes, AreBroadcastFromEveryRoot) {
  for (int root = 0; root < test_group().size(); ++root) {
    std::vector<std::byte> data = mine_;
    test_group().broadcast(data, root);
    EXPECT_TRUE(data == bytes_of(static_cast<std::size_t>(root), GetParam()));
  }
}

TEST(Texts, AreGatheredWhateverTheirLengths) {
  const auto text_of = [](std::size_t rank) { return std::string(rank * 1000, static_cast<char>('a' + rank)); };
  const std::vector<std::string> texts = test_group().all_gather_texts(text_of(my_rank()));
  ASSERT_EQ(texts.size(), num_ranks());
  for (std::size_t r = 0; r < texts.size(); ++r) EXPECT_EQ(texts[r], text_of(r));
}

TEST(Texts, MayAllBeEmpty) { EXPECT_EQ(test_group().all_gather_texts(""), std::vector<std::string>(num_ranks())); }

TEST(Texts, MayBeLong) {
  const std::string text(my_rank() == 0 ? 3'000'000 : 1, 'x');
  const std::vector<std::string> texts = test_group().all_gather_texts(text);
  EXPECT_EQ(texts.front().size(), 3'000'000U);
  EXPECT_EQ(texts.back().size(), num_ranks() == 1 ? 3'000'000U : 1U);
}

TEST(Group, MeetsOften) {
  for (int i = 0; i < 100; ++i) test_group().barrier();
}

TEST(Group, RefusesWhatCannotBe) {
  ProcessGroup& group = test_group();
  if (group.size() == 1) GTEST_SKIP() << "one process moves nothing";
  std::vector<std::byte> all(3);
  const std::vector<std::byte> mine(8);
  EXPECT_THROW(group.all_gather(all, mine), InternalError);
  EXPECT_THROW(group.broadcast(all, group.size()), InternalError);
  EXPECT_THROW(group.broadcast(all, -1), InternalError);
  EXPECT_THROW(group.gather(all, mine, group.size()), InternalError);
  group.barrier();  // goes on
}

}  // namespace
}  // namespace virgil
