#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/decoding_fixture.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

/// Sequences with a common beginning, decoded and read in one pass.
class SharedDecoding : public test_support::DecodingFixture, public testing::TestWithParam<std::int64_t> {
 protected:
  SharedDecoding() : DecodingFixture(DType::kFloat32, 1, 3) {}  // with convolutions, whose caches are shared too
};

TEST_P(SharedDecoding, GivesTheLogitsOfTheFullPass) {
  const std::int64_t shared = GetParam();
  for (std::int64_t s = 1; s < kSequences; ++s) {
    std::copy_n(batch_.inputs.begin(), shared, batch_.inputs.begin() + s * kLength);
  }
  compute_full_logits();
  const std::span<const std::int32_t> beginning(batch_.inputs.data(), static_cast<std::size_t>(shared));
  expect_full_logits(decoder_.append_shared(beginning), shared - 1);
  EXPECT_EQ(decoder_.position(), shared);
  for (std::int64_t position = shared; position < kLength; ++position) {
    expect_full_logits(decoder_.append(columns(position, 1)), position);
  }
}

INSTANTIATE_TEST_SUITE_P(Prompts, SharedDecoding, testing::Values(1, 5, 64, 85, 90), testing::PrintToStringParamName());

TEST_F(SharedDecoding, IsForTheBeginningOnly) {
  (void)decoder_.append_shared(std::vector<std::int32_t>{1, 2});
  EXPECT_THROW((void)decoder_.append_shared(std::vector<std::int32_t>{3}), InternalError);
  decoder_.reset();
  EXPECT_NO_THROW((void)decoder_.append_shared(std::vector<std::int32_t>{3}));
}

}  // namespace
}  // namespace virgil
