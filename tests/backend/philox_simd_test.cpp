// Vector dropout masks against Dropout::multiplier, for every set of vector instructions that the processor has.
#include "backend/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/philox_simd_test.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/philox_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

HWY_ATTR void fill_mask(const Dropout& dropout, std::uint64_t base, std::size_t n, float* out) {
  DropoutMask(dropout).fill(base, n, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace virgil::cpu {

HWY_EXPORT(fill_mask);

namespace {

class PhiloxSimd : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};
INSTANTIATE_TEST_SUITE_P(Targets, PhiloxSimd, ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

TEST_P(PhiloxSimd, HasTheBitsOfMultiplier) {
  constexpr std::size_t kPad = 32;
  const RandomStream stream{
      .seed = 0xFEDCBA9876543210U, .purpose = RandomPurpose::kAttentionDropout, .site = 0xABCDEF, .step = 0xFFFFFFFFU};
  // The last base makes the block index cross 2^32 within a call.
  for (const std::uint64_t base : {std::uint64_t{0}, std::uint64_t{4}, std::uint64_t{1} << 33, (std::uint64_t{1} << 34) - 64}) {
    for (const std::size_t n : {1U, 4U, 31U, 32U, 33U, 257U}) {
      for (const float p : {0.0F, 0.1F, 0.5F, 0.9999F}) {
        const Dropout dropout{.p = p, .stream = stream, .first_sequence = 0};
        std::vector<float> out((n + kPad - 1) / kPad * kPad, -1.0F);
        HWY_DYNAMIC_DISPATCH(fill_mask)(dropout, base, n, out.data());
        for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], dropout.multiplier(base + i)) << base << " + " << i;
      }
    }
  }
}

}  // namespace
}  // namespace virgil::cpu
#endif
