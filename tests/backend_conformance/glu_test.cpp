#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"

namespace virgil::conformance {
namespace {

constexpr GluGate kGates[] = {GluGate::kSilu, GluGate::kGelu};

class Glu : public Conformance {
 protected:
  /// From far below zero, where the activation vanishes, to far above.
  static std::vector<float> sweep(std::int64_t count) {
    std::vector<float> values = normal_values(count, 7, 2.0F);
    for (std::int64_t i = 0; i < count; i += 3) {
      values[static_cast<std::size_t>(i)] = -20.0F + 40.0F * static_cast<float>(i) / static_cast<float>(count);
    }
    return representable(values);
  }

  /// Gate and up side by side in rows of `channels` each.
  static std::vector<float> side_by_side(const std::vector<float>& gate, const std::vector<float>& up, std::int64_t channels) {
    std::vector<float> rows;
    for (auto [g, u] = std::pair(gate.begin(), up.begin()); g != gate.end(); g += channels, u += channels) {
      rows.insert(rows.end(), g, g + channels);
      rows.insert(rows.end(), u, u + channels);
    }
    return rows;
  }
  static std::vector<Tracked> side_by_side(const reference::GluGradients& gradients, std::int64_t channels) {
    std::vector<Tracked> rows;
    for (auto [g, u] = std::pair(gradients.dgate.begin(), gradients.dup.begin()); g != gradients.dgate.end();
         g += channels, u += channels) {
      rows.insert(rows.end(), g, g + channels);
      rows.insert(rows.end(), u, u + channels);
    }
    return rows;
  }
};
VIRGIL_CONFORMANCE_SUITE(Glu);

/// Rows and channels: whole vectors, parts of them, more elements than a thread takes.
constexpr std::pair<std::int64_t, std::int64_t> kGluShapes[] = {{1, 1},   {3, 5},     {1, 8},   {2, 24},
                                                                {7, 257}, {1, 10007}, {40, 384}};

TEST_P(Glu, ForwardMatchesReference) {
  for (const GluGate act : kGates) {
    for (const auto& [rows, channels] : kGluShapes) {
      const auto gate = sweep(rows * channels), up = normal_values(rows * channels, 8);
      check({{"out", reference::glu_forward(to_double(gate), to_double(up), act)}}, [&](OpRun& run) {
        run.backend().run(ops::GluForward{run.output("out", {rows, channels}),
                                          run.input({rows, 2 * channels}, side_by_side(gate, up, channels)), act});
      });
    }
  }
}

TEST_P(Glu, BackwardMatchesReference) {
  for (const GluGate act : kGates) {
    for (const auto& [rows, channels] : kGluShapes) {
      const std::int64_t count = rows * channels;
      const auto gate = sweep(count), up = normal_values(count, 8), dout = normal_values(count, 9);
      const auto inp = side_by_side(gate, up, channels);
      const auto expected =
          side_by_side(reference::glu_backward(to_double(dout), to_double(gate), to_double(up), act), channels);
      check({{"dinp", expected}}, [&](OpRun& run) {
        run.backend().run(ops::GluBackward{run.output("dinp", {rows, 2 * channels}), run.input({rows, channels}, dout),
                                           run.input({rows, 2 * channels}, inp), act});
      });
      check({{"dinp", expected}}, [&](OpRun& run) {
        const TensorView in_place = run.in_out("dinp", {rows, 2 * channels}, inp);
        run.backend().run(ops::GluBackward{in_place, run.input({rows, channels}, dout), in_place, act});
      });
    }
  }
}

TEST_P(Glu, SiluStaysFiniteForHugeInputs) {
  const float largest = dtype() == DType::kFloat16 ? 0x1.FFCp15F : 0x1.8p127F;
  const std::vector<float> gate = {-largest, -1000.0F, 1000.0F, largest};
  const std::vector<float> ones(4, 1.0F);
  const auto exactly = [](std::vector<double> values) { return reference::exact(values); };
  check({{"out", exactly({0, 0, 1000, largest})}, {"dinp", exactly({0, 0, 1, 1, 0, 0, 1000, largest})}}, [&](OpRun& run) {
    const ConstTensorView inp = run.input({1, 8}, side_by_side(gate, ones, 4));
    run.backend().run(ops::GluForward{run.output("out", {1, 4}), inp});
    run.backend().run(ops::GluBackward{run.output("dinp", {1, 8}), run.input({1, 4}, ones), inp});
  });
}

TEST_P(Glu, CarriesNanThrough) {
  const std::vector<float> nan(20, std::numeric_limits<float>::quiet_NaN());
  const std::vector<float> ones(20, 1.0F);
  for (const GluGate act : kGates) {
    for (const bool in_gate : {true, false}) {
      const auto results = results_of([&](OpRun& run) {
        // Outputs hold NaN before the op: overwrite that, to see the op's own.
        const ConstTensorView inp = run.input({1, 40}, side_by_side(in_gate ? nan : ones, in_gate ? ones : nan, 20));
        run.backend().run(ops::GluForward{run.in_out("out", {1, 20}, ones), inp, act});
        run.backend().run(
            ops::GluBackward{run.in_out("dinp", {1, 40}, side_by_side(ones, ones, 20)), run.input({1, 20}, ones), inp, act});
      });
      for (const float value : results.at("out")) EXPECT_TRUE(std::isnan(value));
      for (std::size_t i = 0; i < 20; ++i) EXPECT_TRUE(std::isnan(results.at("dinp")[i]));  // of the gate
    }
  }
}

}  // namespace
}  // namespace virgil::conformance
