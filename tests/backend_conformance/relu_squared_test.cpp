#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"

namespace virgil::conformance {
namespace {

class ReluSquared : public Conformance {};
VIRGIL_CONFORMANCE_SUITE(ReluSquared);

TEST_P(ReluSquared, ForwardMatchesReference) {
  for (const std::int64_t count : {1, 3, 8, 24, 257, 10007}) {
    const auto inp = normal_values(count, 7);
    check({{"out", reference::relu_squared_forward(to_double(inp))}}, [&](OpRun& run) {
      run.backend().run(ops::ReluSquaredForward{run.output("out", {count}), run.input({count}, inp)});
    });
  }
}

TEST_P(ReluSquared, BackwardMatchesReference) {
  for (const std::int64_t count : {1, 3, 8, 24, 257, 10007}) {
    const auto inp = normal_values(count, 7);
    const auto dout = normal_values(count, 8);
    check({{"dinp", reference::relu_squared_backward(to_double(dout), to_double(inp))}}, [&](OpRun& run) {
      run.backend().run(
          ops::ReluSquaredBackward{run.output("dinp", {count}), run.input({count}, dout), run.input({count}, inp)});
    });
  }
}

TEST_P(ReluSquared, BackwardMayOverwriteItsGradient) {
  const auto inp = normal_values(100, 7);
  const auto dout = normal_values(100, 8);
  check({{"dinp", reference::relu_squared_backward(to_double(dout), to_double(inp))}}, [&](OpRun& run) {
    const TensorView dinp = run.in_out("dinp", {4, 25}, dout);
    run.backend().run(ops::ReluSquaredBackward{dinp, dinp, run.input({4, 25}, inp)});
  });
}

TEST_P(ReluSquared, IsExactAtZeroAndBelow) {
  const std::vector<float> inp = {-std::numeric_limits<float>::infinity(), -2.0F, -0.0F, 0.0F, 0.5F, 3.0F};
  const std::vector<float> ones(6, 1.0F);
  const auto exactly = [](std::vector<double> values) { return reference::exact(values); };
  check({{"out", exactly({0, 0, 0, 0, 0.25, 9})}, {"dinp", exactly({0, 0, 0, 0, 1, 6})}}, [&](OpRun& run) {
    run.backend().run(ops::ReluSquaredForward{run.output("out", {6}), run.input({6}, inp)});
    run.backend().run(ops::ReluSquaredBackward{run.output("dinp", {6}), run.input({6}, ones), run.input({6}, inp)});
  });
}

TEST_P(ReluSquared, CarriesNanThrough) {
  const std::vector<float> inp(20, std::numeric_limits<float>::quiet_NaN());
  const std::vector<float> ones(20, 1.0F);
  const auto results = results_of([&](OpRun& run) {
    // Outputs hold NaN before the op: overwrite that, to see the op's own.
    run.backend().run(ops::ReluSquaredForward{run.in_out("out", {20}, ones), run.input({20}, inp)});
    run.backend().run(ops::ReluSquaredBackward{run.in_out("dinp", {20}, ones), run.input({20}, ones), run.input({20}, inp)});
  });
  for (const char* name : {"out", "dinp"}) {
    for (const float value : results.at(name)) EXPECT_TRUE(std::isnan(value)) << name;
  }
}

}  // namespace
}  // namespace virgil::conformance
