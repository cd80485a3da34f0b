#include "virgil/base/philox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace virgil {
namespace {

// Random123's kat_vectors for philox4x32 with 10 rounds.
TEST(Philox, GivesThePublishedAnswers) {
  static_assert(philox4x32({0, 0, 0, 0}, {0, 0}) == PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  static_assert(philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}) == PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  static_assert(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
                PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST(Philox, PacksAStreamIntoCounterAndKey) {
  const RandomStream stream{0x1122334455667788, RandomPurpose::kSampling, 0xABCDEF, 0x99};
  EXPECT_EQ(philox_key(stream), (std::array<std::uint32_t, 2>{0x55667788, 0x11223344}));
  EXPECT_EQ(philox_counter(stream, 0x0123456789ABCDEF), (PhiloxBlock{0x89ABCDEF, 0x01234567, 0x06ABCDEF, 0x99}));
}

TEST(Philox, PurposesKeepTheirNumbers) {
  // Part of the reproducibility contract: runs made by an older build must resume with the same bits.
  EXPECT_EQ(static_cast<int>(RandomPurpose::kInit), 1);
  EXPECT_EQ(static_cast<int>(RandomPurpose::kBatch), 2);
  EXPECT_EQ(static_cast<int>(RandomPurpose::kEmbeddingDropout), 3);
  EXPECT_EQ(static_cast<int>(RandomPurpose::kAttentionDropout), 4);
  EXPECT_EQ(static_cast<int>(RandomPurpose::kResidualDropout), 5);
  EXPECT_EQ(static_cast<int>(RandomPurpose::kSampling), 6);
  EXPECT_EQ(static_cast<int>(RandomPurpose::kStochasticRounding), 7);
  EXPECT_EQ(static_cast<int>(RandomPurpose::kShuffle), 8);
}

TEST(Philox, EveryFieldOfAStreamChangesTheNumbers) {
  const RandomStream base{42, RandomPurpose::kInit, 7, 3};
  std::vector<RandomStream> streams(6, base);
  streams[1].seed = 43;
  streams[2].seed += std::uint64_t{1} << 32;
  streams[3].purpose = RandomPurpose::kBatch;
  streams[4].site = 8;
  streams[5].step = 4;
  std::set<PhiloxBlock> blocks;
  for (const RandomStream& stream : streams) blocks.insert(random_block(stream, 11));
  EXPECT_EQ(blocks.size(), streams.size());
}

TEST(Philox, WordsAreTheElementsOfBlocks) {
  const RandomStream stream{5, RandomPurpose::kBatch, 1, 2};
  for (const std::uint64_t index : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{4}, (std::uint64_t{1} << 40) + 6}) {
    EXPECT_EQ(random_word(stream, index), random_block(stream, index / 4)[index % 4]);
  }
}

TEST(Philox, UniformIsTheUpper24BitsOfAWord) {
  const RandomStream stream{9, RandomPurpose::kShuffle, 0, 0};
  double sum = 0;
  constexpr std::uint64_t kCount = 100000;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const float value = random_uniform(stream, i);
    ASSERT_GE(value, 0.0F);
    ASSERT_LT(value, 1.0F);
    ASSERT_EQ(std::ldexp(static_cast<double>(value), 24), static_cast<double>(random_word(stream, i) >> 8));
    sum += value;
  }
  // Five standard errors of the mean: a uniform variable's deviation is 1 / sqrt(12).
  EXPECT_NEAR(sum / kCount, 0.5, 5.0 / std::sqrt(12.0 * kCount));
}

TEST(RandomBelow, IsTheUpperHalfOfThe128BitProduct) {
  __extension__ using Wide = unsigned __int128;
  const RandomStream stream{3, RandomPurpose::kBatch, 0, 17};
  std::vector<std::uint64_t> bounds = {
      1, 2, 3, 50304, 0xFFFFFFFF, 0x100000000, 0x100000001, std::uint64_t{1} << 63, ~std::uint64_t{0}};
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const PhiloxBlock words = random_block({99, RandomPurpose::kSampling, 0, 0}, i);
    bounds.push_back((std::uint64_t{words[0]} << 32 | words[1]) >> (words[2] % 64) | 1U);
  }
  for (const std::uint64_t bound : bounds) {
    for (std::uint64_t index = 0; index < 50; ++index) {
      const PhiloxBlock block = random_block(stream, index);
      const std::uint64_t bits = (std::uint64_t{block[1]} << 32) | block[0];
      const auto expected = static_cast<std::uint64_t>(static_cast<Wide>(bits) * bound >> 64);
      ASSERT_EQ(random_below(stream, index, bound), expected) << bound;
      ASSERT_LT(expected, bound);
    }
  }
}

TEST(RandomBelow, SpreadsEvenly) {
  constexpr std::uint64_t kBound = 10;
  constexpr int kCount = 100000;
  std::vector<int> counts(kBound);
  for (std::uint64_t i = 0; i < kCount; ++i) ++counts[random_below({123, RandomPurpose::kBatch, 0, 0}, i, kBound)];
  double chi_squared = 0;
  constexpr double kExpected = static_cast<double>(kCount) / kBound;
  for (const int count : counts) chi_squared += (count - kExpected) * (count - kExpected) / kExpected;
  EXPECT_LT(chi_squared, 27.88);  // the 0.999 quantile of chi-squared with 9 degrees of freedom
}

class RandomNormal : public testing::Test {
 protected:
  static constexpr std::size_t kCount = 200000;
  RandomNormal() {
    for (std::size_t i = 0; i < kCount; ++i) samples_.push_back(random_normal({2024, RandomPurpose::kInit, 0, 0}, i));
  }
  [[nodiscard]] double moment(int power) const {
    double sum = 0;
    for (const double x : samples_) sum += std::pow(x, power);
    return sum / static_cast<double>(kCount);
  }
  std::vector<double> samples_;
};

TEST_F(RandomNormal, HasTheMomentsOfTheStandardNormal) {
  // Standard errors of the k-th sample moment: sqrt((E x^2k - (E x^k)^2) / n), with E x^2, x^4, x^6, x^8 = 1, 3, 15, 105.
  const double root = std::sqrt(static_cast<double>(kCount));
  EXPECT_NEAR(moment(1), 0.0, 5 * std::sqrt(1.0) / root);
  EXPECT_NEAR(moment(2), 1.0, 5 * std::sqrt(3.0 - 1.0) / root);
  EXPECT_NEAR(moment(3), 0.0, 5 * std::sqrt(15.0) / root);
  EXPECT_NEAR(moment(4), 3.0, 5 * std::sqrt(105.0 - 9.0) / root);
}

TEST_F(RandomNormal, FollowsTheNormalDistribution) {
  std::ranges::sort(samples_);
  double distance = 0;
  const auto n = static_cast<double>(kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    const double cdf = 0.5 * std::erfc(-samples_[i] / std::sqrt(2.0));
    distance = std::max({distance, cdf - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - cdf});
  }
  EXPECT_LT(distance * std::sqrt(n), 1.95);  // the 0.999 quantile of Kolmogorov's distribution
}

TEST_F(RandomNormal, HalvesOfAPairAreUncorrelated) {
  double sum = 0;
  for (std::size_t i = 0; i + 1 < kCount; i += 2) sum += samples_[i] * samples_[i + 1];
  const double pairs = kCount / 2.0;
  EXPECT_NEAR(sum / pairs, 0.0, 5 / std::sqrt(pairs));
}

TEST_F(RandomNormal, StaysWithinTheReachOf32Bits) {
  // The radius is at most sqrt(-2 ln 2^-32) = 6.66.
  for (const double x : samples_) ASSERT_LT(std::fabs(x), 6.67);
}

}  // namespace
}  // namespace virgil
