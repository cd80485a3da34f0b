#include "virgil/dist/ordered_sum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <ostream>
#include <random>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {
namespace {

struct Case {
  int ranks;
  int rank;
  std::size_t elements;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.elements << " of rank " << c.rank << " of " << c.ranks; }

class OrderedSum : public testing::TestWithParam<Case> {
 protected:
  std::vector<std::vector<float>> make_values() const {
    std::mt19937 draw(7);
    std::normal_distribution<float> normal(0, 1);
    std::vector<std::vector<float>> values(static_cast<std::size_t>(GetParam().ranks));
    for (auto& of_rank : values) {
      of_rank.resize(GetParam().elements);
      for (float& value : of_rank) value = normal(draw) * std::exp2(normal(draw) * 8);
    }
    return values;
  }

  template <typename T>
  void check(DType wire) const {
    const std::vector<std::vector<float>> values = make_values();
    std::vector<float> expected = values[0];
    for (float& value : expected) value = static_cast<float>(T(value));
    for (std::size_t r = 1; r < values.size(); ++r) {
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += static_cast<float>(T(values[r][i]));
    }
    std::vector<std::vector<T>> sent(values.size());
    std::vector<const std::byte*> received(values.size(), nullptr);
    const auto rank = static_cast<std::size_t>(GetParam().rank);
    for (std::size_t r = 0; r < values.size(); ++r) {
      for (const float value : values[r]) sent[r].push_back(T(value));
      if (r != rank) received[r] = reinterpret_cast<const std::byte*>(sent[r].data());
    }
    std::vector<float> own = values[rank];
    sum_in_rank_order(own, GetParam().rank, received, wire);
    EXPECT_EQ(std::memcmp(own.data(), expected.data(), own.size() * sizeof(float)), 0);
  }
};
INSTANTIATE_TEST_SUITE_P(Sizes, OrderedSum,
                         testing::Values(Case{1, 0, 5}, Case{2, 0, 1}, Case{2, 1, 2048}, Case{3, 1, 2049}, Case{4, 3, 100003}));

TEST_P(OrderedSum, OfFloat32IsALoopsBitForBit) { check<float>(DType::kFloat32); }

TEST_P(OrderedSum, OfBFloat16RoundsEverySummandOnce) { check<BFloat16>(DType::kBFloat16); }

TEST(OrderedSumOf, OneElementKeepsItsSignedZero) {
  const float other = -0.0F;
  float own = -0.0F;
  const std::byte* received[] = {nullptr, reinterpret_cast<const std::byte*>(&other)};
  sum_in_rank_order(std::span(&own, 1), 0, received, DType::kFloat32);
  EXPECT_TRUE(std::signbit(own));
}

TEST(OrderedSumOf, OtherTypesIsRefused) {
  float own = 0;
  const std::byte* received[] = {nullptr};
  EXPECT_THROW(sum_in_rank_order(std::span(&own, 1), 0, received, DType::kFloat16), InternalError);
}

TEST(OrderedSumOf, LongPartsLetsOtherWorkProgress) {
  std::vector<float> own(std::size_t{1} << 20, 1.0F);
  const std::byte* received[] = {nullptr};
  int calls = 0;
  sum_in_rank_order(own, 0, received, DType::kFloat32, [&] { ++calls; });
  EXPECT_GT(calls, 10);
}

TEST(RoundToBFloat16, GoesToNearestEven) {
  const float values[] = {1.0F, 1.00390625F, 1.01171875F, -3.1415927F};
  BFloat16 rounded[4];
  round_to_bfloat16(rounded, values);
  EXPECT_EQ(static_cast<float>(rounded[1]), 1.0F);
  EXPECT_EQ(static_cast<float>(rounded[2]), 1.015625F);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(rounded[i], BFloat16(values[i]));
}

}  // namespace
}  // namespace virgil
