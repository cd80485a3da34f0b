#include <limits>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"

namespace virgil::conformance {
namespace {

class AdamW : public Conformance {
 protected:
  struct State {
    explicit State(std::int64_t count)
        : param(normal_values(count, 1)),
          m(normal_values(count, 2, 0.1F)),
          v(normal_values(count, 3, 0.01F)),
          grad(normal_values(count, 4)) {
      for (float& element : v) element *= element;
    }
    std::vector<float> param, m, v, grad;
  };

  static void update(OpRun& run, const State& state, float norm, const AdamWStep& step) {
    const Shape shape{std::ssize(state.param)};
    run.backend().adamw_update(run.in_out("param", shape, state.param), run.in_out("m", shape, state.m),
                               run.in_out("v", shape, state.v), run.input(shape, state.grad),
                               run.input({1}, std::vector<float>{norm}), step);
  }

  void check_step(std::int64_t count, float norm, const AdamWStep& step) {
    const State state(count);
    const auto expected = reference::adamw_update(to_double(state.param), to_double(state.m), to_double(state.v),
                                                  to_double(state.grad), norm, step);
    check({{"param", expected.param}, {"m", expected.m}, {"v", expected.v}},
          [&](OpRun& run) { update(run, state, norm, step); });
  }
};
VIRGIL_CONFORMANCE_SUITE(AdamW);

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
