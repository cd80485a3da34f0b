#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"

namespace virgil::conformance {
namespace {

using reference::NormForm;
using reference::SequenceShape;

constexpr NormForm kLayernorm = {}, kRmsNorm = {.centred = false, .epsilon = 1e-6};

constexpr SequenceShape kShapes[] = {{1, 1, 8},   {1, 257, 24}, {3, 5, 40},   {1, 3, 7},   {2, 9, 384},
                                     {1, 2, 771}, {1, 2, 2056}, {1, 3, 2049}, {1, 3, 8200}};

class Norm : public Conformance {
 protected:
  /// Weight and bias around 1 and 0; a model without biases has none.
  struct Affine {
    Affine(std::int64_t channels, bool with_bias)
        : weight(representable(conformance::normal_values(channels, 21, 0.5F, 1.0F))),
          bias(with_bias ? representable(conformance::normal_values(channels, 22)) : std::vector<float>{}) {}
    [[nodiscard]] ConstTensorView bias_view(OpRun& run) const {
      return bias.empty() ? ConstTensorView{} : run.input({std::ssize(bias)}, bias);
    }
    std::vector<float> weight;
    std::vector<float> bias;
  };

  /// Absent without centred values.
  static TensorView mean_view(OpRun& run, const NormForm& form, std::int64_t rows) {
    return form.centred ? run.output("mean", {rows}, DType::kFloat32) : TensorView{};
  }

  static std::vector<Expected> outputs_of(const reference::NormResult& expected) {
    std::vector<Expected> outputs = {{"out", expected.out}, {"rstd", expected.rstd}};
    if (!expected.mean.empty()) outputs.push_back({"mean", expected.mean});
    return outputs;
  }

  void check_forward(const SequenceShape& shape, bool with_bias, float mean, float stddev, const NormForm& form = kLayernorm) {
    const auto [B, T, C] = shape;
    const auto inp = normal_values(B * T * C, 1, stddev, mean);
    const Affine affine(C, with_bias);
    const auto expected =
        reference::norm_forward(reference::exact(to_double(inp)), to_double(affine.weight), to_double(affine.bias), form);
    check(outputs_of(expected), [&](OpRun& run) {
      run.backend().run(ops::NormForward{.out = run.output("out", {B, T, C}),
                                         .mean = mean_view(run, form, B * T),
                                         .rstd = run.output("rstd", {B * T}, DType::kFloat32),
                                         .inp = run.input({B, T, C}, inp),
                                         .weight = run.input({C}, affine.weight),
                                         .bias = affine.bias_view(run),
                                         .epsilon = static_cast<float>(form.epsilon)});
    });
  }

  void check_residual(const SequenceShape& shape, bool with_bias, const Dropout& dropout, bool in_place,
                      const NormForm& form = kLayernorm) {
    const auto [B, T, C] = shape;
    const auto stream = normal_values(B * T * C, 1), branch = normal_values(B * T * C, 2);
    const Affine affine(C, with_bias);
    const auto sum = reference::residual(to_double(stream), to_double(branch), shape, dropout);
    // The norm is that of the stored sum.
    const auto stored_sum = stored_as(dtype(), sum);
    std::vector<Expected> outputs =
        outputs_of(reference::norm_forward(stored_sum, to_double(affine.weight), to_double(affine.bias), form));
    outputs.push_back({"residual_out", sum});
    check(outputs, [&](OpRun& run) {
      const TensorView residual_out =
          in_place ? run.in_out("residual_out", {B, T, C}, stream) : run.output("residual_out", {B, T, C});
      run.backend().run(
          ops::ResidualNormForward{.residual_out = residual_out,
                                   .out = run.output("out", {B, T, C}),
                                   .mean = mean_view(run, form, B * T),
                                   .rstd = run.output("rstd", {B * T}, DType::kFloat32),
                                   .residual = in_place ? ConstTensorView(residual_out) : run.input({B, T, C}, stream),
                                   .branch = run.input({B, T, C}, branch),
                                   .weight = run.input({C}, affine.weight),
                                   .bias = affine.bias_view(run),
                                   .dropout = dropout,
                                   .epsilon = static_cast<float>(form.epsilon)});
    });
  }

  void expect_bits_of_the_norm_alone(const SequenceShape& shape, const NormForm& form) {
    const auto [B, T, C] = shape;
    const auto stream = normal_values(B * T * C, 1), branch = normal_values(B * T * C, 2), weight = normal_values(C, 3);
    const auto fused = results_of([&](OpRun& run) {
      run.backend().run(ops::ResidualNormForward{.residual_out = run.output("residual_out", {B, T, C}),
                                                 .out = run.output("out", {B, T, C}),
                                                 .mean = mean_view(run, form, B * T),
                                                 .rstd = run.output("rstd", {B * T}, DType::kFloat32),
                                                 .residual = run.input({B, T, C}, stream),
                                                 .branch = run.input({B, T, C}, branch),
                                                 .weight = run.input({C}, weight),
                                                 .bias = {},
                                                 .dropout = test_dropout(0.25F)});
    });
    const auto alone = results_of([&](OpRun& run) {
      run.backend().run(ops::NormForward{.out = run.output("out", {B, T, C}),
                                         .mean = mean_view(run, form, B * T),
                                         .rstd = run.output("rstd", {B * T}, DType::kFloat32),
                                         .inp = run.input({B, T, C}, fused.at("residual_out")),
                                         .weight = run.input({C}, weight),
                                         .bias = {}});
    });
    for (const auto& [name, values] : alone) expect_same_bits(name, fused.at(name), values);
  }

  void check_backward(const SequenceShape& shape, bool with_bias, const NormForm& form = kLayernorm) {
    const auto [B, T, C] = shape;
    const auto inp = normal_values(B * T * C, 1), dout = normal_values(B * T * C, 2), dinp = normal_values(B * T * C, 3);
    const auto dweight = normal_values(C, 4), dbias = normal_values(C, 5);
    const auto mean = form.centred ? normal_values(B * T, 6, 0.1F) : std::vector<float>{};
    const auto rstd = normal_values(B * T, 7, 0.1F, 1.0F);
    const Affine affine(C, false);
    const auto expected = reference::norm_backward(
        {reference::exact(to_double(dinp)), reference::exact(to_double(dweight)), reference::exact(to_double(dbias))},
        to_double(dout), to_double(inp), to_double(affine.weight), to_double(mean), to_double(rstd));
    std::vector<Expected> outputs = {{"dinp", expected.dinp}, {"dweight", expected.dweight}};
    if (with_bias) outputs.push_back({"dbias", expected.dbias});
    check(outputs, [&](OpRun& run) {
      run.workspace(run.backend().traits().norm_backward_workspace_bytes(B * T, C));
      run.backend().run(ops::NormBackward{.dinp = run.in_out("dinp", {B, T, C}, dinp),
                                          .dweight = run.in_out("dweight", {C}, dweight, DType::kFloat32),
                                          .dbias = with_bias ? run.in_out("dbias", {C}, dbias, DType::kFloat32) : TensorView{},
                                          .dout = run.input({B, T, C}, dout),
                                          .inp = run.input({B, T, C}, inp),
                                          .weight = run.input({C}, affine.weight),
                                          .mean = form.centred ? run.input({B * T}, mean, DType::kFloat32) : ConstTensorView{},
                                          .rstd = run.input({B * T}, rstd, DType::kFloat32)});
    });
  }
};
VIRGIL_CONFORMANCE_SUITE(Norm);

TEST_P(Norm, ForwardMatchesReference) {
  for (const SequenceShape& shape : kShapes) {
    check_forward(shape, true, 0, 1);
    check_forward(shape, false, 0, 1);
  }
}

TEST_P(Norm, RmsNormMatchesReference) {
  for (const SequenceShape& shape : kShapes) {
    check_forward(shape, false, 0, 1, kRmsNorm);
    check_forward(shape, false, 3, 0.1F, kRmsNorm);
    check_residual(shape, false, test_dropout(0.25F), false, kRmsNorm);
    check_backward(shape, false, kRmsNorm);
  }
  check_residual({2, 9, 40}, false, Dropout{}, true, kRmsNorm);
  check_backward({5, 257, 24}, false, kRmsNorm);
}

TEST_P(Norm, ForwardKeepsItsAccuracyFarFromZeroMean) { check_forward({1, 4, 384}, true, 30, 0.5F); }

TEST_P(Norm, ForwardMapsConstantRowsToTheBias) {
  constexpr std::int64_t kChannels = 24;
  const Affine affine(kChannels, true);
  const auto results = results_of([&](OpRun& run) {
    run.backend().run(ops::NormForward{run.output("out", {2, kChannels}), run.output("mean", {2}, DType::kFloat32),
                                       run.output("rstd", {2}, DType::kFloat32),
                                       run.input({2, kChannels}, std::vector<float>(2 * kChannels, 2.0F)),
                                       run.input({kChannels}, affine.weight), affine.bias_view(run)});
  });
  for (std::size_t i = 0; i < 2 * kChannels; ++i) EXPECT_EQ(results.at("out")[i], affine.bias[i % kChannels]);
}

TEST_P(Norm, FusedResidualMatchesReference) {
  for (const SequenceShape& shape : kShapes) check_residual(shape, true, Dropout{}, false);
}

TEST_P(Norm, FusedResidualDropsWhatTheStreamSays) {
  for (const SequenceShape& shape : kShapes) check_residual(shape, false, test_dropout(0.25F), false);
}

TEST_P(Norm, FusedResidualMayOverwriteTheResidual) { check_residual({2, 9, 40}, true, test_dropout(0.1F), true); }

TEST_P(Norm, FusedResidualHasTheBitsOfTheNormAlone) {
  for (const NormForm& form : {kLayernorm, kRmsNorm}) {
    for (const SequenceShape& shape : kShapes) expect_bits_of_the_norm_alone(shape, form);
  }
}

TEST_P(Norm, BackwardAccumulatesTheReference) {
  for (const SequenceShape& shape : kShapes) {
    check_backward(shape, true);
    check_backward(shape, false);
  }
}

TEST_P(Norm, BackwardSumsMoreRowsThanItHasPieces) { check_backward({5, 257, 24}, true); }

TEST_P(Norm, BackwardRefusesTooSmallAWorkspace) {
  OpRun run(backend(), dtype());
  const auto needed = backend().traits().norm_backward_workspace_bytes(3, 8);
  if (needed == 0) GTEST_SKIP() << "this backend needs no workspace for it";
  run.workspace(needed - 4);
  EXPECT_THROW(backend().run(ops::NormBackward{run.output("dinp", {3, 8}),
                                               run.output("dweight", {8}, DType::kFloat32),
                                               {},
                                               run.input({3, 8}, normal_values(24)),
                                               run.input({3, 8}, normal_values(24)),
                                               run.input({8}, normal_values(8)),
                                               run.input({3}, normal_values(3), DType::kFloat32),
                                               run.input({3}, normal_values(3), DType::kFloat32)}),
               InternalError);
}

}  // namespace
}  // namespace virgil::conformance
