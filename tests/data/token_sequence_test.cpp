#include "virgil/data/token_sequence.h"

#include <gtest/gtest.h>

#include <numeric>

#include "data/token_vectors.h"
#include "support/temporary_directory.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

using test_support::counting;
using test_support::to_vector;

// 0 .. 9 as a view, 10 .. 15 owned, 16 .. 23 as 16-bit ids of a file.
class TokenSequenceTest : public testing::Test {
 protected:
  TokenSequenceTest() {
    std::string bytes = "head";
    for (char id = 16; id < 24; ++id) bytes += {id, '\0'};
    test_support::write_all(directory_.path() / "ids", bytes);
    sequence_ = TokenSequence(view_);
    sequence_.append(TokenSequence(std::vector<std::int32_t>{10, 11, 12, 13, 14, 15}));
    sequence_.append(TokenSequence(std::make_shared<const MappedFile>(directory_.path() / "ids"), 4, 8, 2));
  }

  test_support::TemporaryDirectory directory_;
  std::vector<std::int32_t> view_ = counting(10);
  TokenSequence sequence_;
};

TEST_F(TokenSequenceTest, ReadsSegmentsAsOne) {
  EXPECT_EQ(sequence_.size(), 24U);
  EXPECT_EQ(to_vector(sequence_), counting(24));
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(sequence_[i], static_cast<std::int32_t>(i));
}

TEST_F(TokenSequenceTest, CopiesAndSlicesAnyPart) {
  const std::vector<std::int32_t> all = counting(24);
  for (std::size_t first = 0; first <= 24; ++first) {
    for (std::size_t count = 0; first + count <= 24; ++count) {
      const std::vector<std::int32_t> expected(all.begin() + static_cast<std::ptrdiff_t>(first),
                                               all.begin() + static_cast<std::ptrdiff_t>(first + count));
      std::vector<std::int32_t> copied(count);
      sequence_.copy(first, copied);
      EXPECT_EQ(copied, expected);
      EXPECT_EQ(to_vector(sequence_.slice(first, count)), expected);
    }
  }
}

TEST_F(TokenSequenceTest, OutlivesWhatItWasMadeFrom) {
  const TokenSequence part = sequence_.slice(12, 8);
  sequence_ = TokenSequence();
  EXPECT_EQ(to_vector(part), (std::vector<std::int32_t>{12, 13, 14, 15, 16, 17, 18, 19}));
}

TEST_F(TokenSequenceTest, AppendsItself) {
  sequence_.append(sequence_);
  EXPECT_EQ(sequence_.size(), 48U);
  EXPECT_EQ(sequence_[47], 23);
}

TEST_F(TokenSequenceTest, RefusesWhatLiesBeyondItsEnd) {
  std::vector<std::int32_t> out(3);
  EXPECT_THROW(sequence_.copy(22, out), InternalError);
  EXPECT_THROW(sequence_.copy(25, {}), InternalError);
  EXPECT_THROW((void)sequence_.slice(20, 5), InternalError);
  EXPECT_THROW((void)sequence_.slice(2, ~std::size_t{0}), InternalError);
  const auto file = std::make_shared<const MappedFile>(directory_.path() / "ids");
  EXPECT_THROW(TokenSequence(file, 4, 9, 2), InternalError);
  EXPECT_THROW(TokenSequence(file, 22, 0, 2), InternalError);
  EXPECT_THROW(TokenSequence(file, 3, 1, 2), InternalError);
}

TEST_F(TokenSequenceTest, HasAFingerprintOfTheIdsAlone) {
  EXPECT_EQ(fingerprint_of(sequence_), fingerprint_of(counting(24)));
  EXPECT_NE(fingerprint_of(sequence_), fingerprint_of(counting(23)));
}

}  // namespace
}  // namespace virgil
