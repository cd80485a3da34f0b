#include "virgil/model/head_choice.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "support/user_error.h"
#include "virgil/model/architecture.h"

namespace virgil {
namespace {

using ::testing::HasSubstr;

Architecture sizes_of(const HeadChoice& choice) {
  return {
      .num_layers = 1, .num_heads = choice.num_heads, .embedding_dim = choice.embedding_dim, .block_size = 8, .vocab_size = 64};
}

std::string error_of(std::int64_t embedding_dim, std::int64_t num_heads) {
  return test_support::user_error_of([&] { static_cast<void>(trainable(sizes_of({embedding_dim, num_heads}))); });
}

TEST(HeadChoice, EveryRemedyIsTaken) {
  for (std::int64_t width = 8; width <= 2100; ++width) {
    for (const std::int64_t heads : {1, 3, 12, 25, 64, 1024}) {
      const std::string problem = head_problem(width, heads);
      EXPECT_EQ(problem.empty(), heads_fit(width, heads)) << width << " " << heads;
      if (problem.empty()) continue;
      for (const HeadChoice& choice : head_choices(width, heads)) {
        ASSERT_NO_THROW(static_cast<void>(trainable(sizes_of(choice)))) << choice.embedding_dim << " " << choice.num_heads;
        ASSERT_LE(choice.num_heads, 1024);
        ASSERT_THAT(problem, HasSubstr(fmt::format("n_head {} (heads of {})", choice.num_heads, choice.head_size())));
        ASSERT_THAT(problem, HasSubstr(fmt::format("n_embd {}", choice.embedding_dim)));
      }
    }
  }
}

// No width is passed over that lies nearer: 8 divides some width within 4 of any.
TEST(HeadChoice, AWidthWithoutHeadsIsGivenTheNearestThatHasThem) {
  for (std::int64_t width = 8; width <= 2100; ++width) {
    const HeadChoice nearest = head_choices(width, 12).front();
    if (width % 8 == 0) {
      EXPECT_EQ(nearest.embedding_dim, width);
    } else {
      EXPECT_LE(std::abs(nearest.embedding_dim - width), 4) << width;
    }
  }
}

TEST(HeadChoice, PrefersHeadsNear64) {
  EXPECT_EQ(usual_heads(768), (HeadChoice{768, 12}));
  EXPECT_EQ(usual_heads(1000), (HeadChoice{1000, 25}));
  EXPECT_EQ(usual_heads(2000), (HeadChoice{2000, 25}));
  EXPECT_EQ(usual_heads(32), (HeadChoice{32, 1}));
  EXPECT_EQ(usual_heads(780), std::nullopt);
  EXPECT_EQ(usual_heads(65528), std::nullopt) << "8,191 heads of 8 are more than n_head may be";
}

TEST(HeadChoice, ErrorsNameWhatWorks) {
  EXPECT_THAT(error_of(1000, 10), HasSubstr("with n_embd 1000 choose n_head 25 (heads of 40)"));
  EXPECT_THAT(error_of(2000, 12), HasSubstr("with n_embd 2000 choose n_head 25 (heads of 80)"));
  EXPECT_THAT(error_of(780, 12), HasSubstr("n_embd 784 with n_head 14 (heads of 56), or n_embd 768 with n_head 12"));
  EXPECT_THAT(error_of(770, 12), HasSubstr("choose n_embd 768 with n_head 12 (heads of 64)"));
  EXPECT_THAT(error_of(30, 1), HasSubstr("choose n_embd 32 with n_head 1 (heads of 32)"));
  EXPECT_THAT(error_of(65536, 7), HasSubstr("choose n_head 1024 (heads of 64)"));
}

}  // namespace
}  // namespace virgil
