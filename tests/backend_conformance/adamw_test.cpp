#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "backend_conformance/adamw_fixture.h"

namespace virgil::conformance {
namespace {

class AdamW : public AdamWConformance {};
VIRGIL_CONFORMANCE_SUITE(AdamW);

/// Working weights and rounded moments.
class AdamWInBFloat16 : public AdamW {};
INSTANTIATE_TEST_SUITE_P(Backends, AdamWInBFloat16, testing::ValuesIn(backend_cases_of(DType::kBFloat16)),
                         [](const auto& info) { return info.param.name; });

TEST_P(AdamW, MatchesReference) {
  for (const std::int64_t count : {1, 7, 24, 257, 5003}) {
    check_step(count, 3.0F, {.learning_rate = 1e-3F, .weight_decay = 0.1F, .t = 10});
  }
}

TEST_P(AdamW, MatchesReferenceLateInTraining) {
  check_step(100, 1.0F, {.learning_rate = 6e-4F, .beta2 = 0.99F, .weight_decay = 0.01F, .t = 100000});
}

TEST_P(AdamW, ClipsOnlyAboveTheLargestNorm) {
  check_step(40, 3.0F, {.learning_rate = 1e-3F, .t = 3, .max_norm = 1.0F});
  check_step(40, 0.5F, {.learning_rate = 1e-3F, .t = 3, .max_norm = 1.0F});
}

TEST_P(AdamW, ScalesTheGradientFirst) {
  check_step(40, 3.0F, {.learning_rate = 1e-3F, .t = 3, .max_norm = 1.0F, .grad_scale = 0.125F});
}

TEST_P(AdamWInBFloat16, RoundsTheParametersToTheWorkingWeights) {
  const State state(5003);
  const auto results = results_of([&](OpRun& run) { update(run, state, 1.0F, {.learning_rate = 1e-3F, .t = 2}); });
  for (std::size_t i = 0; i < state.param.size(); ++i) {
    ASSERT_EQ(results.at("working")[i], static_cast<float>(BFloat16(results.at("param")[i]))) << i;
  }
}

/// bfloat16 moments: the bits of the float32 moments, rounded by the words that AdamWStep promises.
TEST_P(AdamWInBFloat16, RoundsMomentsByTheWordsOfTheirElements) {
  const RandomStream stream{.seed = 9, .purpose = RandomPurpose::kStochasticRounding, .site = 0, .step = 5};
  for (const std::int64_t count : {1, 7, 24, 257, 5003}) {
    const State state(count);
    const AdamWStep step{.learning_rate = 1e-3F, .t = 5, .rounding = stream, .first_index = 8};
    const auto exact = results_of([&](OpRun& run) { update(run, state, 1.0F, step); });
    const auto rounded = results_of([&](OpRun& run) { update(run, state, 1.0F, step, DType::kBFloat16); });
    expect_same_bits("param", rounded.at("param"), exact.at("param"));
    for (std::size_t i = 0; i < state.param.size(); ++i) {
      const std::uint32_t word = random_word(stream, 8 + i);
      const auto round = [](float value, std::uint32_t random) {
        return std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + random) & 0xFFFF0000U);
      };
      ASSERT_EQ(rounded.at("m")[i], round(exact.at("m")[i], word >> 16)) << i;
      ASSERT_EQ(rounded.at("v")[i], round(exact.at("v")[i], word & 0xFFFFU)) << i;
    }
  }
}

TEST_P(AdamWInBFloat16, MatchesReferenceWithMomentsInBFloat16) {
  const State state(5003);
  const AdamWStep step{.learning_rate = 1e-3F, .weight_decay = 0.1F, .t = 10, .max_norm = 1.0F, .rounding = {.seed = 3}};
  auto expected = reference::adamw_update(to_double(state.param), to_double(state.m), to_double(state.v), to_double(state.grad),
                                          3.0F, step);
  // Stochastic rounding takes one of the two neighbours: it is off by less than their distance, twice the roundoff.
  for (auto* moments : {&expected.m, &expected.v}) {
    for (Tracked& t : *moments) t.error += kBFloat16Roundoff * t.magnitude();  // check() adds the other half
  }
  check({{"param", expected.param}, {"m", expected.m}, {"v", expected.v}},
        [&](OpRun& run) { update(run, state, 3.0F, step, DType::kBFloat16); });
}

TEST_P(AdamWInBFloat16, RoundingOfMomentsHasNoBias) {
  // All elements alike: m becomes 0.1 g and v 0.05 g^2, each between two bfloat16. The mean of n rounded values differs from
  // the exact value by sqrt(f (1 - f) / n) spacings in the standard deviation, f the share of the spacing; six of them happen
  // once in 10^9.
  constexpr std::int64_t kCount = 65536;
  State state(kCount);
  for (auto* values : {&state.param, &state.m, &state.v}) std::ranges::fill(*values, 0.0F);
  for (const float gradient : {1.0F, 2.3F, -0.013F}) {
    std::ranges::fill(state.grad, gradient);
    const AdamWStep step{.learning_rate = 1e-3F, .rounding = {.seed = 17, .step = 3}};
    const auto exact = results_of([&](OpRun& run) { update(run, state, 1.0F, step); });
    const auto rounded = results_of([&](OpRun& run) { update(run, state, 1.0F, step, DType::kBFloat16); });
    for (const char* name : {"m", "v"}) {
      const double value = static_cast<double>(exact.at(name)[0]);
      const double spacing = std::exp2(std::floor(std::log2(std::abs(value))) - 7);
      const double share = std::abs(value) / spacing - std::floor(std::abs(value) / spacing);
      double sum = 0;
      for (const float element : rounded.at(name)) sum += static_cast<double>(element);
      const double bound = 6 * spacing * std::sqrt(share * (1 - share) / kCount);
      EXPECT_NEAR(sum / kCount, value, bound) << name << " for a gradient of " << gradient;
      EXPECT_GT(share * (1 - share), 0.01) << name << ": nothing to round";
    }
  }
}

TEST_P(AdamW, FirstStepMovesEachParameterByTheLearningRate) {
  State state(24);
  std::ranges::fill(state.m, 0.0F);
  std::ranges::fill(state.v, 0.0F);
  const AdamWStep step{.learning_rate = 0.5F, .eps = 0, .t = 1};
  const auto results = results_of([&](OpRun& run) { update(run, state, 1.0F, step); });
  for (std::size_t i = 0; i < state.param.size(); ++i) {
    // |m / sqrt(v)| is 1 at the first step. The 9 roundings on the way (see adamw_update in reference_basic.cpp) and one of the
    // result.
    const double expected = static_cast<double>(state.param[i]) - std::copysign(0.5, static_cast<double>(state.grad[i]));
    const double bound = gamma(9) * 0.5 + gamma(1) * (0.5 + std::abs(expected));
    EXPECT_NEAR(static_cast<double>(results.at("param")[i]), expected, bound) << i;
  }
}

TEST_P(AdamW, LeavesZeroGradientsOfZeroStateAlone) {
  State state(24);
  for (auto* values : {&state.m, &state.v, &state.grad}) std::ranges::fill(*values, 0.0F);
  const auto results = results_of([&](OpRun& run) { update(run, state, 0.0F, {.learning_rate = 1, .max_norm = 1}); });
  expect_same_bits("param", results.at("param"), state.param);
}

TEST_P(AdamW, ChangesNothingWhenTheNormIsNotFinite) {
  const State state(50);
  for (const float norm : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const auto results = results_of([&](OpRun& run) { update(run, state, norm, {.learning_rate = 1, .max_norm = 1}); });
    expect_same_bits("param", results.at("param"), state.param);
    expect_same_bits("m", results.at("m"), state.m);
    expect_same_bits("v", results.at("v"), state.v);
  }
}

}  // namespace
}  // namespace virgil::conformance
