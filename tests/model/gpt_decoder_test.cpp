#include "virgil/model/gpt_decoder.h"

#include <algorithm>
#include <string>

#include "model/decoding_fixture.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

class Decoding : public test_support::DecodingFixture, public testing::TestWithParam<DType> {
 protected:
  Decoding() : DecodingFixture(GetParam(), 2) { compute_full_logits(); }
};

TEST_P(Decoding, TokenByTokenGivesTheLogitsOfTheFullPass) {
  for (std::int64_t position = 0; position < kLength; ++position) {
    EXPECT_EQ(decoder_.position(), position);
    expect_full_logits(decoder_.append(columns(position, 1)), position);
  }
  EXPECT_EQ(decoder_.remaining(), 0);
}

TEST_P(Decoding, APromptInPiecesGivesTheLogitsOfTheFullPass) {
  expect_full_logits(decoder_.append(columns(0, kLength)), kLength - 1);
  decoder_.reset();
  expect_full_logits(decoder_.append(columns(0, 7)), 6);
  expect_full_logits(decoder_.append(columns(7, 20)), 26);
  expect_full_logits(decoder_.append(columns(27, 1)), 27);
  EXPECT_EQ(decoder_.remaining(), kLength - 28);
}

TEST_P(Decoding, ForgetsOnReset) {
  (void)decoder_.append(columns(30, 12));
  decoder_.reset();
  expect_full_logits(decoder_.append(columns(0, 5)), 4);
}

TEST_P(Decoding, RepeatsBitForBit) {
  const std::span<const float> view = decoder_.append(columns(0, 33));
  const std::vector<float> first(view.begin(), view.end());
  decoder_.reset();
  EXPECT_TRUE(std::ranges::equal(decoder_.append(columns(0, 33)), first));
}

TEST_P(Decoding, RefusesTokensThatDoNotFit) {
  EXPECT_THROW((void)decoder_.append(std::vector<std::int32_t>{}), InternalError);
  EXPECT_THROW((void)decoder_.append(std::vector<std::int32_t>(kSequences + 1)), InternalError);
  (void)decoder_.append(columns(0, kLength));
  EXPECT_THROW((void)decoder_.append(columns(0, 1)), InternalError);
}

INSTANTIATE_TEST_SUITE_P(Types, Decoding, testing::Values(DType::kFloat32, DType::kBFloat16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace virgil
