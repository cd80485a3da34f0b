// AdamW on bfloat16 parameters without a float32 copy, which are rounded stochastically.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "backend_conformance/adamw_fixture.h"
#include "virgil/base/bfloat16.h"

namespace virgil::conformance {
namespace {

constexpr DType kHalf = DType::kBFloat16;
constexpr RandomStream kStream{.seed = 9, .purpose = RandomPurpose::kStochasticRounding, .site = 3, .step = 5};

/// The largest bfloat16 that is not above x, and the smallest that is not below. |x| is far from both ends of the range.
double bfloat16_below(double x) {
  const double spacing = std::exp2(std::floor(std::log2(std::abs(x))) - 7);
  return x == 0 ? 0 : std::floor(x / spacing) * spacing;
}
double bfloat16_above(double x) { return -bfloat16_below(-x); }

class AdamWRounded : public AdamWConformance {
 protected:
  /// Parameters that bfloat16 holds.
  static State half_state(std::int64_t count) {
    State state(count);
    state.param = representable(state.param);
    return state;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, AdamWRounded, testing::ValuesIn(backend_cases_of(DType::kBFloat16)),
                         [](const auto& info) { return info.param.name; });

TEST_P(AdamWRounded, TakesOneOfTheTwoNeighboursOfTheExactUpdate) {
  const State state = half_state(5003);
  for (const float learning_rate : {1e-1F, 1e-3F, 1e-5F}) {
    const AdamWStep step{
        .learning_rate = learning_rate, .weight_decay = 0.1F, .t = 10, .max_norm = 1.0F, .rounding = {.seed = 3}};
    const auto expected = expected_of(state, 3.0F, step);
    const auto results = results_of([&](OpRun& run) { update(run, state, 3.0F, step, DType::kFloat32, kHalf); });
    std::int64_t below = 0;
    std::int64_t above = 0;
    for (std::size_t i = 0; i < state.param.size(); ++i) {
      // What is rounded is the update in float32, which lies within its bound of the exact one: where no bfloat16 lies within
      // that bound, and nearly always none does, the two ends of this range are neighbours.
      const Tracked exact = expected.param[i];
      const double low = bfloat16_below(exact.value - exact.error);
      const double high = bfloat16_above(exact.value + exact.error);
      const auto actual = static_cast<double>(results.at("param")[i]);
      ASSERT_GE(actual, low) << i;
      ASSERT_LE(actual, high) << i;
      below += actual < exact.value ? 1 : 0;
      above += actual > exact.value ? 1 : 0;
    }
    EXPECT_GT(std::min(below, above), 2000) << "up and down take turns at a learning rate of " << learning_rate;
  }
}

TEST_P(AdamWRounded, IsTheSameForAnyNumberOfThreads) {
  for (const DType moments : {DType::kFloat32, kHalf}) {
    const State state = half_state(20011);
    const AdamWStep step{.learning_rate = 1e-3F, .weight_decay = 0.1F, .t = 10, .rounding = kStream, .first_index = 64};
    auto expected = expected_of(state, 3.0F, step);
    // One of the two neighbours is off by less than their distance, twice the roundoff: check() adds the other half.
    for (auto* rounded : {&expected.param, &expected.m, &expected.v}) {
      for (Tracked& t : *rounded) t.error += kBFloat16Roundoff * t.magnitude();
    }
    check({{"param", expected.param}, {"m", expected.m}, {"v", expected.v}},
          [&](OpRun& run) { update(run, state, 3.0F, step, moments, kHalf); });
  }
}

/// The bits of the float32 update, rounded by the words that AdamWStep promises; moments are those of float32 parameters.
TEST_P(AdamWRounded, RoundsByTheWordsOfTheElements) {
  for (const std::int64_t count : {1, 7, 24, 257, 5003}) {
    for (const DType moments : {DType::kFloat32, kHalf}) {
      const State state = half_state(count);
      const AdamWStep step{.learning_rate = 1e-3F, .weight_decay = 0.1F, .t = 5, .rounding = kStream, .first_index = 8};
      const auto exact = results_of([&](OpRun& run) { update(run, state, 1.0F, step, moments); });
      const auto rounded = results_of([&](OpRun& run) { update(run, state, 1.0F, step, moments, kHalf); });
      for (const char* name : {"m", "v"}) expect_same_bits(name, rounded.at(name), exact.at(name));
      RandomStream stream = kStream;
      stream.purpose = RandomPurpose::kWeightRounding;
      for (std::size_t i = 0; i < state.param.size(); ++i) {
        const auto word = std::bit_cast<std::uint32_t>(exact.at("param")[i]) + (random_word(stream, 8 + i) >> 16);
        ASSERT_EQ(rounded.at("param")[i], std::bit_cast<float>(word & 0xFFFF0000U)) << i;
      }
    }
  }
}

TEST_P(AdamWRounded, IsTheSameHoweverTheElementsAreSplit) {
  constexpr std::int64_t kCount = 1003;
  const State state = half_state(kCount);
  const auto split_at = [&](std::int64_t cut) {
    return results_of([&](OpRun& run) {
      const TensorView param = run.in_out("param", {kCount}, state.param, kHalf);
      const TensorView m = run.in_out("m", {kCount}, state.m, kHalf), v = run.in_out("v", {kCount}, state.v, kHalf);
      const ConstTensorView grad = run.input({kCount}, state.grad, DType::kFloat32);
      const ConstTensorView norm = run.input({1}, std::vector<float>{1.0F}, DType::kFloat32);
      for (const auto& [begin, end] : {std::pair(std::int64_t{0}, cut), std::pair(cut, kCount)}) {
        const Shape shape{end - begin};
        if (begin == end) continue;
        run.backend().run(ops::AdamWUpdate{param.slice(begin, shape),
                                           {},
                                           m.slice(begin, shape),
                                           v.slice(begin, shape),
                                           grad.slice(begin, shape),
                                           norm,
                                           {.learning_rate = 1e-3F, .t = 2, .rounding = kStream, .first_index = begin}});
      }
    });
  };
  const auto whole = split_at(kCount);
  for (const std::int64_t cut : {4, 12, 500, 1000}) {
    const auto parts = split_at(cut);
    for (const char* name : {"param", "m", "v"}) expect_same_bits(name, parts.at(name), whole.at(name));
  }
}

TEST_P(AdamWRounded, HasNoBias) {
  // All parameters are 1 and all updates alike, so each result lies between the same two bfloat16. The mean of n rounded values
  // differs from the value rounded by sqrt(f (1 - f) / n) spacings in the standard deviation, f the share of the spacing; six
  // of them happen once in 10^9. The value rounded is within its bound of the exact one.
  constexpr std::int64_t kCount = 65536;
  State state(kCount);
  std::ranges::fill(state.param, 1.0F);
  for (auto* values : {&state.m, &state.v}) std::ranges::fill(*values, 0.0F);
  for (const float gradient : {1.0F, -0.3F}) {
    std::ranges::fill(state.grad, gradient);
    for (const float learning_rate : {3e-2F, 1e-3F, 1e-5F}) {
      const AdamWStep step{.learning_rate = learning_rate, .weight_decay = 0.1F, .t = 1, .rounding = {.seed = 17, .step = 3}};
      const Tracked exact = expected_of(state, 1.0F, step).param.front();
      const auto results = results_of([&](OpRun& run) { update(run, state, 1.0F, step, DType::kFloat32, kHalf); });
      const double below = bfloat16_below(exact.value);
      const double spacing = bfloat16_above(exact.value) - below;
      const double share = (exact.value - below) / spacing;
      double sum = 0;
      for (const float element : results.at("param")) sum += static_cast<double>(element);
      const double bound = 6 * spacing * std::sqrt(share * (1 - share) / kCount) + exact.error;
      EXPECT_NEAR(sum / kCount, exact.value, bound) << "gradient " << gradient << ", learning rate " << learning_rate;
      EXPECT_LT(bound, std::abs(exact.value - 1)) << "the bound tells an update from none";
      if (learning_rate < 2e-3F) {
        EXPECT_EQ(static_cast<float>(BFloat16(static_cast<float>(exact.value))), 1.0F) << "to nearest it would be lost";
      }
    }
  }
}

TEST_P(AdamWRounded, AnUpdateOfZeroLeavesEveryParameterAlone) {
  State state = half_state(1003);
  for (auto* values : {&state.m, &state.v, &state.grad}) std::ranges::fill(*values, 0.0F);
  state.param[0] = 0.0F;
  state.param[1] = -0.0F;
  state.param[2] = 0x1.0p-120F;
  state.param[3] = std::numeric_limits<float>::infinity();
  for (std::uint32_t draw = 0; draw < 8; ++draw) {
    const AdamWStep step{.learning_rate = 1, .rounding = {.seed = 1, .step = draw}};
    const auto results = results_of([&](OpRun& run) { update(run, state, 0.0F, step, DType::kFloat32, kHalf); });
    expect_same_bits("param", results.at("param"), state.param);
  }
}

TEST_P(AdamWRounded, ZeroStaysZeroUnderDecay) {
  State state(64);  // as an alignment gap: nothing but zeros
  for (auto* values : {&state.param, &state.m, &state.v, &state.grad}) std::ranges::fill(*values, 0.0F);
  const AdamWStep step{.learning_rate = 0.1F, .weight_decay = 0.1F, .max_norm = 1, .rounding = kStream};
  const auto results = results_of([&](OpRun& run) { update(run, state, 5.0F, step, kHalf, kHalf); });
  for (const char* name : {"param", "m", "v"}) expect_same_bits(name, results.at(name), state.param);
}

TEST_P(AdamWRounded, ChangesNothingWhenTheNormIsNotFinite) {
  const State state = half_state(50);
  for (const float norm : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const AdamWStep step{.learning_rate = 1, .max_norm = 1, .rounding = kStream};
    const auto results = results_of([&](OpRun& run) { update(run, state, norm, step, kHalf, kHalf); });
    expect_same_bits("param", results.at("param"), state.param);
    expect_same_bits("m", results.at("m"), state.m);
    expect_same_bits("v", results.at("v"), state.v);
  }
}

}  // namespace
}  // namespace virgil::conformance
