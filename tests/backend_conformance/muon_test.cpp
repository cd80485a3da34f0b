#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
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

  /// Factors of a matrix's columns or rows, or none.
  struct Factors {
    std::vector<float> values = {};
    NeuronAxis axis = NeuronAxis::kColumns;
  };

  static void apply(OpRun& run, const Matrix& m, float norm, const MuonStep& step, const Factors& factors) {
    const bool has_working = dtype() == DType::kBFloat16;
    const std::vector<float> stale(m.state.size(), 0.5F);
    run.backend().run(ops::MuonApply{.param = run.in_out("param", m.whole(), m.state, kSingle),
                                     .working = has_working ? run.in_out("working", m.whole(), stale) : TensorView{},
                                     .direction = run.input(m.part(), m.direction),
                                     .factors = factors.values.empty()
                                                    ? ConstTensorView{}
                                                    : run.input({std::ssize(factors.values)}, factors.values, kSingle),
                                     .norm = run.input({1}, std::vector<float>{norm}, kSingle),
                                     .first_column = m.first,
                                     .axis = factors.axis,
                                     .step = step});
  }

  void check_apply(const Matrix& m, const MuonStep& step, const Factors& factors) {
    const Tracked decay = rounded(1.0 - static_cast<double>(step.learning_rate) * static_cast<double>(step.weight_decay), 0);
    const Tracked size = rounded(static_cast<double>(step.learning_rate) * static_cast<double>(step.update_scale), 0);
    std::vector<Tracked> param;
    for (std::int64_t row = 0; row < m.rows; ++row) {
      for (std::int64_t column = 0; column < m.wide; ++column) {
        const Tracked old(static_cast<double>(m.state[at(row * m.wide + column)]));
        const std::int64_t in_part = column - m.first;
        if (in_part < 0 || in_part >= m.columns) {
          param.push_back(old);
          continue;
        }
        Tracked direction(static_cast<double>(m.direction[at(row * m.columns + in_part)]));
        if (!factors.values.empty()) {
          const std::int64_t neuron = factors.axis == NeuronAxis::kColumns ? in_part : row;
          direction = Tracked(static_cast<double>(factors.values[at(neuron)])) * direction;
        }
        param.push_back(old * decay - size * direction);
      }
    }
    check({{"param", param}}, [&](OpRun& run) { apply(run, m, 1.0F, step, factors); });
  }

  /// v of more neurons than the matrix has: it has [first_neuron, first_neuron + neurons).
  static constexpr std::int64_t kFirstNeuron = 3;
  struct Neurons {
    Neurons(const Matrix& m, NeuronAxis axis_in)
        : axis(axis_in), count(axis_in == NeuronAxis::kColumns ? m.columns : m.rows), inputs(m.rows * m.columns / count) {}
    NeuronAxis axis;
    std::int64_t count, inputs;
    [[nodiscard]] std::vector<float> v() const {
      std::vector<float> values = conformance::normal_values(count + 2 * kFirstNeuron, 4);
      for (float& value : values) value *= value;
      return values;
    }
    [[nodiscard]] static std::size_t place(const Matrix& m, NeuronAxis axis, std::int64_t neuron, std::int64_t input) {
      return at(axis == NeuronAxis::kColumns ? input * m.columns + neuron : neuron * m.columns + input);
    }
  };

  static void moments(OpRun& run, const Matrix& m, const Neurons& neurons, float norm, float beta2) {
    const std::vector<float> v = neurons.v();
    run.backend().run(ops::NeuronMoments{.factors = run.output("factors", {neurons.count}, kSingle),
                                         .v = run.in_out("v", {std::ssize(v)}, v, kSingle),
                                         .direction = run.input(m.part(), m.direction),
                                         .norm = run.input({1}, std::vector<float>{norm}, kSingle),
                                         .first_neuron = kFirstNeuron,
                                         .axis = neurons.axis,
                                         .step = {.beta2 = beta2}});
  }

  void check_moments(const Matrix& m, NeuronAxis axis, float beta2) {
    const Neurons neurons(m, axis);
    std::vector<Tracked> v, factors;
    for (const float value : neurons.v()) v.emplace_back(static_cast<double>(value));
    const Tracked beta(static_cast<double>(beta2));
    const Tracked rest = rounded(1.0 - static_cast<double>(beta2), 0);
    std::vector<Tracked> squares;
    for (std::int64_t neuron = 0; neuron < neurons.count; ++neuron) {
      std::vector<Tracked> terms;
      for (std::int64_t input = 0; input < neurons.inputs; ++input) {
        const Tracked x(static_cast<double>(m.direction[Neurons::place(m, axis, neuron, input)]));
        terms.push_back(x * x);
      }
      const Tracked mean = sum(terms) / Tracked(static_cast<double>(neurons.inputs));
      Tracked& moment = v[at(kFirstNeuron + neuron)];
      moment = beta * moment + rest * mean;
      factors.push_back(Tracked(1.0) / (sqrt(moment) + Tracked(static_cast<double>(ops::kNeuronEps))));
      squares.push_back(factors.back() * factors.back() * mean);
    }
    const Tracked to_one = sqrt(Tracked(static_cast<double>(neurons.count)) / sum(squares));
    for (Tracked& factor : factors) factor = to_one * factor;
    check({{"factors", factors}, {"v", v}}, [&](OpRun& run) { moments(run, m, neurons, 1.0F, beta2); });
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
    const auto applied = results_of([&](OpRun& run) { apply(run, m, norm, {.learning_rate = 1, .weight_decay = 0.5F}, {}); });
    expect_same_bits("param", applied.at("param"), m.state);
    const Neurons neurons(m, NeuronAxis::kColumns);
    const auto kept = results_of([&](OpRun& run) { moments(run, m, neurons, norm, 0.95F); });
    expect_same_bits("v", kept.at("v"), neurons.v());
    expect_same_bits("factors", kept.at("factors"), std::vector<float>(at(neurons.count), 0.0F));
  }
}

TEST_P(Muon, NeuronMomentsMatchReferenceOnBothSides) {
  for (const Matrix& m : matrices()) {
    for (const NeuronAxis axis : {NeuronAxis::kColumns, NeuronAxis::kRows}) check_moments(m, axis, 0.95F);
  }
  check_moments(Matrix(300, 3, 0, 3), NeuronAxis::kColumns, 0.5F);  // more rows than are squared at a time
  check_moments(Matrix(7, 24, 5, 9), NeuronAxis::kRows, 0.0F);
}

TEST_P(Muon, NeuronsOfAZeroMatrixHaveNoFactors) {
  Matrix m(7, 24, 5, 9);
  std::ranges::fill(m.direction, 0.0F);
  const Neurons neurons(m, NeuronAxis::kColumns);
  const auto results = results_of([&](OpRun& run) { moments(run, m, neurons, 1.0F, 0.95F); });
  expect_same_bits("factors", results.at("factors"), std::vector<float>(at(neurons.count), 0.0F));
}

TEST_P(Muon, ApplyTurnsEachNeuronByItsFactor) {
  const MuonStep step{.learning_rate = 0.02F, .weight_decay = 0.1F, .update_scale = 0.2F};
  for (const Matrix& m : matrices()) {
    check_apply(m, step, {conformance::normal_values(m.columns, 5), NeuronAxis::kColumns});
    check_apply(m, step, {conformance::normal_values(m.rows, 5), NeuronAxis::kRows});
  }
}

TEST_P(Muon, ApplyMatchesReferenceInSomeColumns) {
  const MuonStep step{.learning_rate = 0.02F, .weight_decay = 0.1F, .update_scale = 3.5F};
  for (const Matrix& m : matrices()) check_apply(m, step, {});
}

TEST_P(Muon, ApplyRoundsItsColumnsToTheWorkingWeights) {
  if (dtype() != DType::kBFloat16) return;  // there are none beside float32 products
  const Matrix m(33, 51, 4, 40);
  const auto results = results_of([&](OpRun& run) { apply(run, m, 1.0F, {.learning_rate = 0.02F}, {}); });
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
