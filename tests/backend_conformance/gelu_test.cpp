#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"

namespace virgil::conformance {
namespace {

class Gelu : public Conformance {
 protected:
  /// From far below zero, where the result vanishes, to far above.
  static std::vector<float> sweep(std::int64_t count) {
    std::vector<float> values = normal_values(count, 7, 2.0F);
    for (std::int64_t i = 0; i < count; i += 3) {
      values[static_cast<std::size_t>(i)] = -14.0F + 28.0F * static_cast<float>(i) / static_cast<float>(count);
    }
    return representable(values);
  }
};
VIRGIL_CONFORMANCE_SUITE(Gelu);

TEST_P(Gelu, ForwardMatchesReference) {
  for (const std::int64_t count : {1, 3, 8, 24, 257, 10007}) {
    const auto inp = sweep(count);
    check({{"out", reference::gelu_forward(to_double(inp))}}, [&](OpRun& run) {
      run.backend().run(ops::GeluForward{run.output("out", {count}), run.input({count}, inp)});
    });
  }
}

TEST_P(Gelu, BackwardMatchesReference) {
  for (const std::int64_t count : {1, 3, 8, 24, 257, 10007}) {
    const auto inp = sweep(count);
    const auto dout = normal_values(count, 8);
    check({{"dinp", reference::gelu_backward(to_double(dout), to_double(inp))}}, [&](OpRun& run) {
      run.backend().run(ops::GeluBackward{run.output("dinp", {count}), run.input({count}, dout), run.input({count}, inp)});
    });
  }
}

TEST_P(Gelu, BackwardMayOverwriteItsGradient) {
  const auto inp = sweep(100);
  const auto dout = normal_values(100, 8);
  check({{"dinp", reference::gelu_backward(to_double(dout), to_double(inp))}}, [&](OpRun& run) {
    const TensorView dinp = run.in_out("dinp", {4, 25}, dout);
    run.backend().run(ops::GeluBackward{dinp, dinp, run.input({4, 25}, inp)});
  });
}

TEST_P(Gelu, StaysFiniteForHugeInputs) {
  // Their cubes, and for the largest their squares, are beyond float32 (a float16 cannot be so large).
  const float large = dtype() == DType::kFloat16 ? 0x1.0p14F : 0x1.0p66F;
  const float largest = dtype() == DType::kFloat16 ? 0x1.FFCp15F : 0x1.8p127F;
  const std::vector<float> inp = {-largest, -large, -100.0F, 100.0F, large, largest};
  const std::vector<float> ones(6, 1.0F);
  const auto exactly = [](std::vector<double> values) { return reference::exact(values); };
  check({{"out", exactly({0, 0, 0, 100, large, largest})}, {"dinp", exactly({0, 0, 0, 1, 1, 1})}}, [&](OpRun& run) {
    run.backend().run(ops::GeluForward{run.output("out", {6}), run.input({6}, inp)});
    run.backend().run(ops::GeluBackward{run.output("dinp", {6}), run.input({6}, ones), run.input({6}, inp)});
  });
}

TEST_P(Gelu, CarriesNanThrough) {
  const std::vector<float> inp(20, std::numeric_limits<float>::quiet_NaN());
  const std::vector<float> ones(20, 1.0F);
  const auto results = results_of([&](OpRun& run) {
    // Outputs hold NaN before the op: overwrite that, to see the op's own.
    run.backend().run(ops::GeluForward{run.in_out("out", {20}, ones), run.input({20}, inp)});
    run.backend().run(ops::GeluBackward{run.in_out("dinp", {20}, ones), run.input({20}, ones), run.input({20}, inp)});
  });
  for (const char* name : {"out", "dinp"}) {
    for (const float value : results.at(name)) EXPECT_TRUE(std::isnan(value)) << name;
  }
}

}  // namespace
}  // namespace virgil::conformance
