// The helpers of simd-inl.h, for every set of vector instructions that the processor has.
#include "backend/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/simd_test.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

HWY_ATTR void exp_array(const float* inp, float* out, std::size_t n) {
  for_each_vector(n, [&](std::size_t i, auto part) HWY_ATTR { part.store(exp_up_to_88(part.load(inp + i)), out + i); });
}

HWY_ATTR float sum_array(const float* inp, std::size_t n) {
  FourSums sum;
  for_each_vector_by_four(n,
                          [&](std::size_t i, auto part, int k) HWY_ATTR { sum.v[k] = hn::Add(sum.v[k], part.load(inp + i)); });
  return sum.total();
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace virgil::cpu {

HWY_EXPORT(exp_array);
HWY_EXPORT(sum_array);

namespace {

class Simd : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  static std::vector<float> exp_of(const std::vector<float>& x) {
    std::vector<float> y(x.size());
    HWY_DYNAMIC_DISPATCH(exp_array)(x.data(), y.data(), x.size());
    return y;
  }
};
INSTANTIATE_TEST_SUITE_P(Targets, Simd, ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

TEST_P(Simd, ExpIsWithinTwoUlp) {
  constexpr int kCount = 400000;
  std::vector<float> x;
  for (int i = 0; i <= kCount; ++i) x.push_back(-87.3F + (87.3F + 88.0F) * static_cast<float>(i) / kCount);
  for (int i = 0; i <= kCount; ++i) x.push_back(-0.5F + static_cast<float>(i) / kCount);
  const std::vector<float> y = exp_of(x);
  double worst_ulps = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    const double ulp = std::ldexp(1.0, std::ilogb(exact) - 23);
    worst_ulps = std::max(worst_ulps, std::abs(static_cast<double>(y[i]) - exact) / ulp);
  }
  EXPECT_LE(worst_ulps, 2.0);
  RecordProperty("worst_ulps", std::to_string(worst_ulps));
}

TEST_P(Simd, ExpKeepsItsPromisesAtTheEdges) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto y = exp_of({0.0F, -87.4F, -1e30F, -kInfinity, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_EQ(y[0], 1.0F);
  for (const std::size_t i : {1U, 2U, 3U}) EXPECT_EQ(y[i], 0.0F) << i;
  EXPECT_TRUE(std::isnan(y[4]));
}

TEST_P(Simd, LoopsVisitEveryElementOnce) {
  for (std::size_t n = 0; n <= 150; ++n) {
    std::vector<float> x(n);
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i + 1);
    EXPECT_EQ(HWY_DYNAMIC_DISPATCH(sum_array)(x.data(), n), static_cast<float>(n * (n + 1) / 2)) << n;  // exact: small integers
  }
}

}  // namespace
}  // namespace virgil::cpu
#endif
