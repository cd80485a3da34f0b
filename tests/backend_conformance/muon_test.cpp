#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "backend_conformance/harness.h"
#include "virgil/ops/muon.h"

namespace virgil::conformance {
namespace {

class Muon : public Conformance {
 protected:
  static constexpr DType kSingle = DType::kFloat32;

  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

  struct Matrix {
    Matrix(std::int64_t rows_in, std::int64_t wide_in, std::int64_t first_in, std::int64_t columns_in)
        : rows(rows_in), wide(wide_in), first(first_in), columns(columns_in) {}
    std::int64_t rows, wide, first, columns;
    std::vector<float> state = conformance::normal_values(rows * wide, 1);  // momentum, or parameters
    std::vector<float> grad = conformance::normal_values(rows * wide, 2);
    std::vector<float> direction = representable(conformance::normal_values(rows * columns, 3));

    [[nodiscard]] Shape whole() const { return {rows, wide}; }
    [[nodiscard]] Shape part() const { return {rows, columns}; }
  };

  static std::vector<Matrix> matrices() { return {{1, 1, 0, 1}, {7, 24, 5, 9}, {33, 51, 0, 51}, {5, 800, 257, 513}}; }

  static double factor_of(const MuonStep& step, float norm) {
    const double clip =
        step.max_norm > 0 && norm > step.max_norm ? static_cast<double>(step.max_norm) / static_cast<double>(norm) : 1.0;
    return static_cast<double>(step.grad_scale) * clip;
  }

  static void momentum(OpRun& run, const Matrix& m, float norm, const MuonStep& step) {
    run.backend().run(ops::MuonMomentum{.direction = run.output("direction", m.part(), kSingle),
                                        .momentum = run.in_out("momentum", m.whole(), m.state, kSingle),
                                        .grad = run.input(m.whole(), m.grad, kSingle),
                                        .norm = run.input({1}, std::vector<float>{norm}, kSingle),
                                        .first_column = m.first,
                                        .step = step});
  }

  void check_momentum(const Matrix& m, float norm, const MuonStep& step) {
    const Tracked factor = rounded(factor_of(step, norm), 0);
    const Tracked mu(static_cast<double>(step.momentum));
    const Tracked rest = rounded(1.0 - static_cast<double>(step.momentum), 0);
    std::vector<Tracked> state, direction;
    for (std::int64_t row = 0; row < m.rows; ++row) {
      for (std::int64_t column = 0; column < m.wide; ++column) {
        const std::size_t i = at(row * m.wide + column);
        const Tracked old(static_cast<double>(m.state[i]));
        if (column < m.first || column >= m.first + m.columns) {
          state.push_back(old);
          continue;
        }
        const Tracked g = rest * (Tracked(static_cast<double>(m.grad[i])) * factor);
        state.push_back(mu * old + g);
        direction.push_back(mu * state.back() + g);
      }
    }
    check({{"direction", direction}, {"momentum", state}}, [&](OpRun& run) { momentum(run, m, norm, step); });
  }

  static void apply(OpRun& run, const Matrix& m, float norm, const MuonStep& step) {
    const bool has_working = dtype() == DType::kBFloat16;
    const std::vector<float> stale(m.state.size(), 0.5F);
    run.backend().run(ops::MuonApply{.param = run.in_out("param", m.whole(), m.state, kSingle),
                                     .working = has_working ? run.in_out("working", m.whole(), stale) : TensorView{},
                                     .direction = run.input(m.part(), m.direction),
                                     .norm = run.input({1}, std::vector<float>{norm}, kSingle),
                                     .first_column = m.first,
                                     .step = step});
  }
};
VIRGIL_CONFORMANCE_SUITE(Muon);

TEST_P(Muon, MomentumMatchesReferenceInSomeColumns) {
  for (const Matrix& m : matrices()) check_momentum(m, 3.0F, {.learning_rate = 1e-3F, .momentum = 0.95F});
}

TEST_P(Muon, MomentumScalesAndClipsTheGradient) {
  const Matrix m(7, 24, 5, 9);
  check_momentum(m, 3.0F, {.momentum = 0.9F, .max_norm = 1.0F, .grad_scale = 0.125F});
  check_momentum(m, 0.5F, {.momentum = 0.9F, .max_norm = 1.0F, .grad_scale = 0.125F});
}

TEST_P(Muon, NothingMovesWhereTheNormIsNotFinite) {
  const Matrix m(7, 24, 5, 9);
  for (const float norm : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const auto moved = results_of([&](OpRun& run) { momentum(run, m, norm, {.max_norm = 1}); });
    expect_same_bits("momentum", moved.at("momentum"), m.state);
    expect_same_bits("direction", moved.at("direction"), std::vector<float>(m.direction.size(), 0.0F));
    const auto applied = results_of([&](OpRun& run) { apply(run, m, norm, {.learning_rate = 1, .weight_decay = 0.5F}); });
    expect_same_bits("param", applied.at("param"), m.state);
  }
}

TEST_P(Muon, ApplyMatchesReferenceInSomeColumns) {
  const MuonStep step{.learning_rate = 0.02F, .weight_decay = 0.1F, .update_scale = 3.5F};
  const Tracked decay = rounded(1.0 - static_cast<double>(step.learning_rate) * static_cast<double>(step.weight_decay), 0);
  const Tracked size = rounded(static_cast<double>(step.learning_rate) * static_cast<double>(step.update_scale), 0);
  for (const Matrix& m : matrices()) {
    std::vector<Tracked> param;
    for (std::int64_t row = 0; row < m.rows; ++row) {
      for (std::int64_t column = 0; column < m.wide; ++column) {
        const Tracked old(static_cast<double>(m.state[at(row * m.wide + column)]));
        const std::int64_t in_part = column - m.first;
        if (in_part < 0 || in_part >= m.columns) {
          param.push_back(old);
        } else {
          param.push_back(old * decay - size * Tracked(static_cast<double>(m.direction[at(row * m.columns + in_part)])));
        }
      }
    }
    check({{"param", param}}, [&](OpRun& run) { apply(run, m, 1.0F, step); });
  }
}

TEST_P(Muon, ApplyRoundsItsColumnsToTheWorkingWeights) {
  if (dtype() != DType::kBFloat16) return;  // there are none beside float32 products
  const Matrix m(33, 51, 4, 40);
  const auto results = results_of([&](OpRun& run) { apply(run, m, 1.0F, {.learning_rate = 0.02F}); });
  for (std::int64_t i = 0; i < m.rows * m.wide; ++i) {
    const bool is_mine = i % m.wide >= 4 && i % m.wide < 44;
    const float expected = is_mine ? static_cast<float>(BFloat16(results.at("param")[at(i)])) : 0.5F;
    ASSERT_EQ(results.at("working")[at(i)], expected) << i;
  }
}

TEST_P(Muon, SumsAndDivides) {
  for (const std::int64_t count : {1, 7, 24, 257, 5003}) {
    const std::vector<float> x = representable(conformance::normal_values(count, 1));
    const std::vector<float> y = representable(conformance::normal_values(count, 2));
    for (const float divisor : {0.0F, 0.75F}) {  // 0: none
      const bool divides = divisor > 0;
      std::vector<Tracked> expected;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const Tracked sum = Tracked(static_cast<double>(2.5F)) * Tracked(static_cast<double>(x[i])) +
                            Tracked(static_cast<double>(-1.25F)) * Tracked(static_cast<double>(y[i]));
        expected.push_back(divides ? sum / Tracked(static_cast<double>(divisor)) : sum);
      }
      check({{"out", expected}}, [&](OpRun& run) {
        run.backend().run(
            ops::ScaledSum{.out = run.output("out", {count}),
                           .x = run.input({count}, x),
                           .y = run.input({count}, y),
                           .divisor = divides ? run.input({1}, std::vector<float>{divisor}, kSingle) : ConstTensorView{},
                           .a = 2.5F,
                           .b = -1.25F});
      });
    }
  }
}

TEST_P(Muon, AddsToItsOwnOutput) {
  const std::vector<float> x = representable(conformance::normal_values(257, 1));
  const std::vector<float> y = representable(conformance::normal_values(257, 2));
  std::vector<Tracked> expected;
  for (std::size_t i = 0; i < x.size(); ++i) {
    expected.push_back(Tracked(static_cast<double>(x[i])) +
                       Tracked(static_cast<double>(0.5F)) * Tracked(static_cast<double>(y[i])));
  }
  check({{"out", expected}}, [&](OpRun& run) {
    const TensorView out = run.in_out("out", {257}, y);
    run.backend().run(ops::ScaledSum{.out = out, .x = run.input({257}, x), .y = out, .divisor = {}, .a = 1, .b = 0.5F});
  });
}

TEST_P(Muon, DividesAZeroMatrixByTheLeastDivisor) {
  const auto results = results_of([&](OpRun& run) {
    run.backend().run(ops::ScaledSum{.out = run.output("out", {40}),
                                     .x = run.input({40}, std::vector<float>(40, 0.0F), kSingle),
                                     .y = {},
                                     .divisor = run.input({1}, std::vector<float>{0.0F}, kSingle)});
  });
  expect_same_bits("out", results.at("out"), std::vector<float>(40, 0.0F));
}

}  // namespace
}  // namespace virgil::conformance
