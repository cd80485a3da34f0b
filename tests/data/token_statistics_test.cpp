#include "virgil/data/token_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/vocabulary.h"

namespace virgil {
namespace {

using testing::ElementsAre;

TEST(TokenStatistics, CountsIds) {
  TokenStatistics statistics(5);
  statistics.add(std::vector<std::int32_t>{0, 3, 3});
  statistics.add(std::vector<std::int32_t>{3, 1});
  EXPECT_EQ(statistics.num_tokens(), 5);
  EXPECT_EQ(statistics.count_of(3), 3);
  EXPECT_EQ(statistics.count_of(4), 0);
  EXPECT_THAT(statistics.unused_ids(), ElementsAre(2, 4));
  EXPECT_THAT(statistics.most_frequent_ids(2), ElementsAre(3, 0));
  EXPECT_THAT(statistics.most_frequent_ids(9), ElementsAre(3, 0, 1));
}

TEST(TokenStatistics, FindsTheLongestTokensThatOccur) {
  const auto tokenizer = make_tokenizer("bpe:280", test_support::kTercets);
  const std::vector<std::int32_t> tokens = tokenizer->encode(test_support::kTercets);
  TokenStatistics statistics(tokenizer->vocab_size());
  statistics.add(tokens);
  statistics.add(std::vector<std::int32_t>{tokenizer->end_of_text()});
  const std::vector<std::int32_t> longest = statistics.longest_ids(*tokenizer, 1000);
  EXPECT_EQ(std::ssize(longest), tokenizer->vocab_size() - std::ssize(statistics.unused_ids()));
  std::size_t previous = 1000;
  for (const std::int32_t id : longest) {
    const std::size_t length = id == tokenizer->end_of_text() ? 0 : tokenizer->decode({&id, 1}).size();
    EXPECT_LE(length, previous);
    previous = length;
  }
  EXPECT_EQ(longest.back(), tokenizer->end_of_text()) << "it stands for no text";
}

}  // namespace
}  // namespace virgil
