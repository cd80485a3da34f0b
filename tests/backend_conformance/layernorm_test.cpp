#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"

namespace virgil::conformance {
namespace {

using reference::SequenceShape;

constexpr SequenceShape kShapes[] = {{1, 1, 8},   {1, 257, 24}, {3, 5, 40},   {1, 3, 7},   {2, 9, 384},
                                     {1, 2, 771}, {1, 2, 2056}, {1, 3, 2049}, {1, 3, 8200}};

class Layernorm : public Conformance {
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

  void check_forward(const SequenceShape& shape, bool with_bias, float mean, float stddev) {
    const auto [B, T, C] = shape;
    const auto inp = normal_values(B * T * C, 1, stddev, mean);
    const Affine affine(C, with_bias);
    const auto expected =
        reference::layernorm_forward(reference::exact(to_double(inp)), to_double(affine.weight), to_double(affine.bias));
    check({{"out", expected.out}, {"mean", expected.mean}, {"rstd", expected.rstd}}, [&](OpRun& run) {
      run.backend().run(ops::LayernormForward{run.output("out", {B, T, C}), run.output("mean", {B * T}, DType::kFloat32),
                                              run.output("rstd", {B * T}, DType::kFloat32), run.input({B, T, C}, inp),
                                              run.input({C}, affine.weight), affine.bias_view(run)});
    });
  }

  void check_residual(const SequenceShape& shape, bool with_bias, const Dropout& dropout, bool in_place) {
    const auto [B, T, C] = shape;
    const auto stream = normal_values(B * T * C, 1), branch = normal_values(B * T * C, 2);
    const Affine affine(C, with_bias);
    const auto sum = reference::residual(to_double(stream), to_double(branch), shape, dropout);
    // The norm is that of the stored sum.
    const auto stored_sum = stored_as(dtype(), sum);
    const auto expected = reference::layernorm_forward(stored_sum, to_double(affine.weight), to_double(affine.bias));
    check({{"residual_out", sum}, {"out", expected.out}, {"mean", expected.mean}, {"rstd", expected.rstd}}, [&](OpRun& run) {
      const TensorView residual_out =
          in_place ? run.in_out("residual_out", {B, T, C}, stream) : run.output("residual_out", {B, T, C});
      const ConstTensorView residual = in_place ? ConstTensorView(residual_out) : run.input({B, T, C}, stream);
      run.backend().run(ops::ResidualLayernormForward{
          residual_out, run.output("out", {B, T, C}), run.output("mean", {B * T}, DType::kFloat32),
          run.output("rstd", {B * T}, DType::kFloat32), residual, run.input({B, T, C}, branch), run.input({C}, affine.weight),
          affine.bias_view(run), dropout});
    });
  }

  void check_backward(const SequenceShape& shape, bool with_bias) {
    const auto [B, T, C] = shape;
    const auto inp = normal_values(B * T * C, 1), dout = normal_values(B * T * C, 2), dinp = normal_values(B * T * C, 3);
    const auto dweight = normal_values(C, 4), dbias = normal_values(C, 5);
    const auto mean = normal_values(B * T, 6, 0.1F), rstd = normal_values(B * T, 7, 0.1F, 1.0F);
    const Affine affine(C, false);
    const auto expected = reference::layernorm_backward(
        {reference::exact(to_double(dinp)), reference::exact(to_double(dweight)), reference::exact(to_double(dbias))},
        to_double(dout), to_double(inp), to_double(affine.weight), to_double(mean), to_double(rstd));
    std::vector<Expected> outputs = {{"dinp", expected.dinp}, {"dweight", expected.dweight}};
    if (with_bias) outputs.push_back({"dbias", expected.dbias});
    check(outputs, [&](OpRun& run) {
      run.workspace(run.backend().traits().layernorm_backward_workspace_bytes(B * T, C));
      run.backend().run(
          ops::LayernormBackward{run.in_out("dinp", {B, T, C}, dinp), run.in_out("dweight", {C}, dweight, DType::kFloat32),
                                 with_bias ? run.in_out("dbias", {C}, dbias, DType::kFloat32) : TensorView{},
                                 run.input({B, T, C}, dout), run.input({B, T, C}, inp), run.input({C}, affine.weight),
                                 run.input({B * T}, mean, DType::kFloat32), run.input({B * T}, rstd, DType::kFloat32)});
    });
  }
};
VIRGIL_CONFORMANCE_SUITE(Layernorm);

TEST_P(Layernorm, ForwardMatchesReference) {
  for (const SequenceShape& shape : kShapes) {
    check_forward(shape, true, 0, 1);
    check_forward(shape, false, 0, 1);
  }
}

TEST_P(Layernorm, ForwardKeepsItsAccuracyFarFromZeroMean) { check_forward({1, 4, 384}, true, 30, 0.5F); }

TEST_P(Layernorm, ForwardMapsConstantRowsToTheBias) {
  constexpr std::int64_t kChannels = 24;
  const Affine affine(kChannels, true);
  const auto results = results_of([&](OpRun& run) {
    run.backend().run(ops::LayernormForward{run.output("out", {2, kChannels}), run.output("mean", {2}, DType::kFloat32),
                                            run.output("rstd", {2}, DType::kFloat32),
                                            run.input({2, kChannels}, std::vector<float>(2 * kChannels, 2.0F)),
                                            run.input({kChannels}, affine.weight), affine.bias_view(run)});
  });
  for (std::size_t i = 0; i < 2 * kChannels; ++i) EXPECT_EQ(results.at("out")[i], affine.bias[i % kChannels]);
}

TEST_P(Layernorm, FusedResidualMatchesReference) {
  for (const SequenceShape& shape : kShapes) check_residual(shape, true, Dropout{}, false);
}

TEST_P(Layernorm, FusedResidualDropsWhatTheStreamSays) {
  for (const SequenceShape& shape : kShapes) check_residual(shape, false, test_dropout(0.25F), false);
}

TEST_P(Layernorm, FusedResidualMayOverwriteTheResidual) { check_residual({2, 9, 40}, true, test_dropout(0.1F), true); }

TEST_P(Layernorm, FusedResidualHasTheBitsOfTheNormAlone) {
  for (const auto& [B, T, C] : kShapes) {
    const auto stream = normal_values(B * T * C, 1), branch = normal_values(B * T * C, 2), weight = normal_values(C, 3);
    const auto fused = results_of([&](OpRun& run) {
      run.backend().run(ops::ResidualLayernormForward{run.output("residual_out", {B, T, C}),
                                                      run.output("out", {B, T, C}),
                                                      run.output("mean", {B * T}, DType::kFloat32),
                                                      run.output("rstd", {B * T}, DType::kFloat32),
                                                      run.input({B, T, C}, stream),
                                                      run.input({B, T, C}, branch),
                                                      run.input({C}, weight),
                                                      {},
                                                      test_dropout(0.25F)});
    });
    const auto alone = results_of([&](OpRun& run) {
      run.backend().run(ops::LayernormForward{run.output("out", {B, T, C}),
                                              run.output("mean", {B * T}, DType::kFloat32),
                                              run.output("rstd", {B * T}, DType::kFloat32),
                                              run.input({B, T, C}, fused.at("residual_out")),
                                              run.input({C}, weight),
                                              {}});
    });
    for (const auto& [name, values] : alone) expect_same_bits(name, fused.at(name), values);
  }
}

TEST_P(Layernorm, BackwardAccumulatesTheReference) {
  for (const SequenceShape& shape : kShapes) {
    check_backward(shape, true);
    check_backward(shape, false);
  }
}

TEST_P(Layernorm, BackwardSumsMoreRowsThanItHasPieces) { check_backward({5, 257, 24}, true); }

TEST_P(Layernorm, BackwardRefusesTooSmallAWorkspace) {
  OpRun run(backend(), dtype());
  const auto needed = backend().traits().layernorm_backward_workspace_bytes(3, 8);
  if (needed == 0) GTEST_SKIP() << "this backend needs no workspace for it";
  run.workspace(needed - 4);
  EXPECT_THROW(backend().run(ops::LayernormBackward{run.output("dinp", {3, 8}),
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
