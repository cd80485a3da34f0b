// The references themselves: each backward reference against finite differences of its forward reference, in float64.
#include "backend_conformance/reference_basic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "backend_conformance/harness.h"

namespace virgil::conformance {
namespace {

using reference::SequenceShape;
using reference::Values;

/// Central differences of f at x, along each element. The error is O(h^2) from the third derivative plus u64 |f| / h from
/// rounding: about 1e-9 for h = 1e-5 and functions of order 1 to 100.
Values finite_differences(const std::function<double(const Values&)>& f, Values x) {
  constexpr double kStep = 1e-5;
  Values gradient;
  for (double& element : x) {
    const double original = element;
    element = original + kStep;
    const double above = f(x);
    element = original - kStep;
    const double below = f(x);
    element = original;
    gradient.push_back((above - below) / (2 * kStep));
  }
  return gradient;
}

void expect_gradient(const Values& differences, const reference::TrackedValues& gradient) {
  constexpr double kTolerance = 1e-7;
  ASSERT_EQ(differences.size(), gradient.size());
  for (std::size_t i = 0; i < differences.size(); ++i) {
    EXPECT_NEAR(gradient[i].value, differences[i], kTolerance) << "element " << i;
  }
}

/// sum of weights * outputs: a scalar whose gradient with respect to the outputs is `weights`.
double project(const reference::TrackedValues& outputs, const Values& weights) {
  double total = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) total += outputs[i].value * weights[i];
  return total;
}

Values normals(std::int64_t count, std::uint64_t seed) { return to_double(normal_values(count, seed)); }
Values zeros(std::size_t count) { return Values(count, 0.0); }

TEST(Reference, EmbeddingBackwardMatchesFiniteDifferences) {
  const SequenceShape shape{2, 3, 5};
  const std::vector<std::int32_t> tokens = {1, 0, 1, 3, 1, 0};
  const Values wte = normals(4 * 5, 1), wpe = normals(3 * 5, 2), dout = normals(30, 3);
  const Dropout dropout = test_dropout(0.3F);
  const auto gradients = reference::embedding_backward(zeros(20), zeros(15), dout, tokens, shape, dropout);
  expect_gradient(
      finite_differences(
          [&](const Values& x) { return project(reference::embedding_forward(tokens, x, wpe, shape, 0, dropout), dout); }, wte),
      gradients.dwte);
  expect_gradient(
      finite_differences(
          [&](const Values& x) { return project(reference::embedding_forward(tokens, wte, x, shape, 0, dropout), dout); }, wpe),
      gradients.dwpe);
}

/// The way back is that of the forward pass, centred or not.
void expect_norm_gradients(const reference::NormForm& form) {
  constexpr std::int64_t kRows = 3, kChannels = 7;
  const Values inp = normals(kRows * kChannels, 1), weight = normals(kChannels, 2), bias = normals(kChannels, 3);
  const Values dout = normals(kRows * kChannels, 4);
  const auto forward = [&](const Values& x, const Values& w, const Values& b) {
    return project(reference::norm_forward(reference::exact(x), w, b, form).out, dout);
  };
  const auto statistics = reference::norm_forward(reference::exact(inp), weight, bias, form);
  const reference::NormGradients start{reference::exact(zeros(inp.size())), reference::exact(zeros(weight.size())),
                                       reference::exact(zeros(weight.size()))};
  const auto gradients = reference::norm_backward(start, dout, inp, weight, reference::values_of(statistics.mean),
                                                  reference::values_of(statistics.rstd));
  expect_gradient(finite_differences([&](const Values& x) { return forward(x, weight, bias); }, inp), gradients.dinp);
  expect_gradient(finite_differences([&](const Values& x) { return forward(inp, x, bias); }, weight), gradients.dweight);
  expect_gradient(finite_differences([&](const Values& x) { return forward(inp, weight, x); }, bias), gradients.dbias);
}

TEST(Reference, NormBackwardMatchesFiniteDifferences) {
  expect_norm_gradients({});
  expect_norm_gradients({.centred = false, .epsilon = 1e-6});
}

TEST(Reference, DropoutBackwardMatchesFiniteDifferences) {
  const SequenceShape shape{2, 2, 5};
  const Values branch = normals(20, 1), stream = normals(20, 2), dout = normals(20, 3);
  const Dropout dropout = test_dropout(0.5F);
  const auto forward = [&](const Values& x) { return project(reference::residual(stream, x, shape, dropout), dout); };
  expect_gradient(finite_differences(forward, branch), reference::dropout_backward(dout, shape, dropout));
}

TEST(Reference, GeluBackwardMatchesFiniteDifferences) {
  const Values inp = {-9.0, -3.0, -1.0, -0.75, -1e-3, 0.0, 1e-3, 0.5, 1.0, 2.0, 5.0};
  const Values dout = normals(std::ssize(inp), 1);
  const auto forward = [&](const Values& x) { return project(reference::gelu_forward(x), dout); };
  expect_gradient(finite_differences(forward, inp), reference::gelu_backward(dout, inp));
}

TEST(Reference, GluBackwardMatchesFiniteDifferences) {
  const Values gate = {-9.0, -3.0, -1.0, -0.75, -1e-3, 0.0, 1e-3, 0.5, 1.0, 2.0, 5.0};
  const Values up = normals(std::ssize(gate), 1), dout = normals(std::ssize(gate), 2);
  for (const GluGate act : {GluGate::kSilu, GluGate::kGelu}) {
    const auto of_gate = [&](const Values& x) { return project(reference::glu_forward(x, up, act), dout); };
    const auto of_up = [&](const Values& x) { return project(reference::glu_forward(gate, x, act), dout); };
    const auto gradients = reference::glu_backward(dout, gate, up, act);
    expect_gradient(finite_differences(of_gate, gate), gradients.dgate);
    expect_gradient(finite_differences(of_up, up), gradients.dup);
  }
}

TEST(Reference, ReluSquaredBackwardMatchesFiniteDifferences) {
  const Values inp = {-9.0, -1.0, -1e-3, 1e-3, 0.5, 1.0, 2.0, 5.0};  // not at zero: differences of its second derivative
  const Values dout = normals(std::ssize(inp), 1);
  const auto forward = [&](const Values& x) { return project(reference::relu_squared_forward(x), dout); };
  expect_gradient(finite_differences(forward, inp), reference::relu_squared_backward(dout, inp));
}

TEST(Reference, CausalConvBackwardMatchesFiniteDifferences) {
  const SequenceShape shape{2, 5, 3};
  const Values inp = normals(30, 1), weight = normals(3 * 3, 2), dout = normals(30, 3);
  const auto gradients = reference::causal_conv_backward(zeros(9), dout, inp, weight, shape);
  const auto of_inp = [&](const Values& x) { return project(reference::causal_conv_forward(x, weight, shape), dout); };
  const auto of_weight = [&](const Values& w) { return project(reference::causal_conv_forward(inp, w, shape), dout); };
  expect_gradient(finite_differences(of_inp, inp), gradients.dinp);
  expect_gradient(finite_differences(of_weight, weight), gradients.dweight);
}

TEST(Reference, GeluForwardMatchesItsDefinition) {
  for (double x = -6; x <= 6; x += 0.125) {
    const double u = std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x);
    // Cancellation in 1 + tanh costs at most a few roundings of 1 in float64.
    EXPECT_NEAR(reference::gelu_forward({x})[0].value, 0.5 * x * (1 + std::tanh(u)), 1e-14) << x;
  }
}

TEST(Reference, BiasBackwardMatchesFiniteDifferences) {
  const Values dout = normals(12, 1);
  const auto forward = [&](const Values& bias) {
    double total = 0;
    for (std::size_t i = 0; i < dout.size(); ++i) total += dout[i] * bias[i % bias.size()];
    return total;
  };
  expect_gradient(finite_differences(forward, normals(4, 2)), reference::bias_backward(zeros(4), dout));
}

TEST(Reference, CrossEntropyGradientMatchesFiniteDifferences) {
  constexpr float kScale = 0.25F;
  const std::vector<std::int32_t> targets = {2, -1, 0};
  const Values logits = normals(3 * 6, 1);
  const auto forward = [&](const Values& x) {
    return project(reference::cross_entropy(x, targets, 5, kScale).losses, Values(3, static_cast<double>(kScale)));
  };
  expect_gradient(finite_differences(forward, logits), reference::cross_entropy(logits, targets, 5, kScale).dlogits);
}

}  // namespace
}  // namespace virgil::conformance
