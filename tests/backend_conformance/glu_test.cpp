#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
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

  void check_backward_in_place(GluGate act, bool over_gate) {
    const auto gate = sweep(100), up = normal_values(100, 8), dout = normal_values(100, 9);
    const auto expected = reference::glu_backward(to_double(dout), to_double(gate), to_double(up), act);
    check({{"dgate", expected.dgate}, {"dup", expected.dup}}, [&](OpRun& run) {
      const TensorView in_place = run.in_out(over_gate ? "dgate" : "dup", {4, 25}, dout);
      const TensorView other = run.output(over_gate ? "dup" : "dgate", {4, 25});
      run.backend().run(ops::GluBackward{.dgate = over_gate ? in_place : other,
                                         .dup = over_gate ? other : in_place,
                                         .dout = in_place,
                                         .gate = run.input({4, 25}, gate),
                                         .up = run.input({4, 25}, up),
                                         .act = act});
    });
  }
};
VIRGIL_CONFORMANCE_SUITE(Glu);

TEST_P(Glu, ForwardMatchesReference) {
  for (const GluGate act : kGates) {
    for (const std::int64_t count : {1, 3, 8, 24, 257, 10007}) {
      const auto gate = sweep(count), up = normal_values(count, 8);
      check({{"out", reference::glu_forward(to_double(gate), to_double(up), act)}}, [&](OpRun& run) {
        run.backend().run(ops::GluForward{run.output("out", {count}), run.input({count}, gate), run.input({count}, up), act});
      });
    }
  }
}

TEST_P(Glu, BackwardMatchesReference) {
  for (const GluGate act : kGates) {
    for (const std::int64_t count : {1, 3, 8, 24, 257, 10007}) {
      const auto gate = sweep(count), up = normal_values(count, 8), dout = normal_values(count, 9);
      const auto expected = reference::glu_backward(to_double(dout), to_double(gate), to_double(up), act);
      check({{"dgate", expected.dgate}, {"dup", expected.dup}}, [&](OpRun& run) {
        run.backend().run(ops::GluBackward{run.output("dgate", {count}), run.output("dup", {count}), run.input({count}, dout),
                                           run.input({count}, gate), run.input({count}, up), act});
      });
    }
  }
}

TEST_P(Glu, ForwardMayOverwriteEitherInput) {
  const auto gate = sweep(100), up = normal_values(100, 8);
  for (const bool over_gate : {true, false}) {
    check({{"out", reference::glu_forward(to_double(gate), to_double(up), GluGate::kSilu)}}, [&](OpRun& run) {
      const TensorView out = run.in_out("out", {4, 25}, over_gate ? gate : up);
      const ConstTensorView other = run.input({4, 25}, over_gate ? up : gate);
      run.backend().run(ops::GluForward{.out = out, .gate = over_gate ? out : other, .up = over_gate ? other : out});
    });
  }
}

TEST_P(Glu, BackwardMayOverwriteItsGradient) {
  for (const GluGate act : kGates) {
    check_backward_in_place(act, true);
    check_backward_in_place(act, false);
  }
}

TEST_P(Glu, SiluStaysFiniteForHugeInputs) {
  const float largest = dtype() == DType::kFloat16 ? 0x1.FFCp15F : 0x1.8p127F;
  const std::vector<float> gate = {-largest, -1000.0F, 1000.0F, largest};
  const std::vector<float> ones(4, 1.0F);
  const auto exactly = [](std::vector<double> values) { return reference::exact(values); };
  check({{"out", exactly({0, 0, 1000, largest})}, {"dgate", exactly({0, 0, 1, 1})}, {"dup", exactly({0, 0, 1000, largest})}},
        [&](OpRun& run) {
          const ConstTensorView inp = run.input({4}, gate), one = run.input({4}, ones);
          run.backend().run(ops::GluForward{run.output("out", {4}), inp, one});
          run.backend().run(ops::GluBackward{run.output("dgate", {4}), run.output("dup", {4}), one, inp, one});
        });
}

TEST_P(Glu, CarriesNanThrough) {
  const std::vector<float> nan(20, std::numeric_limits<float>::quiet_NaN());
  const std::vector<float> ones(20, 1.0F);
  for (const GluGate act : kGates) {
    for (const bool in_gate : {true, false}) {
      const auto results = results_of([&](OpRun& run) {
        // Outputs hold NaN before the op: overwrite that, to see the op's own.
        const ConstTensorView gate = run.input({20}, in_gate ? nan : ones), up = run.input({20}, in_gate ? ones : nan);
        run.backend().run(ops::GluForward{run.in_out("out", {20}, ones), gate, up, act});
        run.backend().run(
            ops::GluBackward{run.in_out("dgate", {20}, ones), run.output("dup", {20}), run.input({20}, ones), gate, up, act});
      });
      for (const char* name : {"out", "dgate"}) {
        for (const float value : results.at(name)) EXPECT_TRUE(std::isnan(value)) << name;
      }
    }
  }
}

}  // namespace
}  // namespace virgil::conformance
